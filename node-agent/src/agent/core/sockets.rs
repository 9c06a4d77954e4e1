//! Sockets that lose their backend: what the thread that closes them is told, and what it found.

use std::sync::Arc;

use super::{super::Loader, Core};
use crate::{
    datapath::{Counter, Report},
    sockets::{Findings, Kept, Orders},
};

impl<L: Loader> Core<L> {
    /// What the core wants of sockets, for the thread that carries it out.
    pub fn sockets(&self) -> Arc<Orders> {
        Arc::clone(&self.sockets)
    }

    fn closes_stale_sockets(&self) -> bool {
        let applied = self.applied.as_ref();
        applied.is_some_and(|applied| applied.spec.socket_lb.terminate_stale_sockets)
    }

    fn resets_stale_connections(&self) -> bool {
        let applied = self.applied.as_ref();
        applied.is_some_and(|applied| applied.spec.socket_lb.terminate_stale_tcp)
    }

    /// After the tables were compared. `settled`: they hold what is wanted, as far as it fits. While writes fail or wait nothing
    /// is closed: a socket that is closed too early is led to the same backend again.
    pub(super) fn settle_sockets(&mut self, settled: bool) {
        let with_tcp = self.resets_stale_connections();
        if !self.closes_stale_sockets() {
            self.sockets.off();
            self.sockets_settled = None;
        } else if settled && self.sockets_settled != Some(with_tcp) {
            let kept: Kept = self.index.serving_udp().collect();
            self.sockets.settle(if with_tcp {
                // A connection may outlast its backend's readiness: only one that is gone for good cannot answer it.
                kept.with_tcp(self.index.present_tcp())
            } else {
                kept
            });
            self.sockets_settled = Some(with_tcp);
        }
    }

    /// Adds what was found to the datapath's report.
    pub(super) fn report_sockets(findings: Findings, report: &mut Report) {
        let feature = match findings.can_close {
            Some(true) => "stale sockets: closed (SOCK_DESTROY)",
            Some(false) => "stale sockets: left open (SOCK_DESTROY needs CONFIG_INET_DIAG_DESTROY)",
            None => return,
        };
        report.features.push(feature.to_owned());
        report.counters.push(Counter {
            reason: "socket_stale_closed",
            count: findings.closed,
        });
    }
}
