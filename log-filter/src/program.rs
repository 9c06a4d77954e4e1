//! From a command line to log lines on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    Layer, Registry, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt, util::TryInitError,
};

use crate::{Levels, LogFilter};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What a program knows about its log lines without being told.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Levels of modules of libraries. A filter that names a module overrides its level.
    pub usual: &'static [(&'static str, LevelFilter)],
    /// Whether a line names the module that it comes from.
    pub names_modules: bool,
}

/// Why there are no log lines.
#[derive(Debug, thiserror::Error)]
#[error("logging can't be started: {0}")]
pub struct StartError(#[from] TryInitError);

impl Program {
    /// Starts logging for the whole process. The filter can be changed from then on.
    pub fn start(&self, format: LogFormat, filter: LogFilter) -> Result<Levels, StartError> {
        let (layer, levels) = Levels::new(self.usual, filter);
        let lines = fmt::layer()
            .with_writer(io::stderr)
            .with_target(self.names_modules)
            .with_ansi(io::stderr().is_terminal());
        let lines = match format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        Registry::default().with(layer).with(lines).try_init()?;
        Ok(levels)
    }
}
