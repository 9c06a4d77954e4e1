//! Whether kube-proxy runs on this node, or has left rules here.
//!
//! It is known by its answer, since its process may be in a namespace that this one does not see; and by its rules, which serve
//! whether it runs or not. An ipvs mode is known by its answer alone.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes};
use jiff::Timestamp;
use kpr_crds::{KubeProxyPolicy, KubeProxyRules};
use tokio::{net::TcpStream, sync::watch, time::timeout};

use crate::{
    agent::Snapshot,
    health::MODE,
    netfilter::{self, Found},
    observe::Tasks,
    request,
    takeover::Cleared,
};

/// Where kube-proxy tells which mode it runs in (`metricsBindAddress`, its default).
pub const PROXY_MODE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 10249);

/// Between looks; and while somebody waits for kube-proxy to go, or to come back.
const EVERY: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(2);
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
    /// It answers, but has written no rules yet.
    Starting {
        /// Its mode, such as "iptables".
        mode: String,
    },
    /// It answers.
    Running {
        /// Its mode, such as "iptables".
        mode: String,
    },
}

/// What is to become of kube-proxy here, as far as looking for it depends on that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outlook {
    /// kpr parks it and brings it back.
    managed: bool,
    rules: KubeProxyRules,
    cleared: Option<Arc<Cleared>>,
}

impl Outlook {
    fn of(snapshot: &Snapshot) -> Self {
        let spec = snapshot.applied.as_ref().map(|applied| &applied.spec);
        Self {
            managed: spec.is_some_and(|spec| spec.kube_proxy.policy == KubeProxyPolicy::Disable),
            rules: spec.map(|spec| spec.kube_proxy_rules).unwrap_or_default(),
            cleared: snapshot.cleared.clone(),
        }
    }

    /// Is it with kube-proxy as it is to be? Otherwise somebody waits.
    fn is_met(&self, seen: &KubeProxy) -> bool {
        match self.rules {
            _ if !self.managed => true,
            KubeProxyRules::Remove => *seen == KubeProxy::Absent,
            KubeProxyRules::Keep => matches!(seen, KubeProxy::Running { .. } | KubeProxy::Rules(_)),
        }
    }
}

/// Looks again and again, and tells what it sees; at once when the agent was told something else about kube-proxy, or has done
/// something about it. Never ends.
pub async fn probe(
    addr: SocketAddr,
    seen: watch::Sender<KubeProxy>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    tasks: Tasks,
) {
    let task = tasks.register("probe-kube-proxy");
    loop {
        let outlook = Outlook::of(&snapshots.borrow_and_update());
        // One that starts is no help yet to who waits for it; else its answer is enough, and rules are many.
        let now = look(addr, netfilter::rules, outlook.managed).await;
        task.succeeded(Timestamp::now());
        let pause = if outlook.is_met(&now) { EVERY } else { SOON };
        seen.send_if_modified(|known| {
            let news = *known != now;
            if news {
                match &now {
                    KubeProxy::Running { mode } | KubeProxy::Starting { mode } => {
                        tracing::warn!("kube-proxy runs on this node (mode {mode})");
                    }
                    KubeProxy::Rules(found) => tracing::warn!("there are {found} of kube-proxy on this node"),
                    KubeProxy::Absent | KubeProxy::Unknown => tracing::info!("kube-proxy does not run on this node"),
                }
                *known = now;
            }
            news
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = another(&mut snapshots, &outlook) => {}
        }
    }
}

/// Returns when the outlook is another one.
async fn another(snapshots: &mut watch::Receiver<Arc<Snapshot>>, outlook: &Outlook) {
    let changed = snapshots
        .wait_for(|snapshot| Outlook::of(snapshot) != *outlook)
        .await
        .is_ok();
    if !changed {
        // The agent ends.
        std::future::pending::<()>().await;
    }
}

/// Looks once. `rules` looks for rules; it may take a while where there are tens of thousands. With `thorough`, a kube-proxy that
/// answers must have rules, too.
pub async fn look(addr: SocketAddr, rules: fn() -> Found, thorough: bool) -> KubeProxy {
    // This agent answers there, or nobody does.
    let answer = timeout(PATIENCE, ask(addr)).await.ok().flatten();
    let mode = answer.filter(|mode| mode != MODE);
    if let Some(mode) = mode.clone().filter(|_| !thorough) {
        return KubeProxy::Running { mode };
    }
    let found = tokio::task::spawn_blocking(rules).await.unwrap_or_default();
    match mode {
        Some(mode) if found.any() => KubeProxy::Running { mode },
        Some(mode) => KubeProxy::Starting { mode },
        None if found.any() => KubeProxy::Rules(found),
        None => KubeProxy::Absent,
    }
}

async fn ask(addr: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(addr).await.ok()?;
    let request = Request::get("/proxyMode")
        .header(hyper::header::HOST, addr.to_string())
        .body(Empty::<Bytes>::new())
        .ok()?;
    let response = request::send(stream, request).await.ok()?;
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
            ..Found::default()
        }
    }

    #[tokio::test]
    async fn kube_proxy_is_known_by_its_mode() {
        let addr = serve("/proxyMode", "iptables").await;
        let mode = "iptables".to_owned();
        assert_eq!(look(addr, some, false).await, KubeProxy::Running { mode });
    }

    #[tokio::test]
    async fn one_that_has_written_no_rules_yet_is_told_apart_by_who_waits_for_it() {
        let addr = serve("/proxyMode", "nftables").await;
        let mode = || "nftables".to_owned();
        assert_eq!(look(addr, none, true).await, KubeProxy::Starting { mode: mode() });
        assert_eq!(look(addr, none, false).await, KubeProxy::Running { mode: mode() });
        assert_eq!(look(addr, some, true).await, KubeProxy::Running { mode: mode() });
    }

    #[test]
    fn only_who_waits_looks_often() {
        let running = KubeProxy::Running {
            mode: "iptables".to_owned(),
        };
        let (absent, rules) = (KubeProxy::Absent, KubeProxy::Rules(some()));
        let outlook = |managed, rules| Outlook {
            managed,
            rules,
            cleared: None,
        };
        for seen in [&running, &absent, &rules] {
            assert!(outlook(false, KubeProxyRules::Keep).is_met(seen), "{seen:?}");
        }
        let keep = outlook(true, KubeProxyRules::Keep);
        assert!(keep.is_met(&running) && keep.is_met(&rules) && !keep.is_met(&absent));
        let remove = outlook(true, KubeProxyRules::Remove);
        assert!(!remove.is_met(&running) && !remove.is_met(&rules) && remove.is_met(&absent));
    }

    #[tokio::test]
    async fn somebody_else_on_the_port_is_not_kube_proxy() {
        assert_eq!(look(serve("/metrics", "").await, none, false).await, KubeProxy::Absent);
        assert_eq!(
            look(serve("/proxyMode", "<html>hello</html>").await, none, false).await,
            KubeProxy::Absent
        );
    }

    #[tokio::test]
    async fn this_agent_on_the_port_is_not_kube_proxy() {
        assert_eq!(
            look(serve("/proxyMode", MODE).await, none, false).await,
            KubeProxy::Absent
        );
    }

    #[tokio::test]
    async fn rules_are_found_whoever_answers() {
        assert_eq!(
            look(serve("/proxyMode", MODE).await, some, false).await,
            KubeProxy::Rules(some())
        );
    }

    #[tokio::test]
    async fn nobody_on_the_port_is_not_kube_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(look(addr, none, false).await, KubeProxy::Absent);
        assert_eq!(look(addr, some, false).await, KubeProxy::Rules(some()));
    }
}
