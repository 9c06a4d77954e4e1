//! Writing objects: what happens between a decoded request and the store.

mod admit;
mod apply;
mod create;
mod delete;
mod gc;
mod meta;
mod noop;
mod system;
mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use delete::{DeleteOptions, Deletion, Propagation};
pub(crate) use update::Precondition;

/// What to do with fields that the schema does not know (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Which part of an object a request writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The object without its status.
    Main,
    /// `/status`.
    Status,
    /// `/scale`: only the number of replicas.
    Scale,
}

/// How a request wants to be carried out.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub(crate) now: Timestamp,
    /// The field manager.
    pub(crate) manager: String,
    /// Whether the request named the manager; server-side apply insists on it.
    pub(crate) manager_is_named: bool,
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
}

/// The outcome of a write.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The object as stored (not as the requested version shows it).
    pub(crate) object: Arc<Value>,
    pub(crate) created: bool,
    /// Texts for `Warning` headers.
    pub(crate) warnings: Vec<String>,
}
