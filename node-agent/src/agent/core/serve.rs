//! Serving: attached where it should be, programmed with what is wanted, and looked at.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{
    super::{
        Datapath, Loader,
        acceleration::{Outcome, outcome},
        devices::place,
        pod_devices::{Served, reasons},
    },
    Core, Running, asks_for_dsr, sentence,
};
use crate::{cluster::Peer, devices::Device, memory, model::Protocol};

/// The port of the agents' Service that says how they are.
const HEALTH_PORT: &str = "healthz";

/// Separates source ports of kube-proxy's rules, if there are any, from those of the datapath.
pub(super) fn keep_apart<D: Datapath>(running: &mut Running<D>) {
    match running.datapath.keep_apart() {
        Ok(()) => running.apart = true,
        Err(failed) if running.apart => {
            warn!(
                "kube-proxy's rules may take source ports of kpr's flows: {}",
                sentence(&failed)
            );
            running.apart = false;
        }
        Err(_) => {}
    }
}

impl<L: Loader> Core<L> {
    pub(super) fn place(&mut self, now: Instant) {
        let (Some(running), Some(applied), Some(devices)) = (&mut self.running, &self.applied, &self.devices) else {
            return;
        };
        // Without the Node's addresses the choice could be another one than before a restart, and detach a device.
        if !self.node_known || !self.place_retry.ready(now) {
            return;
        }
        let node_ips: &[IpAddr] = self.node.as_ref().map_or(&[], |node| &node.internal_ips);
        let served = Served {
            source_ranges: self.index.has_source_ranges(&self.facts) || running.services.has_source_ranges(),
            sctp: self.index.has_sctp(&self.facts) || running.services.has(Protocol::Sctp),
            open_flows: running.from_pods.is_possible(),
        };
        let pod_reasons = reasons(&applied.spec, served);
        if pod_reasons.iter().any(|reason| reason.is_lasting()) {
            running.from_pods.renew(self.sweeper.number());
        }
        let wanted = match place(devices, &applied.spec, node_ips, pod_reasons) {
            Ok(wanted) => wanted,
            Err(missing) => {
                if self.tasks.place.failed(Timestamp::now(), &missing.to_string()) {
                    error!("{missing}");
                }
                // Nothing to retry: the next look comes with the next change of devices or configuration.
                self.place_retry.failed(now);
                self.report_stale |= self.troubles.no_devices.is_none();
                self.troubles.no_devices = Some(missing.to_string());
                return;
            }
        };
        self.troubles.no_devices = None;
        if running.placement.as_ref() == Some(&wanted) {
            self.place_retry.reset();
            return;
        }
        match running.datapath.place(&wanted) {
            Ok(()) => {
                let names = |devices: &[Device]| devices.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(",");
                let (devices, pods) = (names(&wanted.selection.devices), names(&wanted.pod_facing));
                info!(devices, pods, "attached");
                running.placement = Some(wanted);
                self.tasks.place.succeeded(Timestamp::now());
                self.troubles.attach = None;
                self.place_retry.reset();
                // How devices have XDP is known now.
                self.reported = None;
                self.tell_of_placement();
            }
            Err(failed) => {
                let message = sentence(&failed);
                if self.tasks.place.failed(Timestamp::now(), &message) {
                    error!("the datapath cannot be attached: {message}");
                }
                self.troubles.attach = Some(message);
                self.place_retry.failed(now);
            }
        }
    }

