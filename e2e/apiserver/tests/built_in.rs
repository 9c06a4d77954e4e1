//! Built-in kinds behave as controllers, schedulers and kubelets expect, over several listeners.

mod common;

use std::net::TcpListener;

use anyhow::{Context, Result};
use common::within;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kpr_apiserver::ApiServer;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::{Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn from<T: DeserializeOwned>(value: Value) -> Result<T> {
    Ok(serde_json::from_value(value)?)
}

fn pod(node: Option<&str>) -> Result<Pod> {
    let spec = json!({"nodeName": node, "containers": [{"name": "web", "image": "web"}]});
    from(json!({"metadata": {"name": "web"}, "spec": spec}))
}

#[tokio::test]
async fn a_running_pod_goes_only_when_its_kubelet_says_so() -> Result<()> {
    let api: Api<Pod> = Api::default_namespaced(ApiServer::new().client());
    let created = api.create(&PostParams::default(), &pod(Some("node-a"))?).await?;
    assert_eq!(created.status.context("a status")?.phase.as_deref(), Some("Pending"));
    let running = json!({"status": {"phase": "Running", "podIP": "10.244.0.5"}});
    api.patch_status("web", &PatchParams::default(), &Patch::Merge(&running))
        .await?;

    let deleting = api
        .delete("web", &DeleteParams::default())
        .await?
        .left()
        .context("the pod")?;
    assert_eq!(deleting.metadata.deletion_grace_period_seconds, Some(30));
    assert!(api.get_opt("web").await?.is_some());
    api.delete("web", &DeleteParams::default().grace_period(0)).await?;
    assert!(api.get_opt("web").await?.is_none());

    api.create(&PostParams::default(), &pod(None)?).await?;
    api.delete("web", &DeleteParams::default()).await?;
    assert!(
        api.get_opt("web").await?.is_none(),
        "a pod without a node has nobody to wait for"
    );
    Ok(())
}

#[tokio::test]
async fn a_scheduler_binds_a_pod_once_and_nobody_moves_it() -> Result<()> {
    let client = ApiServer::new().client();
    let api: Api<Pod> = Api::default_namespaced(client);
    api.create(&PostParams::default(), &pod(None)?).await?;
    let binding = |node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"}, "target": {"kind": "Node", "name": node},
        })
    };
    let bind = async |node: &str| {
        api.create_subresource::<Value, Value>("binding", "web", &PostParams::default(), &binding(node))
            .await
    };
    bind("node-a").await?;
    assert_eq!(
        api.get("web").await?.spec.context("a spec")?.node_name.as_deref(),
        Some("node-a")
    );
    assert!(
        bind("node-b")
            .await
            .unwrap_err()
            .to_string()
            .contains("already assigned to node \"node-a\"")
    );
    let moved = api
        .patch(
            "web",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"nodeName": "node-b"}})),
        )
        .await;
    assert!(
        moved
            .unwrap_err()
            .to_string()
            .contains("spec: Forbidden: pod updates may not change fields other than")
    );
    Ok(())
}

#[tokio::test]
async fn an_event_is_the_same_in_both_apis() -> Result<()> {
    let server = ApiServer::new();
    let client = server.client();
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes
        .create(&PostParams::default(), &from(json!({"metadata": {"name": "node-a"}}))?)
        .await?;
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: "kpr".into(),
            instance: Some("kpr-0".into()),
        },
    );
    let event = || kube::runtime::events::Event {
        type_: EventType::Normal,
        reason: "Attached".into(),
        note: Some("eth0 is attached".into()),
        action: "Attach".into(),
        secondary: None,
    };
    recorder.publish(&event(), &node.object_ref(&())).await?;
    recorder.publish(&event(), &node.object_ref(&())).await?;

    let events: Api<Event> = Api::default_namespaced(client);
    let selector = format!(
        "involvedObject.name=node-a,involvedObject.kind=Node,involvedObject.uid={}",
        node.uid().context("a uid")?
    );
    let found = events.list(&ListParams::default().fields(&selector)).await?;
    assert_eq!(found.items.len(), 1);
    let event = &found.items[0];
    assert_eq!(
        (event.message.as_deref(), event.reason.as_deref()),
        (Some("eth0 is attached"), Some("Attached"))
    );
    assert_eq!(event.series.as_ref().context("a series")?.count, Some(2));
    assert_eq!(event.reporting_component.as_deref(), Some("kpr"));
    Ok(())
}

