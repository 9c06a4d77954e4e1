//! Which log lines are written: read and changed while the program runs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::info;
use tracing_subscriber::{
    Registry,
    filter::{LevelFilter, Targets},
    reload,
};

use crate::LogFilter;

/// Where the lines of this module come from: they tell what has become of all others, so no level of others hides them.
const OWN: (&str, LevelFilter) = (env!("CARGO_CRATE_NAME"), LevelFilter::INFO);

/// What holds lines back; it goes right onto the [`Registry`].
pub type LevelsLayer = reload::Layer<Targets, Registry>;

/// The filter of log lines. Clones are about the same one.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    /// With which the program started.
    initial: LogFilter,
    current: Mutex<LogFilter>,
    usual: Vec<(&'static str, LevelFilter)>,
    handle: reload::Handle<Targets, Registry>,
}

/// Why a filter could not be brought into force.
#[derive(Debug, thiserror::Error)]
#[error("the filter of log lines can't be changed: {0}")]
pub struct Gone(#[from] reload::Error);

impl Levels {
    /// Begins with the filter `initial`, over the usual levels of modules that a filter need not name. They hold as long as the
    /// layer is in use.
    pub fn new(usual: &[(&'static str, LevelFilter)], initial: LogFilter) -> (LevelsLayer, Self) {
        let usual: Vec<_> = [OWN].iter().chain(usual).copied().collect();
        let (layer, handle) = reload::Layer::new(initial.over(&usual));
        let levels = Self(Arc::new(Inner {
            current: Mutex::new(initial.clone()),
            initial,
            usual,
            handle,
        }));
        (layer, levels)
    }

    /// The filter with which the program started.
    pub fn initial(&self) -> &LogFilter {
        &self.0.initial
    }

    /// The filter in force.
    pub fn current(&self) -> LogFilter {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings a filter into force, and tells it in a line if it is another than before.
    pub fn set(&self, filter: LogFilter) -> Result<(), Gone> {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == filter {
            return Ok(());
        }
        self.0.handle.reload(filter.over(&self.0.usual))?;
        info!("log lines are filtered by {filter}");
        *current = filter;
        Ok(())
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Levels").field(&self.current()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing::debug;
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> Vec<String> {
            let written = std::mem::take(&mut *self.0.lock().expect("not poisoned"));
            let text = String::from_utf8(written).expect("text");
            text.lines().map(str::to_owned).collect()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn filter(text: &str) -> LogFilter {
        text.parse().expect(text)
    }

    #[test]
    fn a_change_is_told_in_one_line_and_holds_at_once() {
        let lines = Lines::default();
        let (layer, levels) = Levels::new(&[("noisy", LevelFilter::OFF)], filter("info"));
        let format = tracing_subscriber::fmt::layer()
            .with_writer(lines.clone())
            .with_target(false)
            .with_level(false)
            .without_time()
            .with_ansi(false);
        let subscriber = Registry::default().with(layer).with(format);
        let set = |text: &str| {
            levels.set(filter(text)).expect("the layer is in use");
            debug!(target: "kpr", "a detail");
            debug!(target: "noisy", "noise");
            lines.take()
        };
        tracing::subscriber::with_default(subscriber, || {
            assert_eq!(set("info"), [""; 0], "no change");
            assert_eq!(set("debug"), ["log lines are filtered by debug", "a detail"]);
            assert_eq!(set("off"), ["log lines are filtered by off"]);
            assert_eq!(
                set("warn,noisy=debug"),
                ["log lines are filtered by warn,noisy=debug", "noise"]
            );
        });
        assert_eq!(levels.current(), filter("warn,noisy=debug"));
        assert_eq!(*levels.initial(), filter("info"));
    }

    #[test]
    fn what_no_longer_holds_is_not_said_to_be_in_force() {
        let (layer, levels) = Levels::new(&[], filter("info"));
        drop(layer);
        assert!(levels.set(filter("debug")).is_err());
        assert_eq!(levels.current(), filter("info"));
    }
}
