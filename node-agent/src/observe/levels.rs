//! Which log lines are written: read and changed while the agent runs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

type Change = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// The filter of log lines, as `--log` takes it. Clones are about the same one.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    /// With which the agent started.
    initial: String,
    current: Mutex<String>,
    change: Box<Change>,
}

impl Levels {
    /// `change` brings a filter into force, or says what is wrong with it.
    pub fn new(initial: &str, change: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            initial: initial.to_owned(),
            current: Mutex::new(initial.to_owned()),
            change: Box::new(change),
        }))
    }

    /// The filter with which the agent started.
    pub fn initial(&self) -> &str {
        &self.0.initial
    }

    /// The filter in force.
    pub fn current(&self) -> String {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings a filter into force.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a sentence; the one before stays in force.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.0.change)(filter)?;
        filter.clone_into(&mut current);
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
    use super::*;

    #[test]
    fn a_filter_that_is_refused_changes_nothing() {
        let levels = Levels::new("info", |filter| match filter {
            "debug" => Ok(()),
            other => Err(format!("{other} is no level")),
        });
        assert_eq!(levels.set("loud"), Err("loud is no level".to_owned()));
        assert_eq!(levels.current(), "info");
        assert_eq!(levels.set("debug"), Ok(()));
        assert_eq!((levels.current().as_str(), levels.initial()), ("debug", "info"));
    }
}
