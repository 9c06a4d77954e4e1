//! What a node's kube-proxy answers at its own ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use axum::{Router, routing::get};
use tokio::time::{Duration, sleep};

use super::KubeProxyMode;
use crate::testbed::Host;

/// `metricsBindAddress` and `healthzBindAddress`, their defaults.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10249);
const HEALTHZ: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 10256);

/// Between attempts at a port that somebody else has: without `bindAddressHardFail`, kube-proxy tries again and serves meanwhile.
const RETRY: Duration = Duration::from_millis(200);

/// Answers in the node's namespace, until it is dropped.
pub(super) async fn serve(host: Host, mode: KubeProxyMode) -> Result<()> {
    let metrics = Router::new()
        .route("/proxyMode", get(move || async move { mode.as_str() }))
        .route("/healthz", get(|| async { "ok" }));
    let healthz = Router::new()
        .route("/healthz", get(|| async { "{\"healthy\":true}" }))
        .route("/livez", get(|| async { "{\"healthy\":true}" }));
    tokio::try_join!(at(&host, METRICS, metrics), at(&host, HEALTHZ, healthz)).map(|_ended| ())
}

async fn at(host: &Host, address: SocketAddr, app: Router) -> Result<()> {
    let listener = loop {
        // Enters the namespace on a thread of its own and waits for it.
        let netns = host.netns.clone();
        let bound = tokio::task::spawn_blocking(move || {
            netns.run(|| TcpListener::bind(address).with_context(|| format!("listen at {address}")))
        });
        match bound.await? {
            Ok(listener) => break listener,
            Err(error) => tracing::debug!("kube-proxy of {}: {error:#}", host.spec.name),
        }
        sleep(RETRY).await;
    };
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, app).await.context("serve kube-proxy's ports")
}
