//! The story of the demo: kube-proxy's work, done by kpr, seen from every side.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt as _, api::ListParams};

use super::shell::{Place, Shell};
use crate::{cluster::eventually, control::pods::node_name, inspect::Traces};

/// How long something may take that usually takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests by which the choice of pods is shown. That one of two is never chosen happens once in 500,000 runs.
const REQUESTS: u32 = 20;

impl Shell<'_> {
    /// Two nodes, and no kube-proxy.
    pub(super) async fn nodes(&mut self) -> Result<()> {
        self.narrator
            .step("A cluster of two nodes, without kube-proxy", "two Ready nodes");
        let nodes = self.show(&Place::Here, "kubectl get nodes -o wide").await?;
        ensure!(nodes.matches(" Ready ").count() == 2, "two nodes should be Ready");
        Ok(())
    }

    /// CRDs, operator, agents.
    pub(super) async fn install(&mut self) -> Result<()> {
        self.narrator.step(
            "Install kpr: its API, the operator, and an agent on every node",
            "the programs start",
        );
        self.show(&Place::Here, "kubectl apply -f crds/").await?;
        self.narrator
            .say("(starting kpr-operator and one kpr-node-agent per node, as the Helm chart would)");
        self.cluster.start_operator().await?;
        self.cluster.start_agents().await
    }

    /// The KubeProxyReplacement, until it is Available.
    pub(super) async fn enable(&mut self) -> Result<()> {
        self.narrator
            .step("Turn it on", "the KubeProxyReplacement becomes Available within 30 s");
        self.show(&Place::Here, "kubectl apply -f crds/examples/kpr.yaml")
            .await?;
        self.show(
            &Place::Here,
            "kubectl wait --for=condition=Available kpr/default --timeout=30s",
        )
        .await?;
        self.cluster.check_programs()?;
        self.cluster.introduce_agents().await?;
        self.show(&Place::Here, "kubectl get kpr").await?;
        self.show(&Place::Here, "kubectl get nodedatapaths")
            .await
            .map(|_output| ())
    }

    /// A Deployment with two pods.
    pub(super) async fn deploy(&mut self) -> Result<Vec<Pod>> {
        self.narrator
            .step("Start nginx on both nodes", "two Running pods, one per node");
        self.show(&Place::Here, "kubectl create -f e2e/cluster/manifests/nginx.yaml")
            .await?;
        let wait = "kubectl wait --for=condition=Available deployment/my-nginx --timeout=30s";
        self.show(&Place::Here, wait).await?;
        self.show(&Place::Here, "kubectl get pods -l run=my-nginx -o wide")
            .await?;
        let pods: Api<Pod> = Api::default_namespaced(self.cluster.client());
        let pods = pods.list(&ListParams::default().labels("run=my-nginx")).await?.items;
        let mut nodes: Vec<&str> = pods.iter().filter_map(node_name).collect();
        nodes.sort_unstable();
        ensure!(nodes == self.cluster.node_names(), "the pods run on {nodes:?}");
        Ok(pods)
    }

    /// A NodePort Service for it.
    pub(super) async fn expose(&mut self) -> Result<Exposed> {
        self.narrator.step(
            "Expose it as a NodePort Service",
            "a Service with a ClusterIP and a NodePort",
        );
        self.show(
            &Place::Here,
            "kubectl expose deployment my-nginx --type=NodePort --port=80",
        )
        .await?;
        self.show(&Place::Here, "kubectl get svc my-nginx").await?;
        if self.cluster.testbed().spec().address_families().secondary().is_some() {
            self.narrator.say("(and with an address of the other family, too)");
            let both = r#"kubectl patch svc my-nginx -p '{"spec":{"ipFamilyPolicy":"RequireDualStack"}}'"#;
            self.show(&Place::Here, both).await?;
            let addresses = "kubectl get svc my-nginx -o jsonpath='{.spec.clusterIPs}'";
            self.show(&Place::Here, addresses).await?;
        }
        let services: Api<Service> = Api::default_namespaced(self.cluster.client());
        Exposed::of(&services.get("my-nginx").await?)
    }

    /// What the agents know.
    pub(super) async fn look(&mut self, exposed: &Exposed, pods: &[Pod]) -> Result<()> {
        self.narrator.step(
            "Look at the datapath of node-a",
            "the Service, with both pods as backends",
        );
        for node in self.cluster.node_names() {
            self.programmed(&node, exposed, pods).await?;
        }
        let node = Place::Node("node-a".to_owned());
        self.show(&node, "kpr status --verbose").await?;
        self.show(&node, "kpr service list").await.map(|_output| ())
    }

    /// Waits until a node's agent lists the Service with all of its pods.
    async fn programmed(&self, node: &str, exposed: &Exposed, pods: &[Pod]) -> Result<()> {
        let place = Place::Node(node.to_owned());
        let pods = pods.iter().filter_map(|pod| pod.status.as_ref()?.pod_ips.as_ref());
        let pods = pods.flatten().filter_map(|ip| ip.ip.parse().ok());
        let sockets = pods.chain(exposed.cluster_ips.iter().copied());
        let words: Vec<String> = sockets.map(|ip: IpAddr| SocketAddr::new(ip, 80).to_string()).collect();
        eventually(
            &format!("`kpr service list` on {node} has {words:?}"),
            PATIENCE,
            || async {
                let output = self.run(&place, "kpr service list").await?;
                let complete = words.iter().all(|word| output.stdout.contains(word));
                Ok(if complete {
                    Ok(())
                } else {
                    Err(format!("{}{}", output.stdout, output.stderr))
                })
            },
        )
        .await
    }

    /// NodePorts of both nodes, from outside.
    pub(super) async fn curl_node_ports(&mut self, exposed: &Exposed) -> Result<()> {
        self.narrator.step(
            "Ask both nodes from outside the cluster",
            "both nodes answer, with both pods",
        );
        for node in self.cluster.node_names() {
            for address in self.cluster.testbed().host(&node)?.spec.addresses.iter() {
                let url = format!("http://{}", SocketAddr::new(address, exposed.node_port));
                let page = self
                    .show(&Place::Client, &format!("curl -s --max-time 5 '{url}'"))
                    .await?;
                ensure!(
                    page.contains("Welcome to my-nginx"),
                    "{node} did not answer with the page"
                );
                self.curl_many(&Place::Client, &url).await?;
            }
        }
        let client: Vec<String> = self
            .cluster
            .testbed()
            .spec()
            .client
            .iter()
            .map(|address| address.to_string())
            .collect();
        self.narrator.say(&format!(
            "A pod on the node that was asked sees the client's own address ({}), a pod on the other node\n\
             the address of the node that was asked.",
            client.join(" or ")
        ));
        Ok(())
    }

    /// The ClusterIP, from a pod.
    pub(super) async fn curl_cluster_ip(&mut self, exposed: &Exposed, pods: &[Pod]) -> Result<()> {
        self.narrator.step(
            "Ask the ClusterIP from a pod",
            "both pods answer, and see the pod's own address",
        );
        let pod = pods.first().context("there are pods")?.name_any();
        for address in &exposed.cluster_ips {
            let url = format!("http://{}", SocketAddr::new(*address, 80));
            self.curl_many(&Place::Pod(pod.clone()), &url).await?;
        }
        Ok(())
    }

    async fn curl_many(&self, place: &Place, url: &str) -> Result<()> {
        let line = format!(
            "for i in $(seq {REQUESTS}); do curl -s --max-time 5 '{url}' || exit; done | grep Pod: | sort | uniq -c"
        );
        let lines = self.show(place, &line).await?;
        let counts = lines
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
        let counts: Vec<u32> = counts.collect();
        ensure!(
            counts.len() == 2 && counts.iter().sum::<u32>() == REQUESTS,
            "both pods should answer all {REQUESTS}"
        );
        Ok(())
    }

    /// Removes kpr, and shows that nothing of it is left.
    pub(super) async fn remove(&mut self) -> Result<()> {
        self.narrator
            .step("Remove kpr", "no program and no pin is left on the nodes");
        self.traces("before:", |traces| {
            !traces.programs.is_empty() && !traces.pins.is_empty()
        })?;
        self.show(&Place::Here, "kubectl delete kpr default --timeout=30s")
            .await?;
        self.show(&Place::Here, "kubectl get nodedatapaths").await?;
        self.traces("after: ", Traces::is_empty)
    }

    fn traces(&self, when: &str, fine: impl Fn(&Traces) -> bool) -> Result<()> {
        for host in self.cluster.testbed().hosts() {
            let traces = Traces::of(host)?;
            let (programs, pins) = (traces.programs.len(), traces.pins.len());
            self.narrator.output(&format!(
                "{when} {} has {programs} attached programs and {pins} pins",
                host.spec.name
            ));
            ensure!(fine(&traces), "{}: {traces:?}", host.spec.name);
        }
        Ok(())
    }
}

/// Where the Service is reached.
#[derive(Clone, Debug)]
pub(super) struct Exposed {
    pub(super) cluster_ips: Vec<IpAddr>,
    pub(super) node_port: u16,
}

impl Exposed {
    fn of(service: &Service) -> Result<Self> {
        let spec = service.spec.as_ref().context("the Service has no spec")?;
        let cluster_ips = spec.cluster_ips.iter().flatten();
        let cluster_ips = cluster_ips.map(|ip| ip.parse()).collect::<Result<_, _>>()?;
        let port = spec.ports.iter().flatten().find_map(|port| port.node_port);
        Ok(Self {
            cluster_ips,
            node_port: u16::try_from(port.context("the Service has no NodePort")?)?,
        })
    }
}