    /// Nothing is written before all kinds have been read in full: what the pinned maps hold goes on until then.
    /// So must it be known which nodes take encapsulated packets, if it matters.
    pub(super) fn program(&mut self, now: Instant) {
        let asks_for_dsr = self.applied.as_ref().is_some_and(|applied| asks_for_dsr(&applied.spec));
        if asks_for_dsr && self.dsr_takers.is_none() {
            return;
        }
        let Some(running) = self.running.as_mut().filter(|_| self.synced) else {
            return;
        };
        let changed = self.index.take_dirty();
        if !changed.is_empty() {
            if let Some(agents) = self.agents.as_ref().filter(|agents| changed.contains(*agents)) {
                let peers = self.index.endpoints_by_node(agents, HEALTH_PORT).into_iter();
                self.peers = peers.map(|(node, address)| Peer { node, address }).collect();
            }
            running.services.touch(&changed);
            // Before the first write: sockets may be led there in a moment.
            let services = || changed.iter();
            self.sockets.widen(Protocol::Udp, self.index.serving_udp_of(services()));
            self.sockets.widen(Protocol::Tcp, self.index.present_tcp_of(services()));
            self.sockets_settled = None;
            self.tell_of_services(&changed);
        }
        let Some(running) = &mut self.running else { return };
        let due = running.services.due();
        if due.is_some_and(|due| due <= now) {
            if std::mem::take(&mut running.taking_over) {
                // Before the first write: a datagram of such a flow would begin another one.
                keep_apart(running);
                match running.datapath.leave_translated() {
                    Ok(0) => {}
                    Ok(flows) => info!(flows, "UDP flows of kube-proxy's rules stay with netfilter"),
                    Err(failed) => warn!(
                        "UDP flows of kube-proxy's rules may be balanced anew: {}",
                        sentence(&failed)
                    ),
                }
            }
            let outcome = running
                .services
                .sync(&self.index, &self.facts, &mut running.datapath, &self.syncs, now);
            match outcome {
                // One family may have had nothing to do while the other waits to try again.
                Ok(()) if running.services.failure().is_some() => {}
                Ok(()) => {
                    self.tasks.program.succeeded(Timestamp::now());
                    self.syncs.caught_up();
                    // Load balancers hear of an endpoint once it is served, and not before.
                    self.health_checks = self.index.health_checks(&self.facts).into();
                }
                Err(failed) => {
                    let message = sentence(&failed);
                    if self.tasks.program.failed(Timestamp::now(), &message) {
                        error!("programming failed and is tried again: {message}");
                    }
                }
            }
            self.latency.written(running.services.progress(), &self.syncs);
            self.report_stale = true;
        }
        if let Err(failed) = running.services.count(&mut running.datapath) {
            let message = sentence(&failed);
            if self.tasks.program.failed(Timestamp::now(), &message) {
                error!("Services are not counted as they should be, which is tried again: {message}");
            }
        }
        self.troubles.write = running.services.failure().map(str::to_owned);
        self.troubles.full = running.services.full();
        let complete = running.services.is_complete();
        let settled = self.troubles.write.is_none() && (complete || self.troubles.full.is_some());
        if complete {
            if !running.complete {
                running.complete = true;
                // From here on, kube-proxy's rules are not needed.
                running.apart_due = now;
                // What was seen before the first plan says nothing about what is served.
                self.reported = None;
                memory::give_back();
            }
            self.behind_since = None;
        } else {
            self.behind_since.get_or_insert(now);
        }
        self.settle_sockets(settled);
    }

    /// Tells of devices that were to have XDP and have it not.
    fn watch_acceleration(&mut self) {
        let wanted = self
            .applied
            .as_ref()
            .map(|applied| applied.spec.load_balancer.acceleration);
        let told = match wanted.map(|wanted| outcome(wanted, &self.report)) {
            // Before devices are known, none has it.
            Some(Outcome::NotAttached(told)) => Some(format!("XDP acceleration: {told}")),
            _ => None,
        };
        if told != self.troubles.unaccelerated {
            if let Some(told) = &told {
                warn!("{told}");
            }
            self.troubles.unaccelerated = told;
        }
    }

    pub(super) fn look(&mut self, now: Instant) {
        let Some(running) = &self.running else { return };
        if self.report_due().is_some_and(|due| due > now) {
            return;
        }
        self.report = running.datapath.report();
        self.report.map_writes += running.writes_before;
        Self::report_sockets(self.sockets.findings(), &mut self.report);
        Self::report_flows(self.sweeper.findings().as_deref(), &mut self.report);
        running.services.report(&mut self.report);
        self.reported = Some(now);
        self.report_stale = false;
        self.watch_acceleration();
        self.watch_exhaustion(now);
        self.learn_of_flows();
        self.without_dsr = self.nodes_without_dsr();
    }

    /// Nodes whose endpoints get SNAT, though DSR is asked for.
    fn nodes_without_dsr(&self) -> Option<Arc<[Arc<str>]>> {
        let takers = self.facts.dsr_takers.as_ref()?;
        let others = |node: &&Arc<str>| **node != self.facts.name && !takers.contains(*node);
        Some(
            self.index
                .endpoint_nodes()
                .into_iter()
                .filter(others)
                .cloned()
                .collect(),
        )
    }
}
