//! Readiness probes of kpr's own pods.

use std::{net::IpAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Pod, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt as _;
use tokio::time::{sleep, timeout};

use crate::{address::Addresses, process::Launch, server::Notifier};

/// From where a pod is asked.
#[derive(Debug)]
pub(crate) struct Place {
    /// Whatever runs on its node.
    pub(crate) node: Launch,
    /// Whatever runs in its container.
    pub(crate) container: Launch,
    pub(crate) addresses: Addresses,
}

/// Tells the kubelet at `notify` whether the pod is ready, as its readiness probe says, until this is dropped. A pod without one is
/// ready as soon as it runs.
pub(super) async fn ready(place: Place, pod: &Pod, notify: &Path) -> Result<()> {
    let notifier = Notifier::new(Some(notify.to_owned()), pod.uid().unwrap_or_default());
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let Some((container, probe)) =
        container.and_then(|container| Some((container, container.readiness_probe.as_ref()?)))
    else {
        return Ok(notifier.ready(true).await?);
    };
    let mut was = None;
    loop {
        let ready = succeeds(&place, container, probe).await?;
        if was != Some(ready) {
            notifier.ready(ready).await?;
            was = Some(ready);
        }
        sleep(seconds(probe.period_seconds, 10)).await;
    }
}

async fn succeeds(place: &Place, container: &Container, probe: &Probe) -> Result<bool> {
    let limit = seconds(probe.timeout_seconds, 1);
    let asked = if let Some(get) = &probe.http_get {
        let url = url(get, container, place.addresses.primary())?;
        let limit = limit.as_secs().to_string();
        let node = place.node.clone().with_program("curl");
        node.args([
            "--silent",
            "--output",
            "/dev/null",
            "--fail",
            "--noproxy",
            "*",
            "--max-time",
            &limit,
            &url,
        ])
    } else {
        let command = probe.exec.as_ref().and_then(|exec| exec.command.as_ref());
        let command = command.context("the test cluster's kubelet knows httpGet and exec only")?;
        place.container.clone().args(command)
    };
    // A command that takes longer is killed, as dropping it does.
    match timeout(limit, asked.output()).await {
        Ok(output) => Ok(output?.status.success()),
        Err(_elapsed) => Ok(false),
    }
}

fn url(get: &HTTPGetAction, container: &Container, pod: Option<IpAddr>) -> Result<String> {
    let host = match (&get.host, pod) {
        (Some(host), _) => host.clone(),
        (None, Some(IpAddr::V6(address))) => format!("[{address}]"),
        (None, Some(address)) => address.to_string(),
        (None, None) => anyhow::bail!("the pod has no address"),
    };
    let port = match &get.port {
        IntOrString::Int(port) => *port,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_ref() == Some(name));
            named
                .with_context(|| format!("there is no port {name}"))?
                .container_port
        }
    };
    Ok(format!("http://{host}:{port}{}", get.path.as_deref().unwrap_or("/")))
}

fn seconds(given: Option<i32>, usual: u64) -> Duration {
    Duration::from_secs(given.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_probe_asks_the_pod_or_the_host_that_it_names() {
        let container: Container = serde_json::from_value(json!({
            "name": "agent",
            "ports": [{"name": "healthz", "containerPort": 10256}],
        }))
        .expect("a container");
        let of = |value, pod: &str| {
            let get = serde_json::from_value(value).expect("an action");
            url(&get, &container, Some(pod.parse().expect("an address"))).expect("a URL")
        };
        assert_eq!(
            of(json!({"port": "healthz", "path": "/livez"}), "fd00::2"),
            "http://[fd00::2]:10256/livez"
        );
        assert_eq!(
            of(json!({"port": 80, "host": "127.0.0.1"}), "10.0.0.2"),
            "http://127.0.0.1:80/"
        );
    }
}
