//! From a Pod object to a namespace with a server in it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::{Client, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::container;
use crate::{
    address::Addresses,
    process::{Launch, Process},
    testbed::{PodHost, Testbed},
};

/// Environment variable of a container: how long its server goes on after SIGTERM, in milliseconds.
pub const DRAIN_VARIABLE: &str = "DRAIN_MS";

/// A pod as its kubelet sees it.
#[derive(Debug)]
pub(super) struct Sandbox {
    host: PodHost,
    testbed: Arc<Testbed>,
}

/// The names that a pod has on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of its namespace (within the cluster) and of its cgroup.
    pub sandbox: String,
    /// Of its veth on the node.
    pub veth: String,
}

impl Names {
    /// Names are made of the pod's own, so that people find them, and of its UID, so that they are unique.
    pub fn of(pod: &Pod) -> Self {
        let name = pod.name_any();
        let sandbox = match pod.namespace() {
            Some(namespace) if namespace != "default" => format!("{namespace}.{name}"),
            _ => name,
        };
        let uid = pod.uid().unwrap_or_default();
        let short: String = uid.chars().filter(char::is_ascii_hexdigit).take(8).collect();
        Self {
            sandbox,
            veth: format!("veth{short}"),
        }
    }
}

/// True if the pod uses its node's network.
pub(super) fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
}

impl Sandbox {
    /// Makes the pod's namespace and cgroup.
    pub(super) async fn create(testbed: Arc<Testbed>, node: &str, pod: &Pod, addresses: Addresses) -> Result<Self> {
        let names = Names::of(pod);
        let (node, host_network) = (node.to_owned(), host_network(pod));
        // Runs `ip` several times: not on a thread of the runtime.
        tokio::task::spawn_blocking(move || {
            let host = if host_network {
                testbed.add_host_network_pod(&node, &names.sandbox)?
            } else {
                testbed.add_pod(&node, &names.sandbox, &names.veth, addresses)?
            };
            Ok(Self { host, testbed })
        })
        .await?
    }

    /// The pod's addresses.
    pub(super) fn addresses(&self) -> Addresses {
        self.host.addresses
    }

    /// Starts the pod's server, or what a pod of kpr's asks for.
    pub(super) async fn start(&self, client: &Client, node: &str, pod: &Pod, notify: &PathBuf) -> Result<Process> {
        if container::program(pod).is_some() {
            return container::start(client, &self.testbed, node, &self.host, pod).await;
        }
        let names = Names::of(pod);
        let host = self.testbed.host(node)?;
        let launch: Launch = self
            .host
            .launch(self.testbed.binaries().get("kpr-cluster")?)
            .arg("pod-server")
            .args(["--pod", &pod.name_any()])
            .args(["--namespace", &pod.namespace().unwrap_or_default()])
            .args(["--node", node])
            .args([
                "--pod-ip",
                &self
                    .addresses()
                    .primary()
                    .context("the pod has no address")?
                    .to_string(),
            ])
            .args(["--uid", &pod.uid().unwrap_or_default()])
            .arg("--notify")
            .arg(notify)
            .args(port_arguments(pod.spec.as_ref()));
        launch.spawn(&host.pod_log(&names.sandbox)).await
    }

    /// Looks after a pod of kpr's that runs, for as long as the result is kept. The test cluster's own server tells by itself whether it
    /// is ready, and has no volumes.
    pub(super) fn attend(
        &self,
        client: &Client,
        node: &str,
        pod: &Pod,
        notify: &Path,
    ) -> Result<Option<AbortOnDropHandle<()>>> {
        if container::program(pod).is_none() {
            return Ok(None);
        }
        let host = self.testbed.host(node)?.clone();
        let place = container::Place {
            node: host.launch("")?,
            container: container::exec(&host, pod),
            addresses: self.addresses(),
        };
        let (client, pod, notify) = (client.clone(), pod.clone(), notify.to_owned());
        Ok(Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = container::attend(&client, &host, place, &pod, &notify).await {
                tracing::error!(pod = pod.name_any(), "its readiness probe: {error:#}");
            }
        }))))
    }

    /// Ends what runs in it and removes it.
    pub(super) async fn remove(self, node: &str, pod: &Pod) -> Result<()> {
        let Self { host, testbed } = self;
        let (node, pod) = (node.to_owned(), pod.clone());
        tokio::task::spawn_blocking(move || {
            testbed.remove_pod(host)?;
            container::clean_up(&testbed, &node, &pod)
        })
        .await?
    }
}

/// The server's arguments for the ports and settings of the pod's containers.
fn port_arguments(spec: Option<&PodSpec>) -> Vec<String> {
    let mut arguments = Vec::new();
    for container in spec.into_iter().flat_map(|spec| &spec.containers) {
        for port in container.ports.iter().flatten() {
            let flag = match port.protocol.as_deref() {
                None | Some("TCP") => "--tcp",
                Some("UDP") => "--udp",
                Some("SCTP") => "--sctp",
                // The server speaks no other.
                Some(_) => continue,
            };
            arguments.extend([flag.to_owned(), port.container_port.to_string()]);
        }
        let drain = container
            .env
            .iter()
            .flatten()
            .find(|variable| variable.name == DRAIN_VARIABLE);
        if let Some(value) = drain.and_then(|variable| variable.value.clone()) {
            arguments.extend(["--drain-ms".to_owned(), value]);
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_servers_ports_are_those_of_the_containers() {
        let spec: PodSpec = serde_json::from_value(json!({"containers": [
            {"name": "web", "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]},
            {"name": "admin", "ports": [{"containerPort": 8080}, {"containerPort": 9, "protocol": "SCTP"}],
             "env": [{"name": "DRAIN_MS", "value": "50"}]},
        ]}))
        .expect("a pod's spec");
        let expected = [
            "--tcp",
            "80",
            "--udp",
            "53",
            "--tcp",
            "8080",
            "--sctp",
            "9",
            "--drain-ms",
            "50",
        ];
        assert_eq!(port_arguments(Some(&spec)), expected);
    }

    #[test]
    fn names_fit_a_device_and_tell_namespaces_apart() {
        let pod = |namespace: &str| Pod {
            metadata: ObjectMeta {
                name: Some("web".to_owned()),
                namespace: Some(namespace.to_owned()),
                uid: Some("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".to_owned()),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        };
        let names = Names::of(&pod("default"));
        assert_eq!(
            names,
            Names {
                sandbox: "web".to_owned(),
                veth: "veth0a1b2c3d".to_owned()
            }
        );
        assert!(names.veth.len() < libc::IFNAMSIZ);
        assert_eq!(Names::of(&pod("shop")).sandbox, "shop.web");
    }
}