#[tokio::test]
async fn applied_services_merge_their_ports_by_port_and_protocol() -> Result<()> {
    let api: Api<Service> = Api::default_namespaced(ApiServer::new().client());
    let apply = async |manager: &str, ports: Value| {
        let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "NodePort", "ports": ports}});
        api.patch("web", &PatchParams::apply(manager), &Patch::Apply(&service))
            .await
    };
    let first = apply("one", json!([{"name": "http", "port": 80}])).await?;
    let node_port = first.spec.context("a spec")?.ports.context("ports")?[0].node_port;
    let both = apply("two", json!([{"name": "dns", "port": 53, "protocol": "UDP"}]))
        .await?
        .spec
        .context("a spec")?;
    assert_eq!(both.ports.as_ref().map(Vec::len), Some(2));
    let left = apply("two", json!([]))
        .await?
        .spec
        .context("a spec")?
        .ports
        .context("ports")?;
    assert_eq!(
        left.iter().map(|port| (port.port, port.node_port)).collect::<Vec<_>>(),
        [(80, node_port)]
    );
    Ok(())
}

#[tokio::test]
async fn a_new_service_has_one_node_port_for_all_protocols_of_a_port() -> Result<()> {
    let api: Api<Service> = Api::default_namespaced(ApiServer::new().client());
    let tcp = json!({"name": "tcp", "port": 53, "protocol": "TCP"});
    let udp = json!({"name": "udp", "port": 53, "protocol": "UDP"});
    let web = json!({"name": "web", "port": 80});
    let numbers = |service: Service| -> Result<Vec<Option<i32>>> {
        let ports = service.spec.context("a spec")?.ports.context("ports")?;
        Ok(ports.iter().map(|port| port.node_port).collect())
    };
    let new = |name: &str, ports: Value| {
        from(json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": ports}}))
    };
    let created = api
        .create(&PostParams::default(), &new("new", json!([tcp, udp, web]))?)
        .await?;
    let given = numbers(created)?;
    assert!(
        given[0].is_some() && given[0] == given[1] && given[1] != given[2],
        "{given:?}"
    );
    let mut asked = tcp.clone();
    asked["nodePort"] = json!(30_000);
    let created = api
        .create(&PostParams::default(), &new("asked", json!([udp, asked]))?)
        .await?;
    assert_eq!(numbers(created)?, [Some(30_000), Some(30_000)]);

    // A port that is added later gets a number of its own.
    api.create(&PostParams::default(), &new("grown", json!([tcp]))?).await?;
    let grown = Patch::Merge(json!({"spec": {"ports": [tcp, udp]}}));
    let given = numbers(api.patch("grown", &PatchParams::default(), &grown).await?)?;
    assert!(given[1].is_some() && given[0] != given[1], "{given:?}");
    Ok(())
}

#[tokio::test]
async fn a_service_gives_up_what_its_new_type_does_not_have() -> Result<()> {
    let api: Api<Service> = Api::default_namespaced(ApiServer::new().client());
    let balanced = from(json!({"metadata": {"name": "web"}, "spec": {
        "type": "LoadBalancer", "loadBalancerClass": "example.com/vip", "ports": [{"port": 80}],
    }}))?;
    api.create(&PostParams::default(), &balanced).await?;
    let becomes = async |spec: Value| {
        let patch = Patch::Merge(json!({ "spec": spec }));
        api.patch("web", &PatchParams::default(), &patch)
            .await?
            .spec
            .context("a spec")
    };
    let spec = becomes(json!({"type": "NodePort"})).await?;
    assert_eq!(
        (spec.load_balancer_class, spec.allocate_load_balancer_node_ports),
        (None, None)
    );
    assert_eq!(spec.external_traffic_policy.as_deref(), Some("Cluster"));
    let spec = becomes(json!({"type": "ExternalName", "externalName": "example.com"})).await?;
    assert_eq!(
        (spec.external_traffic_policy, spec.cluster_ip, spec.cluster_ips),
        (None, None, None)
    );
    assert_eq!(spec.ports.context("ports")?[0].node_port, None);
    Ok(())
}

#[tokio::test]
async fn a_services_status_is_written_with_labels_and_annotations_and_without_the_spec() -> Result<()> {
    let api: Api<Service> = Api::default_namespaced(ApiServer::new().client());
    let web = from(json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}))?;
    api.create(&PostParams::default(), &web).await?;
    let patch = Patch::Merge(json!({
        "metadata": {"labels": {"seen": "yes"}, "annotations": {"patchedstatus": "true"}},
        "spec": {"sessionAffinity": "ClientIP"},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    }));
    let patched = api.patch_status("web", &PatchParams::default(), &patch).await?;
    assert_eq!(patched.labels().get("seen").map(String::as_str), Some("yes"));
    assert_eq!(
        patched.annotations().get("patchedstatus").map(String::as_str),
        Some("true")
    );
    assert_eq!(
        patched.spec.context("a spec")?.session_affinity.as_deref(),
        Some("None")
    );
    let balancer = patched.status.context("a status")?.load_balancer.context("addresses")?;
    assert_eq!(
        balancer.ingress.context("addresses")?[0].ip.as_deref(),
        Some("203.0.113.1")
    );
    Ok(())
}

