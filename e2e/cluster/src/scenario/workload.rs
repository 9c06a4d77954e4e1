//! A Deployment and its Service.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Vantage, service};
use crate::{
    address::Family,
    client::UdpStyle,
    cluster::{Cluster, eventually},
    control::pods::{is_ready, is_terminating, node_name},
    kubelet::DRAIN_VARIABLE,
};

/// How long pods and rules may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// The TCP port of every workload's Service, and of its pods.
pub const TCP_PORT: u16 = 80;
/// The UDP port of every workload's Service, and of its pods.
pub const UDP_PORT: u16 = 53;

/// What to deploy: by default two pods behind a ClusterIP, on TCP and UDP.
#[derive(Clone, Debug)]
pub struct Workload {
    name: String,
    external_policy: Option<&'static str>,
    replicas: u32,
    node: Option<String>,
    service_type: &'static str,
    internal_traffic_policy: &'static str,
    families: Option<&'static [Family]>,
    affinity: bool,
    drain: Duration,
}

impl Workload {
    /// A workload, its Deployment and its Service called `name`.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            external_policy: None,
            replicas: 2,
            node: None,
            service_type: "ClusterIP",
            internal_traffic_policy: "Cluster",
            families: None,
            affinity: false,
            drain: Duration::from_millis(1_500),
        }
    }

    /// With so many pods, spread over the nodes.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// All pods on one node.
    #[must_use]
    pub fn on_node(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// Behind a load balancer that asks the nodes which of them have a pod (`externalTrafficPolicy: Local`).
    #[must_use]
    pub fn load_balancer_local(mut self) -> Self {
        self.service_type = "LoadBalancer";
        self.external_policy = Some("Local");
        self
    }

    /// With pods that go on serving for so long after they were told to end.
    #[must_use]
    pub fn draining_for(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Behind a NodePort.
    #[must_use]
    pub fn node_port(mut self) -> Self {
        self.service_type = "NodePort";
        self
    }

    /// With `internalTrafficPolicy: Local`.
    #[must_use]
    pub fn internal_local(mut self) -> Self {
        self.internal_traffic_policy = "Local";
        self
    }

    /// With a ClusterIP of each of these families, the first one being the primary one. Without this, a Service has one of the
    /// cluster's primary family.
    #[must_use]
    pub fn families(mut self, families: &'static [Family]) -> Self {
        self.families = Some(families);
        self
    }

    /// With `sessionAffinity: ClientIP`.
    #[must_use]
    pub fn client_ip_affinity(mut self) -> Self {
        self.affinity = true;
        self
    }

    /// Creates both objects and waits until all pods are ready.
    pub async fn deploy(self, cluster: &Cluster) -> Result<Deployed> {
        let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
        let deployment = serde_json::from_value(self.deployment())?;
        deployments
            .create(&PostParams::default(), &deployment)
            .await
            .context("create the Deployment")?;
        let services: Api<Service> = Api::default_namespaced(cluster.client());
        let service = serde_json::from_value(self.service())?;
        let service = services
            .create(&PostParams::default(), &service)
            .await
            .context("create the Service")?;
        let deployed = Deployed {
            name: self.name,
            service,
        };
        deployed.ready_pods(cluster, self.replicas).await?;
        Ok(deployed)
    }

    fn deployment(&self) -> Value {
        let labels = json!({"app": self.name});
        let selector = self.node.as_ref().map(|node| json!({"kubernetes.io/hostname": node}));
        json!({
            "metadata": {"name": self.name},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "nodeSelector": selector,
                        "containers": [{
                            "name": "server",
                            "image": "server",
                            "env": [{"name": DRAIN_VARIABLE, "value": self.drain.as_millis().to_string()}],
                            "ports": [
                                {"containerPort": TCP_PORT, "protocol": "TCP"},
                                {"containerPort": UDP_PORT, "protocol": "UDP"},
                            ],
                        }],
                    },
                },
            },
        })
    }

    fn service(&self) -> Value {
        let families: Option<Vec<_>> = self
            .families
            .map(|families| families.iter().map(|family| family.name()).collect());
        let policy = match self.families {
            None => None,
            Some([_one]) => Some("SingleStack"),
            Some(_both) => Some("RequireDualStack"),
        };
        json!({
            "metadata": {"name": self.name},
            "spec": {
                "ipFamilies": families,
                "ipFamilyPolicy": policy,
                "sessionAffinity": self.affinity.then_some("ClientIP"),
                "externalTrafficPolicy": self.external_policy,
                "type": self.service_type,
                "internalTrafficPolicy": self.internal_traffic_policy,
                "selector": {"app": self.name},
                "ports": [
                    {"name": "http", "port": TCP_PORT, "protocol": "TCP"},
                    {"name": "echo", "port": UDP_PORT, "protocol": "UDP"},
                ],
            },
        })
    }
}

/// A workload in the cluster.
#[derive(Clone, Debug)]
pub struct Deployed {
    name: String,
    service: Service,
}

impl Deployed {
    /// The Service's ClusterIP with one of its ports.
    pub fn cluster_ip(&self, port: u16) -> Result<SocketAddr> {
        let address = self.service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
        let address = address.with_context(|| format!("Service {} has no ClusterIP", self.name))?;
        Ok(SocketAddr::new(address.parse()?, port))
    }

    /// The Service as it was created, or as it was changed last.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The Service's ClusterIP of a family with one of its ports.
    pub fn cluster_ip_of(&self, family: Family, port: u16) -> Result<SocketAddr> {
        service::cluster_ip_of(&self.service, family, port)
    }

