//! What the server serves: one [`Resource`] per group, version and plural name.

pub(crate) mod builtin;
pub(crate) mod custom;
pub(crate) mod registry;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::About;
use crate::jsonpath::JsonPath;
use crate::schema::Schema;
use crate::schema::cel::Rules;

/// Group and plural name: where objects are stored, whatever the version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupResource {
    pub(crate) group: String,
    pub(crate) resource: String,
}

impl GroupResource {
    pub(crate) fn new(group: &str, resource: &str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
        }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::error::qualified(&self.resource, &self.group))
    }
}

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    pub(crate) resource: GroupResource,
    /// Empty for cluster-scoped objects.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// How an object of one version differs from what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// Only `apiVersion` differs.
    None,
    /// `events.k8s.io/v1`: stored as core/v1 events with other field names.
    Event,
}

/// The subresource `scale`.
#[derive(Debug, Clone)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: JsonPath,
    pub(crate) status_replicas: JsonPath,
    pub(crate) selector: Option<JsonPath>,
}

/// A column of a custom resource's table.
#[derive(Debug, Clone)]
pub(crate) struct PrintColumn {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) path: JsonPath,
}

/// How a resource prints as a table.
#[derive(Debug, Clone)]
pub(crate) enum Columns {
    /// Written for the kind.
    BuiltIn,
    /// From `additionalPrinterColumns`.
    Custom(Vec<PrintColumn>),
}

/// One served resource.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties, one row of a table each"
)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Whether `status` is a subresource of its own.
    pub(crate) has_status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Whether the server counts `metadata.generation`.
    pub(crate) counts_generation: bool,
    /// A PUT without resourceVersion overwrites.
    pub(crate) unconditional_update: bool,
    /// A PUT of an absent object creates it.
    pub(crate) create_on_update: bool,
    /// A kind of Kubernetes itself: typed decoding and strategic merge.
    pub(crate) is_builtin: bool,
    pub(crate) storage: GroupResource,
    pub(crate) storage_version: String,
    pub(crate) conversion: Conversion,
    pub(crate) schema: Arc<Schema>,
    /// The schema as JSON, for OpenAPI.
    pub(crate) openapi: Arc<Value>,
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) columns: Columns,
    /// Field labels for field selectors, beside name and namespace.
    pub(crate) selectable: Vec<(String, JsonPath)>,
    /// Sent as a `Warning` header with each answer (deprecated CRD versions).
    pub(crate) warning: Option<String>,
}

impl Resource {
    /// `group/version`, or `version` for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The apiVersion in which objects are stored.
    pub(crate) fn storage_api_version(&self) -> String {
        if self.storage.group.is_empty() {
            self.storage_version.clone()
        } else {
            format!("{}/{}", self.storage.group, self.storage_version)
        }
    }

    pub(crate) fn about<'a>(&'a self, name: &'a str) -> About<'a> {
        About {
            group: &self.group,
            resource: &self.plural,
            name,
        }
    }

    pub(crate) fn key(&self, namespace: &str, name: &str) -> ObjectKey {
        ObjectKey {
            resource: self.storage.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Whether this is the built-in kind `kind` (stored in `group`).
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.is_builtin && self.storage.group == group && self.kind == kind
    }

    /// A stored object as this version shows it.
    pub(crate) fn project(&self, stored: &Value) -> Value {
        match self.conversion {
            Conversion::Event => crate::events::to_events_api(stored),
            Conversion::None => {
                let mut object = stored.clone();
                let map = crate::object::map_mut(&mut object);
                map.insert("apiVersion".into(), self.api_version().into());
                map.insert("kind".into(), self.kind.clone().into());
                object
            }
        }
    }

    /// The verbs of the resource, as discovery lists them.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        const ALL: [&str; 8] = [
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ];
        const CUSTOM: [&str; 8] = [
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "create",
            "update",
            "watch",
        ];
        const NAMESPACE: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];
        if !self.is_builtin {
            &CUSTOM
        } else if self.is("", "Namespace") {
            &NAMESPACE
        } else {
            &ALL
        }
    }
}
