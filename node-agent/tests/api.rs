//! The agent's two ends at the API server, with a real one in memory: what the watches tell, and what the status says.

use std::{sync::Arc, time::Duration};

use kpr_apiserver::{ApiServer, Fault};
use kpr_crds::{NodeDatapath, conditions};
use kpr_node_agent::{
    agent::{Object, Snapshot},
    model::{
        NamespacedName,
        input::{PodInput, ServiceInput},
    },
    observe::{TaskStatus, Tasks},
    status::{self, Agent, ApiSink, KubeProxy, Sink, SinkError},
    watch::{self, Change},
};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

/// An API server, and the watches of node-a.
struct Cluster {
    server: ApiServer,
    client: Client,
    changes: mpsc::Receiver<Change>,
    tasks: Tasks,
    _watches: JoinSet<()>,
}

/// A server that has kpr's CRDs.
fn server() -> ApiServer {
    let server = ApiServer::new();
    for crd in kpr_crds::codegen::crds() {
        let crd = serde_json::to_value(crd).expect("CRDs are JSON");
        server.create(crd).expect("CRDs are accepted");
    }
    server
}

fn watching(server: ApiServer) -> Cluster {
    let client = server.client();
    let (sender, changes) = mpsc::channel(64);
    let tasks = Tasks::default();
    let known = watch::ApiServer::new("in memory".into());
    let snapshots = tokio::sync::watch::channel(Arc::default()).1;
    let watches = watch::spawn(&client, "node-a", &tasks, &known, &sender, snapshots);
    Cluster {
        server,
        client,
        changes,
        tasks,
        _watches: watches,
    }
}

impl Cluster {
    /// The next change that is wanted; others are passed over.
    async fn next<T>(&mut self, wanted: impl Fn(&Change) -> Option<T>) -> T {
        let find = async {
            loop {
                let change = self.changes.recv().await.expect("the watches go on");
                if let Some(found) = wanted(&change) {
                    return found;
                }
            }
        };
        timeout(Duration::from_secs(30), find)
            .await
            .expect("within half a minute")
    }

    /// Everything up to [`Change::Synced`].
    async fn synced(&mut self) -> Vec<Change> {
        let mut all = Vec::new();
        while all.last() != Some(&Change::Synced) {
            all.push(self.next(|change| Some(change.clone())).await);
        }
        all
    }
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}]},
    })
}

fn endpoint_slice(service: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.0.2"]}],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    })
}

fn node_datapath() -> Value {
    let policy = kpr_crds::KubeProxyReplacementSpec::default();
    let spec = policy.resolve("default", 1, kpr_crds::Phase::Active);
    serde_json::to_value(NodeDatapath::new("node-a", spec)).expect("objects are JSON")
}

fn names(services: &[ServiceInput]) -> Vec<String> {
    services.iter().map(|service| service.name().to_string()).collect()
}

fn all_services(change: &Change) -> Option<Vec<String>> {
    match change {
        Change::Services(all) => Some(names(all)),
        _ => None,
    }
}

