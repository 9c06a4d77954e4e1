//! kube-proxy itself, where its program is found: on a machine without kpr, at an API server with as many Services.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use kpr_apiserver::{ApiServer, Serving};
use kpr_cluster::{
    kube_proxy::{KubeProxyMode, desired::ServicePort},
    process::{Launch, Process},
    testbed::Host,
};
use serde_json::json;

use crate::node;

/// How long it may take to write all rules.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between looks whether it has.
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// Where it serves its metrics.
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10_249);
/// When it last wrote all rules; 0 before the first time.
const WRITTEN: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";

/// It runs on a node, once there are Services.
pub(super) struct KubeProxy {
    host: Host,
    api: ApiServer,
    launch: Launch,
    running: Option<Process>,
    created: usize,
    _serving: Serving,
}

impl KubeProxy {
    pub(super) fn new(host: &Host, mode: KubeProxyMode, program: PathBuf) -> Result<Self> {
        let api = ApiServer::new();
        api.create(node::object(host)?)?;
        api.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "generated"}}))?;
        let serving = api.serve(
            host.netns
                .run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen"))?,
        )?;
        let kubeconfig = host.dir.join("kube-proxy-kubeconfig");
        fs::write(&kubeconfig, serving.kubeconfig())?;
        let launch = Launch::new(program)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--hostname-override={}", host.spec.name))
            .arg(format!("--proxy-mode={mode}"))
            .args([
                "--cluster-cidr=10.244.0.0/16",
                "--kube-api-content-type=application/json",
            ])
            .args(["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"])
            .args([
                "--conntrack-tcp-timeout-close-wait=0",
                "--healthz-bind-address=127.0.0.1:10256",
            ])
            .arg(format!("--metrics-bind-address={METRICS}"))
            .in_netns(&host.netns)
            .in_cgroup(&host.cgroup.child("kube-proxy")?);
        Ok(Self {
            host: host.clone(),
            api,
            launch,
            running: None,
            created: 0,
            _serving: serving,
        })
    }

    /// Has it serve these Services, which begin with those that it served before.
    pub(super) async fn load(&mut self, ports: &[ServicePort]) -> Result<()> {
        self.stop().await?;
        for port in &ports[self.created..] {
            self.api.create(service(port))?;
            self.api.create(slice(port))?;
        }
        self.created = ports.len();
        let log = self.host.dir.join("kube-proxy.log");
        let mut process = self.launch.clone().spawn(&log).await?;
        // What it writes first is of all that there is.
        let begun = Instant::now();
        while !self.has_written() {
            if let Some(status) = process.exited()? {
                bail!("kube-proxy ended with {status}:\n{}", process.log_tail());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "kube-proxy has written no rules:\n{}",
                process.log_tail()
            );
            tokio::time::sleep(LOOK).await;
        }
        self.running = Some(process);
        Ok(())
    }

    /// Ends it; its rules stay.
    pub(super) async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.running.take() {
            process.stop(GRACE).await?;
        }
        Ok(())
    }

    /// Whether it says that it has written all rules. It does not answer before it is ready to.
    fn has_written(&self) -> bool {
        let metrics = self.host.netns.run(|| {
            let mut connection = TcpStream::connect(METRICS)?;
            connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        });
        metrics.is_ok_and(|text| written(&text))
    }
}

/// Whether these metrics say so: of either family, where they are told apart.
fn written(metrics: &str) -> bool {
    metrics
        .lines()
        .filter(|line| line.starts_with(WRITTEN))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .any(|seconds| seconds > 0.0)
}

fn service(port: &ServicePort) -> serde_json::Value {
    let ip = port.cluster_ip.to_string();
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": port.namespace, "name": port.name},
        "spec": {
            "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip],
            "ports": [{"name": port.port_name, "port": port.port, "protocol": "TCP"}],
        },
    })
}

fn slice(port: &ServicePort) -> serde_json::Value {
    let endpoints = &port.endpoints.cluster;
    let of = |endpoint: &SocketAddr| json!({"addresses": [endpoint.ip().to_string()], "conditions": {"ready": true}});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": port.namespace, "name": format!("{}-0", port.name),
            "labels": {"kubernetes.io/service-name": port.name},
        },
        "addressType": "IPv4", "endpoints": endpoints.iter().map(of).collect::<Vec<_>>(),
        "ports": [{"name": port.port_name, "port": endpoints.first().map(SocketAddr::port), "protocol": "TCP"}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_once_there_is_a_time_of_it() {
        let of = |value: &str| format!("# TYPE {WRITTEN} gauge\n{WRITTEN} {value}\nother 1\n");
        assert!(!written(""));
        assert!(!written(&of("0")));
        assert!(written(&of("1.7642331e+09")));
        assert!(written(&format!("{WRITTEN}{{ip_family=\"IPv4\"}} 1.7e+09\n")));
    }
}
