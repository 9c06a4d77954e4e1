//! What runs before an upgrade, before and after the end, and as a test.

use kpr_chart::{Helm, Rendered};
use serde_json::{Value, json};

/// Kinds and names of a hook's objects, in the order in which helm makes them.
fn hook(rendered: &Rendered, hook: &str) -> Vec<String> {
    let annotation = |object: &Value, name: &str| {
        object["metadata"]["annotations"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut found: Vec<_> = rendered
        .objects
        .iter()
        .filter(|object| annotation(object, "helm.sh/hook") == hook)
        .map(|object| {
            let weight: i32 = annotation(object, "helm.sh/hook-weight").parse().unwrap();
            let name = object["metadata"]["name"].as_str().unwrap();
            (weight, format!("{} {name}", object["kind"].as_str().unwrap()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn each_hook_makes_its_rights_before_its_pod() {
    let rendered = Helm::with(&["crds.keep=false"]).render().unwrap();
    for (event, name, runs) in [
        ("pre-delete", "kpr-uninstall", "Job"),
        ("pre-upgrade", "kpr-crds-apply", "Job"),
        ("post-delete", "kpr-crds-delete", "Job"),
        ("test", "kpr-test", "Pod"),
    ] {
        let expected =
            ["ClusterRole", "ServiceAccount", "ClusterRoleBinding", runs].map(|kind| format!("{kind} {name}"));
        assert_eq!(hook(&rendered, event), expected);
    }
    let all: Vec<_> = rendered
        .objects
        .iter()
        .filter_map(|o| o["metadata"]["annotations"].get("helm.sh/hook-delete-policy"))
        .collect();
    assert_eq!(all.len(), 16);
    assert!(
        all.iter()
            .all(|policy| **policy == json!("before-hook-creation,hook-succeeded")),
        "what failed stays, to be looked at"
    );
}

#[test]
fn hooks_that_nobody_wants_are_not_there() {
    let rendered = Helm::with(&["crds.upgrade=false,uninstall.enabled=false"])
        .render()
        .unwrap();
    for event in ["pre-delete", "pre-upgrade", "post-delete"] {
        assert_eq!(hook(&rendered, event), [] as [&str; 0], "{event}");
    }
}

#[test]
fn the_end_is_waited_for_but_not_for_ever() {
    let rendered = Helm::with(&["uninstall.timeoutSeconds=60"]).render().unwrap();
    let job = &rendered.get("Job", "kpr-uninstall").unwrap()["spec"];
    assert_eq!(
        job["template"]["spec"]["containers"][0]["args"],
        json!(["uninstall", "--timeout=60"])
    );
    assert_eq!(
        job["activeDeadlineSeconds"], 90,
        "helm is told by the command, and not by the deadline"
    );
}
