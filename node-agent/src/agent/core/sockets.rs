//! Sockets that lose their UDP backend: what the thread that closes them is told, and what it found.

use std::sync::Arc;

use super::{super::Loader, Core};
use crate::{
    datapath::{Counter, Report},
    model::{Index, Protocol},
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

    /// After the tables have changed: which backends may keep their sockets. Not while writes fail or wait: a socket that is
    /// closed too early is led to the same backend again.
    pub(super) fn settle_sockets(&self) {
        if !self.closes_stale_sockets() {
            self.sockets.off();
        } else if let Some(running) = &self.running
            && running.services.failure().is_none()
            && (running.services.is_complete() || running.services.full().is_some())
        {
            self.sockets.settle(kept(&self.index));
        }
    }

    /// Adds what was found to the datapath's report.
    pub(super) fn report_sockets(findings: Findings, report: &mut Report) {
        let feature = match findings.can_close {
            Some(true) => "stale UDP sockets: closed (SOCK_DESTROY)",
            Some(false) => "stale UDP sockets: left open (SOCK_DESTROY needs CONFIG_INET_DIAG_DESTROY)",
            None => return,
        };
        report.features.push(feature.to_owned());
        report.counters.push(Counter {
            reason: "socket_stale_closed",
            count: findings.closed,
        });
    }
}

fn kept(index: &Index) -> Kept {
    index.serving(Protocol::Udp).collect()
}
