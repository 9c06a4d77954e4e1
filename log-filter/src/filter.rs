//! What a user gives: a level, or levels by module.

use std::{fmt, str::FromStr};

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Which log lines are written: those of a level and above, or of a level by module, as in `info,kube_client=debug`.
///
/// Lines of a module that no part names are written by the part without a module, or not at all if there is none. The longest
/// name that a module begins with counts, and the later part of two about the same.
///
/// tracing's own filters also take a name alone, for everything from that module and nothing from others: `debgu` would silence a
/// program. Here it is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    text: String,
    others: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Something else stands where a level should.
    #[error(
        "{0:?} is no log level: give error, warn, info, debug, trace or off, or levels by module as in info,kube_client=debug"
    )]
    Level(String),
    /// What has a level can't be a module.
    #[error("{0:?} is no module that log lines come from: give levels by module as in info,kube_client::client=debug")]
    Module(String),
}

impl LogFilter {
    /// What it lets through, over levels of modules that it need not name.
    pub(crate) fn over(&self, usual: &[(&str, LevelFilter)]) -> Targets {
        let usual = usual.iter().map(|(module, level)| ((*module).to_owned(), *level));
        Targets::new()
            .with_default(self.others)
            .with_targets(usual.chain(self.modules.iter().cloned()))
    }
}

impl FromStr for LogFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut filter = Self {
            text: text.trim().to_owned(),
            others: LevelFilter::OFF,
            modules: Vec::new(),
        };
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => filter.others = level(part)?,
                Some((name, its)) => filter.modules.push((module(name)?, level(its)?)),
            }
        }
        Ok(filter)
    }
}

/// As it was given.
impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn level(text: &str) -> Result<LevelFilter, FilterError> {
    let wrong = || FilterError::Level(text.to_owned());
    // tracing reads nothing as `error`.
    if text.is_empty() {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// A path such as `kube_client::client`.
fn module(text: &str) -> Result<String, FilterError> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    if text.split("::").all(is_name) {
        Ok(text.to_owned())
    } else {
        Err(FilterError::Module(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter as Level;

    use super::*;

    fn lets_through(filter: &str, usual: &[(&str, Level)], module: &str) -> Level {
        let targets = filter.parse::<LogFilter>().expect(filter).over(usual);
        [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
            .into_iter()
            .find(|level| targets.would_enable(module, &level.into_level().expect("not off")))
            .unwrap_or(Level::OFF)
    }

    #[test]
    fn a_filter_is_a_level_or_levels_by_module() {
        let table = [
            ("info", "kpr_operator", Level::INFO),
            ("DEBUG", "kpr_operator", Level::DEBUG),
            ("off", "kpr_operator", Level::OFF),
            ("info,kpr_operator::lease=trace", "kpr_operator::lease", Level::TRACE),
            ("info, kpr_operator::lease=trace", "kpr_operator::drain", Level::INFO),
            ("kpr_operator=off,warn", "kpr_operator::lease", Level::OFF),
            ("kpr_operator=off,warn", "kube_client", Level::WARN),
            ("kpr_operator=debug", "kube_client", Level::OFF),
            ("info,warn", "kube_client", Level::WARN),
        ];
        for (filter, module, expected) in table {
            assert_eq!(lets_through(filter, &[], module), expected, "{filter}: {module}");
        }
    }

    #[test]
    fn a_filter_that_names_a_module_overrides_its_usual_level() {
        let usual = [("kube_client", Level::OFF)];
        assert_eq!(lets_through("trace", &usual, "kube_client::client"), Level::OFF);
        assert_eq!(
            lets_through("info,kube_client=debug", &usual, "kube_client::client"),
            Level::DEBUG
        );
    }

    #[test]
    fn a_slip_is_named() {
        let level = |text: &str| FilterError::Level(text.to_owned());
        let module = |text: &str| FilterError::Module(text.to_owned());
        let table = [
            ("debgu", level("debgu")),
            ("info,debgu", level("debgu")),
            ("kpr_operator", level("kpr_operator")),
            ("kpr_operator=loud", level("loud")),
            ("a=b=c", level("b=c")),
            ("", level("")),
            ("info,", level("")),
            ("kpr_operator=", level("")),
            ("=info", module("")),
            ("kpr-operator=info", module("kpr-operator")),
            ("kpr_operator:lease=info", module("kpr_operator:lease")),
            ("[span]=info", module("[span]")),
            ("info\nkpr_operator=debug", module("info\nkpr_operator")),
        ];
        for (text, expected) in table {
            let error = text.parse::<LogFilter>().expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_filter_is_shown_as_it_was_given() {
        let filter: LogFilter = " info,kube_client=debug\n".parse().expect("a filter");
        assert_eq!(filter.to_string(), "info,kube_client=debug");
    }
}
