//! Whether kube-proxy runs on this node, or has left rules here.
//!
//! It is known by its answer, since its process may be in a namespace that this one does not see; and by its rules, which serve
//! whether it runs or not. An ipvs mode is known by its answer alone.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{net::TcpStream, sync::watch, time::timeout};

use crate::{
    health::MODE,
    netfilter::{self, Found},
    observe::Tasks,
};

/// Where kube-proxy tells which mode it runs in (`metricsBindAddress`, its default).
pub const PROXY_MODE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 10249);

const EVERY: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(1);
/// "iptables", "ipvs", "nftables": anything longer is somebody else.
const LONGEST_MODE: usize = 64;

/// What is known about kube-proxy on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KubeProxy {
    /// Not looked yet.
    #[default]
    Unknown,
    /// Nothing answers like kube-proxy, and there is no rule of it.
    Absent,
    /// Nothing answers, but there are rules: it runs without its port, or did and left them.
    Rules(Found),
    /// It answers.
    Running {
        /// Its mode, such as "iptables".
        mode: String,
    },
}

/// Looks again and again, and tells what it sees. Never ends.
pub async fn probe(addr: SocketAddr, seen: watch::Sender<KubeProxy>, tasks: Tasks) {
    let task = tasks.register("probe-kube-proxy");
    loop {
        let now = look(addr, netfilter::rules).await;
        task.succeeded(Timestamp::now());
        seen.send_if_modified(|known| {
            let news = *known != now;
            if news {
                match &now {
                    KubeProxy::Running { mode } => tracing::warn!("kube-proxy runs on this node (mode {mode})"),
                    KubeProxy::Rules(found) => tracing::warn!("there are {found} of kube-proxy on this node"),
                    KubeProxy::Absent | KubeProxy::Unknown => tracing::info!("kube-proxy does not run on this node"),
                }
                *known = now;
            }
            news
        });
        tokio::time::sleep(EVERY).await;
    }
}

/// Looks once. `rules` looks for rules; it may take a while where there are tens of thousands.
pub async fn look(addr: SocketAddr, rules: fn() -> Found) -> KubeProxy {
    match timeout(PATIENCE, ask(addr)).await {
        // This agent answers there, or nobody does.
        Ok(Some(mode)) if mode != MODE => return KubeProxy::Running { mode },
        Ok(_) | Err(_) => {}
    }
    match tokio::task::spawn_blocking(rules).await {
        Ok(found) if found.any() => KubeProxy::Rules(found),
        Ok(_) | Err(_) => KubeProxy::Absent,
    }
}

async fn ask(addr: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(addr).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get("/proxyMode")
        .header(hyper::header::HOST, addr.to_string())
        .body(Empty::<Bytes>::new())
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let body = Limited::new(response.into_body(), LONGEST_MODE).collect().await.ok()?;
    let mode = String::from_utf8(body.to_bytes().to_vec()).ok()?;
    let mode = mode.trim();
    mode.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    async fn serve(path: &'static str, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Router::new().route(path, get(move || async move { answer }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        addr
    }

    fn none() -> Found {
        Found::default()
    }

    fn some() -> Found {
        Found {
            iptables: true,
            nftables: false,
        }
    }

    #[tokio::test]
    async fn kube_proxy_is_known_by_its_mode() {
        let addr = serve("/proxyMode", "iptables").await;
        let mode = "iptables".to_owned();
        assert_eq!(look(addr, some).await, KubeProxy::Running { mode });
    }

    #[tokio::test]
    async fn somebody_else_on_the_port_is_not_kube_proxy() {
        assert_eq!(look(serve("/metrics", "").await, none).await, KubeProxy::Absent);
        assert_eq!(
            look(serve("/proxyMode", "<html>hello</html>").await, none).await,
            KubeProxy::Absent
        );
    }

    #[tokio::test]
    async fn this_agent_on_the_port_is_not_kube_proxy() {
        assert_eq!(look(serve("/proxyMode", MODE).await, none).await, KubeProxy::Absent);
    }

    #[tokio::test]
    async fn rules_are_found_whoever_answers() {
        assert_eq!(
            look(serve("/proxyMode", MODE).await, some).await,
            KubeProxy::Rules(some())
        );
    }

    #[tokio::test]
    async fn nobody_on_the_port_is_not_kube_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(look(addr, none).await, KubeProxy::Absent);
        assert_eq!(look(addr, some).await, KubeProxy::Rules(some()));
    }
}