#[tokio::test]
async fn a_lease_is_taken_by_whoever_writes_first() -> Result<()> {
    let api: Api<Lease> = Api::namespaced(ApiServer::new().client(), "kube-system");
    let lease = api
        .create(
            &PostParams::default(),
            &from(json!({"metadata": {"name": "kpr"}, "spec": {"holderIdentity": "a"}}))?,
        )
        .await?;
    let taken_by = |holder: &str| {
        let mut taken = lease.clone();
        taken.spec = Some(k8s_openapi::api::coordination::v1::LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            ..Default::default()
        });
        taken
    };
    api.replace("kpr", &PostParams::default(), &taken_by("b")).await?;
    let late = api
        .replace("kpr", &PostParams::default(), &taken_by("c"))
        .await
        .unwrap_err();
    assert!(matches!(late, kube::Error::Api(status) if status.code == 409));
    Ok(())
}

#[tokio::test]
async fn workloads_and_slices_that_make_no_sense_are_refused() -> Result<()> {
    let client = ApiServer::new().client();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let deployment = |selector: &str, containers: Value| {
        from(json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": selector}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}},
            },
        }))
    };
    let one = json!([{"name": "web", "image": "web"}]);
    for (object, want) in [
        (
            deployment("db", one.clone())?,
            "`selector` does not match template `labels`",
        ),
        (
            deployment("web", json!([]))?,
            "spec.template.spec.containers: Required value",
        ),
        (
            deployment("web", json!([{"name": "web"}]))?,
            "spec.template.spec.containers[0].image: Required value",
        ),
    ] {
        let error = deployments
            .create(&PostParams::default(), &object)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{error}");
    }
    let created: Deployment = deployments
        .create(&PostParams::default(), &deployment("web", one)?)
        .await?;
    assert_eq!(created.spec.replicas, Some(1));

    let slices: Api<EndpointSlice> = Api::default_namespaced(client);
    let slice =
        from(json!({"metadata": {"name": "web"}, "addressType": "IPv4", "endpoints": [{"addresses": ["fd00::1"]}]}))?;
    let error = slices
        .create(&PostParams::default(), &slice)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("endpoints[0].addresses[0]: Invalid value: \"fd00::1\""),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn all_listeners_show_the_same_server_and_a_closed_one_ends_its_watches() -> Result<()> {
    let server = ApiServer::new();
    let (one, two) = (
        server.serve(TcpListener::bind("127.0.0.1:0")?)?,
        server.serve(TcpListener::bind("127.0.0.1:0")?)?,
    );
    let client = |url: String| anyhow::Ok(Client::try_from(Config::new(url.parse()?))?);
    let (near, far) = (client(one.url())?, client(two.url())?);
    let nodes: Api<Node> = Api::all(near);
    let mut events = nodes.watch(&WatchParams::default(), "0").await?.boxed();
    let others: Api<Node> = Api::all(far);
    others
        .create(&PostParams::default(), &from(json!({"metadata": {"name": "node-a"}}))?)
        .await?;
    assert!(within(events.try_next()).await?.is_some());

    within(one.shutdown()).await;
    while let Ok(Some(_)) = within(events.try_next()).await {}
    assert!(nodes.list(&ListParams::default()).await.is_err());
    assert_eq!(others.list(&ListParams::default()).await?.items.len(), 1);
    Ok(())
}
