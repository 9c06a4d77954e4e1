//! The columns of built-in kinds (`pkg/printers/internalversion/printers.go`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Column;
use super::cells;

/// Name, type and priority.
type Plain = (&'static str, &'static str, i64);

/// The columns by kind; the first one is always the name.
const COLUMNS: &[(&str, &[Plain])] = &[
    ("Namespace", &[("Status", "string", 0), ("Age", "string", 0)]),
    (
        "Node",
        &[
            ("Status", "string", 0),
            ("Roles", "string", 0),
            ("Age", "string", 0),
            ("Version", "string", 0),
            ("Internal-IP", "string", 1),
            ("External-IP", "string", 1),
            ("OS-Image", "string", 1),
            ("Kernel-Version", "string", 1),
            ("Container-Runtime", "string", 1),
        ],
    ),
    (
        "Pod",
        &[
            ("Ready", "string", 0),
            ("Status", "string", 0),
            ("Restarts", "string", 0),
            ("Age", "string", 0),
            ("IP", "string", 1),
            ("Node", "string", 1),
            ("Nominated Node", "string", 1),
            ("Readiness Gates", "string", 1),
        ],
    ),
    (
        "Service",
        &[
            ("Type", "string", 0),
            ("Cluster-IP", "string", 0),
            ("External-IP", "string", 0),
            ("Port(s)", "string", 0),
            ("Age", "string", 0),
            ("Selector", "string", 1),
        ],
    ),
    ("ConfigMap", &[("Data", "string", 0), ("Age", "string", 0)]),
    (
        "Secret",
        &[("Type", "string", 0), ("Data", "string", 0), ("Age", "string", 0)],
    ),
    ("ServiceAccount", &[("Secrets", "string", 0), ("Age", "string", 0)]),
    ("Endpoints", &[("Endpoints", "string", 0), ("Age", "string", 0)]),
    (
        "EndpointSlice",
        &[
            ("AddressType", "string", 0),
            ("Ports", "string", 0),
            ("Endpoints", "string", 0),
            ("Age", "string", 0),
        ],
    ),
    (
        "Deployment",
        &[
            ("Ready", "string", 0),
            ("Up-to-date", "string", 0),
            ("Available", "string", 0),
            ("Age", "string", 0),
            ("Containers", "string", 1),
            ("Images", "string", 1),
            ("Selector", "string", 1),
        ],
    ),
    (
        "ReplicaSet",
        &[
            ("Desired", "integer", 0),
            ("Current", "integer", 0),
            ("Ready", "integer", 0),
            ("Age", "string", 0),
            ("Containers", "string", 1),
            ("Images", "string", 1),
            ("Selector", "string", 1),
        ],
    ),
    (
        "DaemonSet",
        &[
            ("Desired", "integer", 0),
            ("Current", "integer", 0),
            ("Ready", "integer", 0),
            ("Up-to-date", "integer", 0),
            ("Available", "integer", 0),
            ("Node Selector", "string", 0),
            ("Age", "string", 0),
            ("Containers", "string", 1),
            ("Images", "string", 1),
            ("Selector", "string", 1),
        ],
    ),
    ("Lease", &[("Holder", "string", 0), ("Age", "string", 0)]),
    ("CustomResourceDefinition", &[("Created At", "date", 0)]),
];

/// Events do not begin with their name.
const EVENT: &[Plain] = &[
    ("Last Seen", "string", 0),
    ("Type", "string", 0),
    ("Reason", "string", 0),
    ("Object", "string", 0),
    ("Subobject", "string", 1),
    ("Source", "string", 1),
    ("Message", "string", 0),
    ("First Seen", "string", 1),
    ("Count", "string", 1),
    ("Name", "string", 1),
];

/// The column definitions of a kind.
pub(super) fn columns(kind: &str) -> Vec<Column> {
    let plain = |(name, kind, priority): &Plain| Column::new(name, kind, *priority);
    if kind == "Event" {
        return EVENT.iter().map(plain).collect();
    }
    let own = COLUMNS
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or(&[("Age", "string", 0)][..], |(_, own)| own);
    std::iter::once(Column::new("Name", "string", 0).with_format("name"))
        .chain(own.iter().map(plain))
        .collect()
}

/// The cells of one object, in the order of the columns.
pub(super) fn cells(kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    if kind == "Event" {
        return cells::event(object, now);
    }
    let mut row = vec![json!(crate::object::name(object))];
    row.extend(match kind {
        "Namespace" => cells::namespace(object, now),
        "Node" => cells::node(object, now),
        "Pod" => cells::pod(object, now),
        "Service" => cells::service(object, now),
        "ConfigMap" => cells::counted(object, &["data", "binaryData"], now),
        "Secret" => cells::secret(object, now),
        "ServiceAccount" => cells::counted(object, &["secrets"], now),
        "Endpoints" => cells::endpoints(object, now),
        "EndpointSlice" => cells::endpoint_slice(object, now),
        "Deployment" => cells::deployment(object, now),
        "ReplicaSet" => cells::replica_set(object, now),
        "DaemonSet" => cells::daemon_set(object, now),
        "Lease" => cells::lease(object, now),
        "CustomResourceDefinition" => vec![object["metadata"]["creationTimestamp"].clone()],
        _ => vec![cells::age(object, now)],
    });
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        let now = Timestamp::UNIX_EPOCH;
        for resource in crate::resource::builtin::resources() {
            let empty = json!({"metadata": {"name": "a"}});
            let columns = columns(&resource.kind).len();
            assert_eq!(cells(&resource.kind, &empty, now).len(), columns, "{}", resource.kind);
        }
    }
}
