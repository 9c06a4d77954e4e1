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
    datapath::{Dsr, Report, fill::CONNECTION_TRACKING},
    sweeper::{Control, Findings},
};

/// Whether flows of some kind may be open, as far as sweeps tell.
#[derive(Debug)]
pub(super) struct MayBeOpen {
    possible: bool,
    /// The last sweep that had ended when one may have begun.
    since: u64,
}

impl MayBeOpen {
    pub(super) fn new(possible: bool) -> Self {
        Self { possible, since: 0 }
    }

    pub(super) fn is_possible(&self) -> bool {
        self.possible
    }

    /// One may have begun just now; `number`: the last sweep.
    pub(super) fn renew(&mut self, number: u64) {
        *self = Self {
            possible: true,
            since: number,
        };
    }

    /// A sweep has looked for such flows, though none was possible as far as was known: the programs have begun one themselves.
    fn surprised(&mut self, number: u64) {
        if !self.possible && number > self.since {
            self.renew(number);
        }
    }

    /// What a sweep found. One that was under way when a flow may have begun counts for nothing, so the answer is that of the
    /// next but one.
    fn learn(&mut self, number: u64, found: bool) {
        if number > self.since + 1 {
            *self = Self {
                possible: found,
                since: if found { self.since } else { number },
            };
        }
    }
}

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

    /// After a look at the datapath: what the last sweep says of pods' flows, and of those without a frontend.
    pub(super) fn learn_of_flows(&mut self) {
        let Some(running) = &mut self.running else { return };
        let gone = running.datapath.frontends_gone();
        if running.frontends_gone != gone {
            running.frontends_gone = gone;
            running.lingering.renew(self.sweeper.number());
        }
        if matches!(running.settings.dsr, Dsr::Tcp | Dsr::All) {
            self.encapsulated.renew(self.sweeper.number());
        }
        let Some(findings) = self.sweeper.findings() else {
            return;
        };
        self.encapsulated
            .learn(findings.number, findings.any(|sweep| sweep.encapsulated));
        running
            .from_pods
            .learn(findings.number, findings.any(|sweep| sweep.from_pods));
        if findings.any(|sweep| sweep.lingers.is_some()) {
            running.lingering.surprised(findings.number);
        }
        let before = running.lingering.is_possible();
        running
            .lingering
            .learn(findings.number, findings.any(|sweep| sweep.lingers == Some(true)));
        if before
            && !running.lingering.is_possible()
            && let Err(failed) = running.datapath.none_lingers()
        {
            // Asked again after the next sweeps: until then each packet that is nobody's costs a look-up more.
            warn!("flows without a frontend: {failed}");
            running.lingering.renew(findings.number);
        }
        let reasons = running.placement.as_ref().map(|placement| &placement.pod_reasons);
        let only_for_flows = reasons.is_some_and(|reasons| reasons.iter().any(|reason| !reason.is_lasting()));
        if only_for_flows || running.lingering.is_possible() || running.settings.dsr == Dsr::Ending {
            self.sweeper.ask();
        }
    }

    /// Adds how full the flow tables were when they were last swept.
    pub(super) fn report_flows(findings: Option<&Findings>, report: &mut Report) {
        let Some(findings) = findings else { return };
        for (family, sweep) in [(V4::NAME, findings.v4), (V6::NAME, findings.v6)] {
            report.used(family, CONNECTION_TRACKING, sweep.live);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_that_was_under_way_when_a_flow_may_have_begun_does_not_say_that_there_is_none() {
        let mut flows = MayBeOpen::new(true);
        flows.renew(7);
        flows.learn(7, false);
        flows.learn(8, false);
        assert!(flows.is_possible());
        flows.learn(9, true);
        assert!(flows.is_possible());
        flows.learn(10, false);
        assert!(!flows.is_possible());
    }

    #[test]
    fn a_flow_that_only_a_sweep_tells_of_is_possible_until_two_more_have_found_none() {
        let mut flows = MayBeOpen::new(true);
        flows.learn(2, false);
        for (number, possible) in [(2, false), (3, true), (4, true), (5, false), (5, false)] {
            flows.surprised(number);
            flows.learn(number, false);
            assert_eq!(flows.is_possible(), possible, "after sweep {number}");
        }
    }
}
