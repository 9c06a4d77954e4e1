//! What the API server has of kpr and of Services, and what kpr's pods have logged.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{args::Args, kubectl, pods};

/// Kinds of objects, and the file that has them. Pods are not among them as objects: they have environments.
const KINDS: [(&str, &str); 5] = [
    ("kubeproxyreplacements.kpr.dev", "objects/kubeproxyreplacements.json"),
    ("nodedatapaths.kpr.dev", "objects/nodedatapaths.json"),
    ("services", "objects/services.json"),
    ("endpointslices.discovery.k8s.io", "objects/endpointslices.json"),
    ("nodes", "objects/nodes.json"),
];

/// Labels of all of kpr's pods.
const ALL_PODS: &str = "app.kubernetes.io/part-of=kpr";

const LEFT_OUT: &str = "(left out)";

/// A file and what it has, or why it can't be had.
type Part = (String, Result<Vec<u8>>);

/// Objects, and a table of kpr's pods.
pub(super) async fn all(args: &Args) -> Vec<Part> {
    let mut parts = Vec::new();
    for (kind, file) in KINDS {
        let list = kubectl::output(args, &["get", kind, "--all-namespaces", "--output", "json"]).await;
        parts.push((file.to_owned(), list.and_then(|list| without_annotations(&list))));
    }
    for (what, file) in [
        ("pods", "objects/pods.txt"),
        ("daemonsets,deployments", "objects/workloads.txt"),
    ] {
        let mut arguments = vec!["get", what, "--all-namespaces", "--output", "wide"];
        arguments.extend(["--selector", ALL_PODS]);
        parts.push((file.to_owned(), kubectl::output(args, &arguments).await));
    }
    parts
}

/// The last lines of each of kpr's pods.
pub(super) async fn logs(args: &Args, lines: u32) -> Vec<Part> {
    let pods = match pods::labelled(args, ALL_PODS).await {
        Ok(pods) => pods,
        Err(error) => return vec![("logs".to_owned(), Err(error))],
    };
    let tail = format!("--tail={lines}");
    let mut parts = Vec::new();
    for (namespace, pod) in pods {
        let arguments = [
            "logs",
            "--namespace",
            &namespace,
            &pod,
            "--all-containers",
            "--timestamps",
            &tail,
        ];
        let log = kubectl::output(args, &arguments).await;
        parts.push((format!("logs/{pod}.log"), log));
    }
    parts
}

/// Annotations are anybody's: some write credentials there. Their names stay.
fn without_annotations(list: &[u8]) -> Result<Vec<u8>> {
    let mut list: Value = serde_json::from_slice(list).context("kubectl's list was not understood")?;
    for item in list["items"].as_array_mut().into_iter().flatten() {
        if let Some(metadata) = item["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let annotations = item.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        for (_name, value) in annotations.into_iter().flatten() {
            *value = LEFT_OUT.into();
        }
    }
    Ok(serde_json::to_vec_pretty(&list)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_keep_their_names_only() {
        let list = json!({"items": [
            {"metadata": {"name": "web", "annotations": {"lb/token": "secret"}, "managedFields": [{"f:lb/token": {}}]}},
            {"metadata": {"name": "api"}},
        ]});
        let text = without_annotations(list.to_string().as_bytes()).unwrap();
        let stripped: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            stripped["items"][0]["metadata"],
            json!({"name": "web", "annotations": {"lb/token": LEFT_OUT}})
        );
        assert_eq!(stripped["items"][1]["metadata"], json!({"name": "api"}));
    }
}
