//! How lists and maps of the built-in types merge.
//!
//! The published schemas that `k8s-openapi` carries have lost the `x-kubernetes-list-*` and patch-strategy extensions.
//! This table puts them back for the types that this server serves (from the field comments in `k8s.io/api`).

use serde_json::{Map, Value, json};

/// What one field's list or map is.
#[derive(Clone, Copy)]
enum Merge {
    /// Server-side apply by these keys; strategic merge by the first of them.
    Map(&'static [&'static str]),
    /// As `Map`, where strategic merge does not merge.
    MapOnlyApply(&'static [&'static str]),
    /// Scalars merged as a set, in both.
    Set,
    /// A map or struct with one owner.
    AtomicMap,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const CORE: &str = "io.k8s.api.core.v1";
const APPS: &str = "io.k8s.api.apps.v1";
const CRD: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

const FIELDS: &[(&str, &str, &str, Merge)] = &[
    (META, "ObjectMeta", "finalizers", Merge::Set),
    (META, "ObjectMeta", "ownerReferences", Merge::Map(&["uid"])),
    (CORE, "ServiceSpec", "ports", Merge::Map(&["port", "protocol"])),
    (CORE, "ServiceSpec", "selector", Merge::AtomicMap),
    (CORE, "ServiceStatus", "conditions", Merge::Map(&["type"])),
    (CORE, "PodSpec", "containers", Merge::Map(&["name"])),
    (CORE, "PodSpec", "initContainers", Merge::Map(&["name"])),
    (CORE, "PodSpec", "ephemeralContainers", Merge::Map(&["name"])),
    (CORE, "PodSpec", "volumes", Merge::Map(&["name"])),
    (CORE, "PodSpec", "imagePullSecrets", Merge::Map(&["name"])),
    (CORE, "PodSpec", "hostAliases", Merge::Map(&["ip"])),
    (CORE, "PodSpec", "nodeSelector", Merge::AtomicMap),
    (
        CORE,
        "PodSpec",
        "topologySpreadConstraints",
        Merge::Map(&["topologyKey", "whenUnsatisfiable"]),
    ),
    (CORE, "Container", "ports", Merge::Map(&["containerPort", "protocol"])),
    (CORE, "Container", "env", Merge::Map(&["name"])),
    (CORE, "Container", "volumeMounts", Merge::Map(&["mountPath"])),
    (CORE, "Container", "volumeDevices", Merge::Map(&["devicePath"])),
    (CORE, "PodStatus", "conditions", Merge::Map(&["type"])),
    (CORE, "PodStatus", "podIPs", Merge::Map(&["ip"])),
    (CORE, "NodeSpec", "podCIDRs", Merge::Set),
    (CORE, "NodeStatus", "conditions", Merge::Map(&["type"])),
    (CORE, "NodeStatus", "addresses", Merge::Map(&["type"])),
    (CORE, "NamespaceStatus", "conditions", Merge::Map(&["type"])),
    (CORE, "ServiceAccount", "secrets", Merge::Map(&["name"])),
    (CORE, "ObjectReference", "", Merge::AtomicMap),
    (CORE, "LocalObjectReference", "", Merge::AtomicMap),
    (CORE, "ConfigMapKeySelector", "", Merge::AtomicMap),
    (CORE, "ObjectFieldSelector", "", Merge::AtomicMap),
    (META, "LabelSelector", "", Merge::AtomicMap),
    (APPS, "DeploymentStatus", "conditions", Merge::Map(&["type"])),
    (APPS, "ReplicaSetStatus", "conditions", Merge::Map(&["type"])),
    (APPS, "DaemonSetStatus", "conditions", Merge::Map(&["type"])),
    (
        CRD,
        "CustomResourceDefinitionStatus",
        "conditions",
        Merge::MapOnlyApply(&["type"]),
    ),
];

/// Fields whose absence in a list item means this value, so that a merge key is never missing.
const KEY_DEFAULTS: &[(&str, &str, &str, &str)] = &[
    (CORE, "ServicePort", "protocol", "TCP"),
    (CORE, "ContainerPort", "protocol", "TCP"),
];

/// Adds the extensions to the definitions of the built-in types.
pub(crate) fn apply(definitions: &mut Map<String, Value>) {
    for (package, ty, field, merge) in FIELDS {
        let Some(definition) = definitions.get_mut(&format!("{package}.{ty}")) else {
            continue;
        };
        let target = if field.is_empty() {
            Some(definition)
        } else {
            definition.pointer_mut(&format!("/properties/{field}"))
        };
        if let Some(Value::Object(target)) = target {
            annotate(target, *merge);
        }
    }
    for (package, ty, field, value) in KEY_DEFAULTS {
        let property = definitions.get_mut(&format!("{package}.{ty}"));
        if let Some(Value::Object(property)) = property.and_then(|d| d.pointer_mut(&format!("/properties/{field}"))) {
            property.insert("default".into(), json!(value));
        }
    }
}

fn annotate(target: &mut Map<String, Value>, merge: Merge) {
    let mut set = |key: &str, value: Value| {
        target.insert(key.to_owned(), value);
    };
    match merge {
        Merge::Map(keys) => {
            set("x-kubernetes-list-type", json!("map"));
            set("x-kubernetes-list-map-keys", json!(keys));
            set("x-kubernetes-patch-strategy", json!("merge"));
            set("x-kubernetes-patch-merge-key", json!(keys[0]));
        }
        Merge::MapOnlyApply(keys) => {
            set("x-kubernetes-list-type", json!("map"));
            set("x-kubernetes-list-map-keys", json!(keys));
        }
        Merge::Set => {
            set("x-kubernetes-list-type", json!("set"));
            set("x-kubernetes-patch-strategy", json!("merge"));
        }
        Merge::AtomicMap => set("x-kubernetes-map-type", json!("atomic")),
    }
}
