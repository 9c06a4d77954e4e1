//! Structural schemas: the shape of a resource, from a CRD or from the built-in types.
//!
//! One representation serves pruning, defaulting, validation, strategic merge and server-side apply.

pub(crate) mod builtin;
pub(crate) mod cel;
pub(crate) mod default;
mod format;
pub(crate) mod overlay;
mod parse;
pub(crate) mod prune;
pub(crate) mod validate;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

pub(crate) use parse::parse;

/// The JSON type that a schema asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
        }
    }
}

/// How the items of a list are told apart when two writers meet (`x-kubernetes-list-type`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    /// The list is one value with one owner.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects told apart by these keys.
    Map(Vec<String>),
}

/// How strategic merge patch treats a list (`x-kubernetes-patch-strategy: merge`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StrategicList {
    /// A list of objects, merged by this key.
    ByKey(String),
    /// A list of scalars, merged as a set.
    Scalars,
}

/// One node of a structural schema.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the extensions of OpenAPI schemas are flags"
)]
pub(crate) struct Schema {
    pub(crate) kind: Option<Type>,
    pub(crate) nullable: bool,
    pub(crate) properties: BTreeMap<String, Arc<Schema>>,
    /// The schema of map values; a permissive node stands for `additionalProperties: true`.
    pub(crate) additional: Option<Arc<Schema>>,
    pub(crate) items: Option<Arc<Schema>>,
    /// Fields that the schema does not name are kept (`x-kubernetes-preserve-unknown-fields`).
    pub(crate) preserve_unknown: bool,
    pub(crate) int_or_string: bool,
    /// The node is a whole Kubernetes object (`x-kubernetes-embedded-resource`).
    pub(crate) embedded: bool,
    pub(crate) default: Option<Value>,
    pub(crate) list: ListType,
    /// The map or struct has one owner (`x-kubernetes-map-type: atomic`).
    pub(crate) atomic_map: bool,
    pub(crate) strategic: Option<StrategicList>,
    pub(crate) checks: Checks,
}

/// The rules for a value, beside its type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    pub(crate) format: Option<String>,
    pub(crate) required: Vec<String>,
    pub(crate) allowed: Option<Vec<Value>>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) pattern: Option<regex::Regex>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// A numeric limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) exclusive: bool,
}

static ANYTHING: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::new(Schema {
        preserve_unknown: true,
        ..Schema::default()
    })
});

impl Schema {
    /// A node that takes whatever comes.
    pub(crate) fn anything() -> Arc<Schema> {
        ANYTHING.clone()
    }

    /// The schema of the field or map value `key`; `None` means that the schema does not know it.
    pub(crate) fn field(&self, key: &str) -> Option<&Arc<Schema>> {
        self.properties
            .get(key)
            .or(self.additional.as_ref())
            .or_else(|| self.preserve_unknown.then_some(&*ANYTHING))
    }

    /// The schema of list items.
    pub(crate) fn item(&self) -> &Arc<Schema> {
        self.items.as_ref().unwrap_or(&ANYTHING)
    }

    /// Whether `key` is a declared field (not a map key, not an unknown field).
    pub(crate) fn declares(&self, key: &str) -> bool {
        self.properties.contains_key(key)
    }
}
