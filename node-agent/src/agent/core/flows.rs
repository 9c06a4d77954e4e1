//! Flows that age and end: what the thread that sweeps them is told, and what it found.

use std::sync::Arc;

use kpr_abi::{Family, Reason, V4, V6};
use tokio::time::Instant;
use tracing::warn;

use super::{super::Loader, Core};
use crate::{
    datapath::{CONNECTION_TRACKING, Report},
    sweeper::{Control, Findings},
};

impl<L: Loader> Core<L> {
    /// What the core wants of idle flows, for the thread that carries it out.
    pub fn sweeper(&self) -> Arc<Control> {
        Arc::clone(&self.sweeper)
    }

    /// After a look at the datapath: are flows refused for want of a source port?
    pub(super) fn watch_exhaustion(&mut self, now: Instant) {
        let Some(running) = &self.running else { return };
        let refused = Reason::RefuseSnatExhausted.name();
        let counter = self.report.counters.iter().find(|counter| counter.reason == refused);
        if self.exhaustion.look(counter.map_or(0, |counter| counter.count), now) {
            self.sweeper.hurry();
            self.report_stale = true;
        }
        let findings = self.sweeper.findings();
        let fullest = findings.as_deref().and_then(Findings::fullest);
        let told = self.exhaustion.tell(running.settings.snat_ports, fullest, now);
        if self.troubles.exhausted.as_deref() != told {
            if let Some(told) = told {
                warn!("{told}");
            }
            self.troubles.exhausted = told.map(str::to_owned);
        }
    }

    /// Adds how full the flow tables were when they were last swept.
    pub(super) fn report_flows(findings: Option<&Findings>, report: &mut Report) {
        let Some(findings) = findings else { return };
        for (family, sweep) in [(V4::NAME, findings.v4), (V6::NAME, findings.v6)] {
            let name = format!("{family} {CONNECTION_TRACKING}");
            if let Some(map) = report.maps.iter_mut().find(|map| map.name == name) {
                map.entries = Some(sweep.live);
            }
        }
    }
}
