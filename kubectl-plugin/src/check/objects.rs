//! What a check makes in the cluster. Pure.

use serde_json::{Value, json};

use super::nodes::Node;

/// Every object of a check has it; `--clean` finds by it what was left.
pub(super) const LABEL: &str = "app.kubernetes.io/name=kpr-check";
const LABEL_KEY: &str = "app.kubernetes.io/name";
const LABEL_VALUE: &str = "kpr-check";

/// Who is behind a Service, and who asks.
const ROLE: &str = "kpr.dev/check-role";
const SERVER: &str = "server";

/// The port of the Services, and that of the servers, which need no privilege for it.
pub(super) const PORT: u16 = 80;
const SERVER_PORT: u16 = 8080;

/// Names of the Services.
pub(super) const CLUSTER_IP: &str = "cluster-ip";
pub(super) const STICKY: &str = "sticky";
pub(super) const INTERNAL_LOCAL: &str = "internal-local";
pub(super) const NODE_PORT: &str = "node-port";
pub(super) const NODE_PORT_LOCAL: &str = "node-port-local";
pub(super) const NOBODY: &str = "nobody";

/// A pod of a check, and the place of its node in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodName {
    pub(super) name: String,
    pub(super) node: usize,
}

/// One server on each node; two if there is only one, so that there is something to balance.
pub(super) fn servers(nodes: &[Node]) -> Vec<PodName> {
    let count = nodes.len().max(2);
    (0..count)
        .map(|index| PodName {
            name: format!("server-{index}"),
            node: index % nodes.len(),
        })
        .collect()
}

/// A client on each node, on the pods' network.
pub(super) fn clients(nodes: &[Node]) -> Vec<PodName> {
    named("client", nodes)
}

/// A client on each node's own network.
pub(super) fn node_clients(nodes: &[Node]) -> Vec<PodName> {
    named("node", nodes)
}

fn named(prefix: &str, nodes: &[Node]) -> Vec<PodName> {
    (0..nodes.len())
        .map(|node| PodName {
            name: format!("{prefix}-{node}"),
            node,
        })
        .collect()
}

/// The namespace and all that is in it, but for the clients on nodes' own network. `host_network`: those will come, too.
pub(super) fn all(namespace: &str, nodes: &[Node], host_network: bool) -> Value {
    let level = if host_network { "privileged" } else { "restricted" };
    let mut objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {
                LABEL_KEY: LABEL_VALUE,
                "pod-security.kubernetes.io/enforce": level,
            }},
        }),
        // The namespace's own comes a moment later.
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(namespace, LABEL_VALUE),
            "automountServiceAccountToken": false,
        }),
    ];
    let local = json!("Local");
    for (name, fields) in [
        (CLUSTER_IP, json!({})),
        (STICKY, json!({"sessionAffinity": "ClientIP"})),
        (INTERNAL_LOCAL, json!({"internalTrafficPolicy": local})),
        (NODE_PORT, json!({"type": "NodePort"})),
        (
            NODE_PORT_LOCAL,
            json!({"type": "NodePort", "externalTrafficPolicy": local}),
        ),
        (NOBODY, json!({"selector": {ROLE: NOBODY}})),
    ] {
        objects.push(service(namespace, name, &fields));
    }
    for pod in servers(nodes) {
        objects.push(self::pod(namespace, &pod, nodes, SERVER));
    }
    for pod in clients(nodes) {
        objects.push(self::pod(namespace, &pod, nodes, "client"));
    }
    list(&objects)
}

/// The clients on nodes' own network.
pub(super) fn on_host_network(namespace: &str, nodes: &[Node]) -> Value {
    let pods = node_clients(nodes).into_iter().map(|pod| {
        let mut pod = self::pod(namespace, &pod, nodes, "node");
        pod["spec"]["hostNetwork"] = json!(true);
        pod
    });
    list(&pods.collect::<Vec<_>>())
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn metadata(namespace: &str, name: &str) -> Value {
    json!({"name": name, "namespace": namespace, "labels": {LABEL_KEY: LABEL_VALUE}})
}

fn service(namespace: &str, name: &str, fields: &Value) -> Value {
    let port = |protocol: &str| json!({"name": protocol.to_lowercase(), "protocol": protocol, "port": PORT, "targetPort": SERVER_PORT});
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(namespace, name),
        "spec": {
            "selector": {ROLE: SERVER},
            "ipFamilyPolicy": "PreferDualStack",
            "ports": [port("TCP"), port("UDP")],
        },
    });
    for (name, field) in fields.as_object().into_iter().flatten() {
        service["spec"][name] = field.clone();
    }
    service
}

