//! Who may do what: exactly this, so that a new right is a change of this file.

use std::collections::BTreeMap;

use kpr_chart::{Helm, Rendered};
use serde_json::Value;

fn words(value: &Value) -> String {
    let words: Vec<_> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    words.join(",")
}

/// `group/resource[names]: verbs` of each rule.
fn rules(of: &Value) -> Vec<String> {
    let text = |rule: &Value| {
        let names = words(&rule["resourceNames"]);
        let names = if names.is_empty() { names } else { format!("[{names}]") };
        let group = words(&rule["apiGroups"]);
        format!(
            "{group}/{}{names}: {}",
            words(&rule["resources"]),
            words(&rule["verbs"])
        )
    };
    of["rules"].as_array().into_iter().flatten().map(text).collect()
}

/// What a service account may, by the namespace (none: everywhere) in which it may.
fn granted(rendered: &Rendered, account: &str) -> BTreeMap<Option<String>, Vec<String>> {
    let mut granted = BTreeMap::<_, Vec<String>>::new();
    for kind in ["ClusterRoleBinding", "RoleBinding"] {
        for binding in rendered.of_kind(kind) {
            let subjects = binding["subjects"].as_array().unwrap();
            assert_eq!(subjects.len(), 1, "one binding, one subject");
            assert_eq!(
                (&subjects[0]["kind"], &subjects[0]["namespace"]),
                (&"ServiceAccount".into(), &"kube-system".into())
            );
            if subjects[0]["name"] != account {
                continue;
            }
            let role = (
                binding["roleRef"]["kind"].as_str().unwrap(),
                binding["roleRef"]["name"].as_str().unwrap(),
            );
            let namespace = binding["metadata"]["namespace"].as_str().map(str::to_owned);
            granted
                .entry(namespace)
                .or_default()
                .extend(rules(rendered.get(role.0, role.1).unwrap()));
        }
    }
    granted
}

#[test]
fn agents_read_what_they_serve_and_write_status_and_events() {
    let rendered = Helm::default().render().unwrap();
    let everywhere = [
        "/services: get,list,watch",
        "discovery.k8s.io/endpointslices: list,watch",
        "/nodes,pods: list,watch",
        "kpr.dev/nodedatapaths: list,watch",
        "kpr.dev/nodedatapaths/status: patch",
        "events.k8s.io/events: create,patch",
    ];
    assert_eq!(
        granted(&rendered, "kpr-agent"),
        BTreeMap::from([(None, everywhere.map(str::to_owned).to_vec())])
    );
}

#[test]
fn operators_write_datapaths_status_events_and_their_lease() {
    let rendered = Helm::default().render().unwrap();
    let granted = granted(&rendered, "kpr-operator");
    let everywhere = [
        "kpr.dev/kubeproxyreplacements: list,watch,patch",
        "kpr.dev/kubeproxyreplacements/status: patch",
        "kpr.dev/nodedatapaths: list,watch,create,patch,delete",
        "/nodes: list,watch",
    ];
    assert_eq!(granted[&None], everywhere);
    assert_eq!(
        granted[&Some("default".to_owned())],
        ["events.k8s.io/events: create,patch"]
    );
    assert_eq!(
        granted[&Some("kube-system".to_owned())],
        [
            "coordination.k8s.io/leases: create",
            "coordination.k8s.io/leases[kpr-operator]: get,update",
            "apps/daemonsets: list,watch,patch",
            "/pods: list,watch",
        ]
    );
    assert_eq!(granted.len(), 3);
}

#[test]
fn hooks_may_what_their_command_does() {
    let rendered = Helm::with(&["crds.keep=false"]).render().unwrap();
    let crds = "apiextensions.k8s.io/customresourcedefinitions[kubeproxyreplacements.kpr.dev,nodedatapaths.kpr.dev]";
    let table: [(&str, Vec<String>); 4] = [
        (
            "kpr-uninstall",
            vec![
                "kpr.dev/kubeproxyreplacements: list,delete".into(),
                "kpr.dev/nodedatapaths: list".into(),
            ],
        ),
        (
            "kpr-crds-apply",
            vec![
                format!("{crds}: patch"),
                "apiextensions.k8s.io/customresourcedefinitions: create".into(),
            ],
        ),
        ("kpr-crds-delete", vec![format!("{crds}: get,delete")]),
        ("kpr-test", vec!["kpr.dev/kubeproxyreplacements: list".into()]),
    ];
    for (account, expected) in table {
        assert_eq!(
            granted(&rendered, account),
            BTreeMap::from([(None, expected)]),
            "{account}"
        );
    }
}

#[test]
fn nothing_is_granted_by_a_star() {
    let rendered = Helm::with(&["crds.keep=false"]).render().unwrap();
    for kind in ["ClusterRole", "Role"] {
        for role in rendered.of_kind(kind) {
            assert!(!role["rules"].to_string().contains('*'), "{role}");
        }
    }
}

#[test]
fn tokens_are_mounted_only_where_they_are_used() {
    let rendered = Helm::with(&["crds.keep=false"]).render().unwrap();
    for account in rendered.of_kind("ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false, "{account}");
    }
    for (name, pod) in rendered.pods() {
        assert_eq!(pod["automountServiceAccountToken"], true, "{name}");
        let account = pod["serviceAccountName"].as_str().unwrap();
        assert!(rendered.find("ServiceAccount", account).is_some(), "{name}");
    }
}
