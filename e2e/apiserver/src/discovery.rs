//! Discovery: which groups, versions and resources are served.

use serde_json::{Value, json};

use crate::http::negotiate::Discovery;
use crate::resource::Resource;
use crate::resource::registry::Registry;

/// `/version`: the API of Kubernetes that this server speaks.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.0+kpr", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

/// `/api`
pub(crate) fn legacy_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`
pub(crate) fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry
        .groups()
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_object(group, versions, false))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`
pub(crate) fn group(registry: &Registry, group: &str) -> Option<Value> {
    registry
        .groups()
        .iter()
        .find(|(name, _)| name == group)
        .map(|(name, versions)| group_object(name, versions, true))
}

fn group_object(group: &str, versions: &[String], whole: bool) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(version).collect();
    let mut object = json!({"name": group, "versions": all, "preferredVersion": all[0]});
    if whole {
        object["kind"] = json!("APIGroup");
        object["apiVersion"] = json!("v1");
    }
    object
}

/// `/api/v1` and `/apis/GROUP/VERSION`
pub(crate) fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    let mut resources: Vec<_> = registry.of_version(group, version).collect();
    resources.sort_by_key(|resource| &resource.plural);
    for resource in resources {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs(),
        });
        add_names(&mut entry, resource);
        list.push(entry);
        for sub in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": sub.kind, "verbs": sub.verbs,
            });
            if !sub.group.is_empty() {
                entry["group"] = json!(sub.group);
                entry["version"] = json!("v1");
            }
            list.push(entry);
        }
    }
    if list.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}))
}

/// The other names of a resource, where it has any.
fn add_names(entry: &mut Value, resource: &Resource) {
    for (field, names) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !names.is_empty() {
            entry[field] = json!(names);
        }
    }
}

struct Sub {
    name: &'static str,
    /// Group of the subresource's kind, where it is not that of the resource.
    group: &'static str,
    kind: String,
    verbs: &'static [&'static str],
}

fn subresources(resource: &Resource) -> Vec<Sub> {
    const VERBS: &[&str] = &["get", "patch", "update"];
    let mut subs = Vec::new();
    if resource.is("", "Pod") {
        subs.push(Sub {
            name: "binding",
            group: "",
            kind: "Binding".to_owned(),
            verbs: &["create"],
        });
    }
    if resource.scale.is_some() {
        subs.push(Sub {
            name: "scale",
            group: "autoscaling",
            kind: "Scale".to_owned(),
            verbs: VERBS,
        });
    }
    if resource.has_status {
        subs.push(Sub {
            name: "status",
            group: "",
            kind: resource.kind.clone(),
            verbs: VERBS,
        });
    }
    if !resource.is_builtin {
        // Built-in resources are told in the order of their names, custom ones in that of the server's code.
        subs.reverse();
    }
    subs
}

/// Aggregated discovery of `/api` (`legacy`) or `/apis`.
pub(crate) fn aggregated(registry: &Registry, legacy: bool, form: Discovery) -> Value {
    let items: Vec<Value> = registry
        .groups()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == legacy)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = registry
                        .of_version(&group, version)
                        .map(|r| aggregated_resource(r))
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let version = if form == Discovery::AggregatedV2Beta1 {
        "v2beta1"
    } else {
        "v2"
    };
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {},
        "items": items,
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let subresources: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|sub| {
            let (group, version) = if sub.group.is_empty() {
                (resource.group.as_str(), resource.version.as_str())
            } else {
                (sub.group, "v1")
            };
            json!({
                "subresource": sub.name, "verbs": sub.verbs,
                "responseKind": {"group": group, "version": version, "kind": sub.kind},
            })
        })
        .collect();
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    add_names(&mut entry, resource);
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}