/// A pod that may do nothing, on a node that was chosen for it, whatever taints that has.
fn pod(namespace: &str, pod: &PodName, nodes: &[Node], role: &str) -> Value {
    let node = &nodes[pod.node];
    let mut arguments = vec!["check".to_owned(), "serve".to_owned()];
    if role == SERVER {
        arguments.extend(["--port".to_owned(), SERVER_PORT.to_string()]);
    }
    let mut metadata = metadata(namespace, &pod.name);
    metadata["labels"][ROLE] = json!(role);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": node.name,
            "serviceAccountName": LABEL_VALUE,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 2,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "kpr",
                "image": node.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["kpr"],
                "args": arguments,
                // What an image says that does not know the command.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "env": [{"name": "KPR_CHECK_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {
                    "requests": {"cpu": "5m", "memory": "16Mi"},
                    "limits": {"cpu": "500m", "memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<Node> {
        (0..count)
            .map(|index| Node {
                name: format!("node-{index}"),
                addresses: Vec::new(),
                image: format!("kpr:{index}"),
            })
            .collect()
    }

    fn items(list: &Value) -> &Vec<Value> {
        list["items"].as_array().expect("a list")
    }

    #[test]
    fn a_single_node_has_two_servers_and_each_of_several_has_one() {
        let on = |count| {
            servers(&nodes(count))
                .into_iter()
                .map(|pod| pod.node)
                .collect::<Vec<_>>()
        };
        assert_eq!([on(1), on(2), on(3)], [vec![0, 0], vec![0, 1], vec![0, 1, 2]]);
    }

    #[test]
    fn everything_is_in_the_namespace_or_is_it_and_has_the_label() {
        let (key, value) = LABEL.split_once('=').expect("a label");
        let objects = all("kpr-check-1", &nodes(2), true);
        let host_network = on_host_network("kpr-check-1", &nodes(2));
        for object in items(&objects).iter().chain(items(&host_network)) {
            let metadata = &object["metadata"];
            assert_eq!(metadata["labels"][key], value, "{object}");
            let place = if object["kind"] == "Namespace" {
                "name"
            } else {
                "namespace"
            };
            assert_eq!(metadata[place], "kpr-check-1", "{object}");
        }
        assert_eq!(objects["items"][0]["kind"], "Namespace", "it must be there first");
    }

    #[test]
    fn only_clients_on_the_nodes_network_need_more_than_restricted_pods() {
        let level = |host_network| {
            all("kpr-check-1", &nodes(1), host_network)["items"][0]["metadata"]["labels"]
                ["pod-security.kubernetes.io/enforce"]
                .clone()
        };
        assert_eq!([level(true), level(false)], ["privileged", "restricted"]);
        let objects = all("kpr-check-1", &nodes(2), false);
        let pods: Vec<_> = items(&objects)
            .iter()
            .filter(|object| object["kind"] == "Pod")
            .collect();
        assert_eq!(pods.len(), 4);
        for pod in pods {
            assert!(pod["spec"].get("hostNetwork").is_none(), "{pod}");
        }
    }

    #[test]
    fn a_pod_has_the_image_that_is_on_its_node() {
        let objects = on_host_network("kpr-check-1", &nodes(2));
        let images: Vec<_> = items(&objects)
            .iter()
            .map(|pod| (&pod["spec"]["nodeName"], &pod["spec"]["containers"][0]["image"]))
            .collect();
        assert_eq!(
            images,
            [(&json!("node-0"), &json!("kpr:0")), (&json!("node-1"), &json!("kpr:1"))]
        );
    }
}