    /// The NodePort of one of its ports, at a node's own address of a family.
    pub fn node_port_of(&self, cluster: &Cluster, node: &str, family: Family, port: u16) -> Result<SocketAddr> {
        let number = self.node_port(cluster, node, port)?.port();
        Ok(SocketAddr::new(cluster.node_address_of(node, family)?, number))
    }

    /// The NodePort of one of its ports, at a node's own address.
    pub fn node_port(&self, cluster: &Cluster, node: &str, port: u16) -> Result<SocketAddr> {
        let ports = self.service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let number = ports.into_iter().find(|candidate| candidate.port == i32::from(port));
        let number = number
            .and_then(|port| port.node_port)
            .context("the Service has no such NodePort")?;
        Ok(SocketAddr::new(cluster.node_address(node)?, u16::try_from(number)?))
    }

    /// Its pods, once exactly `count` are ready and none is going.
    pub async fn ready_pods(&self, cluster: &Cluster, count: u32) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::default_namespaced(cluster.client());
        let labels = ListParams::default().labels(&format!("app={}", self.name));
        eventually(&format!("{count} ready pods of {}", self.name), PATIENCE, || async {
            let list = pods.list(&labels).await?.items;
            let ready = list.iter().filter(|pod| is_ready(pod) && !is_terminating(pod)).count();
            let settled = ready == list.len() && ready == count as usize;
            Ok(if settled {
                Ok(list)
            } else {
                Err(format!("{ready} of {} pods are ready", list.len()))
            })
        })
        .await
    }

    /// The pod on `node`; there must be exactly one.
    pub async fn pod_on(&self, cluster: &Cluster, node: &str) -> Result<Pod> {
        let pods: Api<Pod> = Api::default_namespaced(cluster.client());
        let list = pods
            .list(&ListParams::default().labels(&format!("app={}", self.name)))
            .await?
            .items;
        let mut here = list
            .into_iter()
            .filter(|pod| node_name(pod) == Some(node) && is_ready(pod));
        let pod = here
            .next()
            .with_context(|| format!("no pod of {} is on {node}", self.name))?;
        ensure!(here.next().is_none(), "several pods of {} are on {node}", self.name);
        Ok(pod)
    }

    /// Waits until every one of the `count` ready pods, and no other, answers at `target`: the Service as it is now has
    /// reached the datapath. Asks over UDP if the port is the UDP one.
    pub async fn served(&self, cluster: &Cluster, from: &Vantage, target: SocketAddr, count: u32) -> Result<()> {
        let pods = self.ready_pods(cluster, count).await?;
        let names: BTreeSet<String> = pods.iter().map(ResourceExt::name_any).collect();
        let udp = self.is_udp(target.port());
        eventually(&format!("{names:?} answer at {target} to {from}"), PATIENCE, || async {
            let probe = from.probe(cluster, target, udp).await?;
            if probe.failed() > 0 {
                return Ok(Err(format!("{probe:?}")));
            }
            // With so many requests the chance that a pod is never chosen is below 1 in 10,000.
            let requests = 16 * count.max(1);
            let tally = if udp {
                from.udp(cluster, target, UdpStyle::Connected, requests).await?
            } else {
                from.http_parallel(cluster, target, requests, 8).await?
            };
            let answered: BTreeSet<String> = tally.answers.keys().cloned().collect();
            Ok(if tally.failed() == 0 && answered == names {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        })
        .await
    }

    fn is_udp(&self, port: u16) -> bool {
        let ports = self.service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let number = i32::from(port);
        ports
            .into_iter()
            .any(|own| own.protocol.as_deref() == Some("UDP") && (own.port == number || own.node_port == Some(number)))
    }

    /// Asks for another number of pods.
    pub async fn scale(&self, cluster: &Cluster, replicas: u32) -> Result<()> {
        let deployments: Api<Deployment> = Api::default_namespaced(cluster.client());
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
            .context("scale the Deployment")?;
        Ok(())
    }

    /// Changes the Service's spec (a merge patch), and knows it as it is then.
    pub async fn patch_service(&mut self, cluster: &Cluster, spec: Value) -> Result<()> {
        let services: Api<Service> = Api::default_namespaced(cluster.client());
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.service = services
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
            .context("change the Service")?;
        Ok(())
    }

    /// The Service's `healthCheckNodePort`, if it has one.
    pub fn health_check_node_port(&self) -> Option<u16> {
        let port = self.service.spec.as_ref()?.health_check_node_port?;
        u16::try_from(port).ok().filter(|port| *port != 0)
    }

    /// Deletes the Service. Its pods stay.
    pub async fn delete_service(&self, cluster: &Cluster) -> Result<()> {
        let services: Api<Service> = Api::default_namespaced(cluster.client());
        services
            .delete(&self.name, &DeleteParams::default())
            .await
            .context("delete the Service")?;
        Ok(())
    }
}

/// A pod on `node` that serves nothing: a place for clients.
pub async fn client_pod(cluster: &Cluster, node: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let name = format!("client-{node}");
    let pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "client"}},
        "spec": {"nodeName": node, "containers": [{"name": "client", "image": "client"}]},
    }))?;
    pods.create(&PostParams::default(), &pod)
        .await
        .context("create the client pod")?;
    eventually(&format!("pod {name} runs"), PATIENCE, || async {
        let pod = pods.get(&name).await?;
        Ok(if is_ready(&pod) {
            Ok(pod)
        } else {
            Err(format!("{:?}", pod.status))
        })
    })
    .await
}