fn service_gone(change: &Change) -> Option<NamespacedName> {
    match change {
        Change::ServiceGone(name) => Some(name.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_there_at_the_start_comes_before_synced() {
    let server = server();
    server.create(service("web")).unwrap();
    server.create(endpoint_slice("web")).unwrap();
    let mut cluster = watching(server);
    let seen = cluster.synced().await;
    let services = seen.iter().find_map(all_services).unwrap();
    assert!(services.contains(&"default/web".to_owned()), "{services:?}");
    let slices = seen.iter().find_map(|change| match change {
        Change::Slices(all) => Some(all.len()),
        _ => None,
    });
    assert_eq!(slices, Some(1));
    assert!(cluster.tasks.list().iter().all(TaskStatus::healthy));
}

#[tokio::test]
async fn pods_of_this_node_are_told_and_no_others() {
    let pod = |name: &str, node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [
                {"name": "web", "image": "web", "ports": [{"containerPort": 80, "hostPort": 8080}]},
            ]},
        })
    };
    let server = server();
    server.create(pod("here", "node-a")).unwrap();
    server.create(pod("there", "node-b")).unwrap();
    let mut cluster = watching(server);
    let seen = cluster.synced().await;
    let listed = seen.iter().find_map(|change| match change {
        Change::Pods(all) => Some(all.iter().map(|pod| pod.name().to_string()).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(listed.unwrap(), ["default/pod/here"]);

    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(cluster.client.clone());
    let status = json!({"status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.9"}]}});
    for name in ["there", "here"] {
        let patch = kube::api::Patch::Merge(&status);
        pods.patch_status(name, &kube::api::PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    let running = cluster
        .next(|change| match change {
            Change::Pod(pod) => Some(pod.clone()),
            _ => None,
        })
        .await;
    let PodInput::Served(running) = *running else {
        panic!("not served: {running:?}");
    };
    assert_eq!(running.name.to_string(), "default/pod/here");
    assert_eq!((running.host_ports[0].port, running.host_ports[0].target), (8080, 80));
}

#[tokio::test]
async fn a_service_that_opts_out_is_gone_and_comes_back() {
    let server = server();
    server.create(service("web")).unwrap();
    let mut cluster = watching(server);
    cluster.synced().await;
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::default_namespaced(cluster.client.clone());
    let label = |value: Value| {
        let patch = json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": value}}});
        let services = services.clone();
        async move {
            let patch = kube::api::Patch::Merge(patch);
            services
                .patch("web", &kube::api::PatchParams::default(), &patch)
                .await
                .unwrap();
        }
    };
    label(json!("other")).await;
    assert_eq!(cluster.next(service_gone).await, NamespacedName::new("default", "web"));
    label(Value::Null).await;
    cluster
        .next(|change| matches!(change, Change::Service(_)).then_some(()))
        .await;
}

#[tokio::test]
async fn what_changed_while_the_watch_was_lost_comes_with_the_next_list() {
    let server = server();
    server.create(service("old")).unwrap();
    let mut cluster = watching(server);
    cluster.synced().await;

    let services: Api<k8s_openapi::api::core::v1::Service> = Api::default_namespaced(cluster.client.clone());
    // No event reaches the agent: its watches fail until the history is gone.
    cluster
        .server
        .inject(Fault::fail(500, "InternalError", "not now").verb("watch").times(8));
    cluster.server.drop_watches();
    services
        .delete("old", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    cluster.server.create(service("new")).unwrap();
    cluster.server.expire_watches();
    cluster.server.clear_faults();

    let listed = cluster.next(all_services).await;
    assert!(!listed.contains(&"default/old".to_owned()), "{listed:?}");
    assert!(listed.contains(&"default/new".to_owned()), "{listed:?}");
}

#[tokio::test]
async fn the_own_node_datapath_is_followed_and_no_other() {
    let mut cluster = watching(server());
    let presence = |change: &Change| match change {
        Change::Datapath(found) => Some(found.as_ref().map(|object| object.spec.policy.clone())),
        _ => None,
    };
    assert_eq!(cluster.next(presence).await, None, "there is none yet");
    let mut other = node_datapath();
    other["metadata"]["name"] = json!("node-b");
    cluster.server.create(other).unwrap();
    cluster.server.create(node_datapath()).unwrap();
    assert_eq!(cluster.next(presence).await.as_deref(), Some("default"));
    let nodes: Api<NodeDatapath> = Api::all(cluster.client.clone());
    nodes
        .delete("node-a", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(cluster.next(presence).await, None);
}

#[tokio::test]
async fn a_status_fits_the_schema_belongs_to_the_agent_and_the_same_again_is_no_write() {
    let server = server();
    server.create(node_datapath()).unwrap();
    let known = watch::ApiServer::new("in memory".into());
    let sink = ApiSink::new(server.client(), known, "node-a".into());
    let agent = Agent {
        version: "0.1.0".into(),
        kernel: "6.12.0".into(),
        started: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    let snapshot = Snapshot {
        object: Some(Object {
            generation: 1,
            unknown_fields: Arc::default(),
            status: Arc::default(),
        }),
        ..Snapshot::default()
    };
    let nothing = kpr_crds::NodeDatapathStatus::default();
    let status = status::build(&agent, &snapshot, &KubeProxy::Absent, &nothing, agent.started);
    sink.put(&status).await.unwrap();

    let nodes: Api<NodeDatapath> = Api::all(server.client());
    let object = nodes.get("node-a").await.unwrap();
    let written = object.status.unwrap();
    assert_eq!(
        conditions::find(&written.conditions, "Ready").unwrap().reason,
        "Starting"
    );
    assert_eq!(written, status, "nothing was pruned or defaulted");
    assert_eq!(object.spec.policy, "default");
    let managers = object.metadata.managed_fields.unwrap();
    assert!(managers.iter().any(|m| m.manager.as_deref() == Some("kpr-node-agent")));

    let revision = server.revision();
    sink.put(&status).await.unwrap();
    assert_eq!(server.revision(), revision);
}

#[tokio::test]
async fn a_status_without_an_object_is_told_from_a_failure() {
    let known = watch::ApiServer::new("in memory".into());
    let server = server();
    let sink = ApiSink::new(server.client(), known, "node-a".into());
    let gone = sink.put(&kpr_crds::NodeDatapathStatus::default()).await.unwrap_err();
    assert!(matches!(gone, SinkError::Gone), "{gone}");
    server.create(node_datapath()).unwrap();
    server.inject(Fault::fail(500, "InternalError", "not now"));
    let failed = sink.put(&kpr_crds::NodeDatapathStatus::default()).await.unwrap_err();
    assert!(matches!(failed, SinkError::Failed(_)), "{failed}");
}
