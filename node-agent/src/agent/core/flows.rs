//! Flows that age and end: what the thread that sweeps them is told, and what it found.

use std::sync::Arc;

use kpr_abi::{Family, Reason, V4, V6};
use tokio::time::Instant;
use tracing::warn;

use super::{
    super::{Datapath as _, Loader},
    Core,
};
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

    /// After a look at the datapath: what the last sweep says of pods' flows, and of those to frontends that are gone. A sweep that
    /// was under way when the question arose counts for nothing, so the answer is that of the next but one.
    pub(super) fn learn_of_flows(&mut self) {
        let Some(running) = &mut self.running else { return };
        let gone = running.datapath.frontends_gone();
        if running.frontends_gone != gone {
            running.frontends_gone = gone;
            running.gone_seen = self.sweeper.number();
            running.may_linger = true;
        }
        let Some(findings) = self.sweeper.findings() else {
            return;
        };
        if findings.number > running.pods_seen + 1 {
            running.pods_have_flows = findings.any(|sweep| sweep.from_pods);
        }
        if running.may_linger && findings.number > running.gone_seen + 1 && !findings.any(|sweep| sweep.lingers) {
            match running.datapath.none_lingers() {
                Ok(()) => running.may_linger = false,
                // Tried again after the next look: until then each packet that is nobody's costs a look-up more.
                Err(failed) => warn!("flows to frontends that are gone: {failed}"),
            }
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
