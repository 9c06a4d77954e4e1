//! The built-in resources.

use std::sync::Arc;

use serde_json::json;

use super::{Columns, Conversion, GroupResource, Resource, ScalePaths};
use crate::jsonpath::JsonPath;
use crate::schema::builtin::{DEFINITIONS, built_in};

const APIEXTENSIONS: &str = "apiextensions.k8s.io";

/// One row of the table of built-in kinds.
struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    definition: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    flags: &'static str,
    selectable: &'static [(&'static str, &'static str)],
}

const POD_FIELDS: &[(&str, &str)] = &[
    ("spec.nodeName", ".spec.nodeName"),
    ("spec.restartPolicy", ".spec.restartPolicy"),
    ("spec.schedulerName", ".spec.schedulerName"),
    ("spec.serviceAccountName", ".spec.serviceAccountName"),
    ("spec.hostNetwork", ".spec.hostNetwork"),
    ("status.phase", ".status.phase"),
    ("status.podIP", ".status.podIP"),
    ("status.nominatedNodeName", ".status.nominatedNodeName"),
];

const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject.kind", ".involvedObject.kind"),
    ("involvedObject.namespace", ".involvedObject.namespace"),
    ("involvedObject.name", ".involvedObject.name"),
    ("involvedObject.uid", ".involvedObject.uid"),
    ("involvedObject.apiVersion", ".involvedObject.apiVersion"),
    ("involvedObject.resourceVersion", ".involvedObject.resourceVersion"),
    ("involvedObject.fieldPath", ".involvedObject.fieldPath"),
    ("reason", ".reason"),
    ("reportingComponent", ".reportingComponent"),
    ("source", ".source.component"),
    ("type", ".type"),
];

const EVENTS_API_FIELDS: &[(&str, &str)] = &[
    ("regarding.kind", ".involvedObject.kind"),
    ("regarding.namespace", ".involvedObject.namespace"),
    ("regarding.name", ".involvedObject.name"),
    ("regarding.uid", ".involvedObject.uid"),
    ("reason", ".reason"),
    ("reportingController", ".reportingComponent"),
    ("type", ".type"),
];

// Flags: n namespaced, s status, c scale, g generation, p PUT creates, r PUT needs a resourceVersion.
const ROWS: &[Row] = &[
    row(
        "",
        "Namespace",
        "namespaces",
        "api.core",
        &["ns"],
        &[],
        "s",
        &[("status.phase", ".status.phase")],
    ),
    row(
        "",
        "Node",
        "nodes",
        "api.core",
        &["no"],
        &[],
        "s",
        &[("spec.unschedulable", ".spec.unschedulable")],
    ),
    row("", "Pod", "pods", "api.core", &["po"], &["all"], "nsg", POD_FIELDS),
    row(
        "",
        "Service",
        "services",
        "api.core",
        &["svc"],
        &["all"],
        "nsp",
        &[("spec.clusterIP", ".spec.clusterIP"), ("spec.type", ".spec.type")],
    ),
    row("", "ConfigMap", "configmaps", "api.core", &["cm"], &[], "n", &[]),
    row("", "Secret", "secrets", "api.core", &[], &[], "n", &[("type", ".type")]),
    row(
        "",
        "ServiceAccount",
        "serviceaccounts",
        "api.core",
        &["sa"],
        &[],
        "n",
        &[],
    ),
    row("", "Event", "events", "api.core", &["ev"], &[], "np", EVENT_FIELDS),
    row("", "Endpoints", "endpoints", "api.core", &["ep"], &[], "np", &[]),
    row(
        "apps",
        "Deployment",
        "deployments",
        "api.apps",
        &["deploy"],
        &["all"],
        "nscg",
        &[],
    ),
    row(
        "apps",
        "ReplicaSet",
        "replicasets",
        "api.apps",
        &["rs"],
        &["all"],
        "nscg",
        &[("status.replicas", ".status.replicas")],
    ),
    row(
        "apps",
        "DaemonSet",
        "daemonsets",
        "api.apps",
        &["ds"],
        &["all"],
        "nsg",
        &[],
    ),
    row(
        "discovery.k8s.io",
        "EndpointSlice",
        "endpointslices",
        "api.discovery",
        &[],
        &[],
        "ng",
        &[],
    ),
    row(
        "coordination.k8s.io",
        "Lease",
        "leases",
        "api.coordination",
        &[],
        &[],
        "npr",
        &[],
    ),
    row(
        "events.k8s.io",
        "Event",
        "events",
        "api.events",
        &["ev"],
        &[],
        "np",
        EVENTS_API_FIELDS,
    ),
    row(
        APIEXTENSIONS,
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "apiextensions-apiserver.pkg.apis.apiextensions",
        &["crd", "crds"],
        &["api-extensions"],
        "sgr",
        &[],
    ),
];

#[expect(clippy::too_many_arguments, reason = "one row of a table")]
const fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    definition: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    flags: &'static str,
    selectable: &'static [(&'static str, &'static str)],
) -> Row {
    Row {
        group,
        kind,
        plural,
        definition,
        short,
        categories,
        flags,
        selectable,
    }
}

/// All built-in resources, each in version v1.
pub(crate) fn resources() -> Vec<Resource> {
    ROWS.iter().map(resource).collect()
}

fn resource(row: &Row) -> Resource {
    let definition = format!("io.k8s.{}.v1.{}", row.definition, row.kind);
    let has = |flag: char| row.flags.contains(flag);
    let is_event_api = row.group == "events.k8s.io";
    Resource {
        group: row.group.to_owned(),
        version: "v1".to_owned(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: row.short.iter().map(ToString::to_string).collect(),
        categories: row.categories.iter().map(ToString::to_string).collect(),
        namespaced: has('n'),
        has_status: has('s'),
        scale: has('c').then(|| ScalePaths {
            spec_replicas: path(".spec.replicas"),
            status_replicas: path(".status.replicas"),
            selector: None,
        }),
        counts_generation: has('g'),
        unconditional_update: !has('r'),
        create_on_update: has('p'),
        is_builtin: true,
        storage: GroupResource::new(if is_event_api { "" } else { row.group }, row.plural),
        storage_version: "v1".to_owned(),
        conversion: if is_event_api {
            Conversion::Event
        } else {
            Conversion::None
        },
        schema: built_in().schema(&definition),
        openapi: Arc::new(json!({"$ref": format!("{DEFINITIONS}{definition}")})),
        rules: None,
        columns: Columns::BuiltIn,
        selectable: row
            .selectable
            .iter()
            .map(|(label, at)| ((*label).to_owned(), path(at)))
            .collect(),
        warning: None,
    }
}

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).unwrap_or_else(|error| unreachable!("a path of the built-in table: {error}"))
}
