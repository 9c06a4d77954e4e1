//! The whole state of the server, owned by one lock.

use std::sync::Arc;

use crate::alloc::Cursors;
use crate::error::{ApiError, Result};
use crate::options::Options;
use crate::resource::registry::Registry;
use crate::resource::{ObjectKey, Resource};
use crate::store::Store;
use serde_json::Value;

/// Objects, served resources and allocation cursors.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) cursors: Cursors,
    pub(crate) options: Options,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            store: Store::new(options.log_capacity),
            registry: Registry::new(),
            cursors: Cursors::default(),
            options,
        }
    }

    /// The served resource, or 404.
    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Resource>> {
        self.registry
            .find(group, version, plural)
            .cloned()
            .ok_or_else(ApiError::no_such_resource)
    }

    /// The stored object, or 404.
    pub(crate) fn live(&self, resource: &Resource, key: &ObjectKey) -> Result<Arc<Value>> {
        self.store
            .get(key)
            .cloned()
            .ok_or_else(|| ApiError::not_found(resource.about(&key.name)))
    }
}
