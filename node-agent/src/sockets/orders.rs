//! Between the core and the thread that looks at sockets. Nothing waits in line here: the newest order is the only one.

use std::{
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::Kept;
use crate::model::Protocol;

/// What the core wants, and what the thread found. Clones of the `Arc` around it are the two ends.
#[derive(Debug, Default)]
pub struct Orders {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// None: no socket is to be closed.
    kept: Option<Arc<Kept>>,
    /// Sockets may have become stale since the last pass began.
    due: bool,
    ended: bool,
    findings: Findings,
}

/// What the thread has to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Sockets closed since the start.
    pub closed: u64,
    /// Whether this kernel can close sockets; none while that is not known.
    pub can_close: Option<bool>,
}

/// Why the thread wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// A backend is gone, or this is the first order: look at all sockets.
    Due,
    /// The time to look again has come.
    Again,
    /// There will be no more orders.
    Ended,
}

impl Orders {
    /// Before the tables change: sockets may soon be led to these backends, too. So what a pass reads after it has listed the
    /// sockets names every backend that any of them can have been led to, except those that are gone.
    pub fn widen(&self, protocol: Protocol, backends: impl IntoIterator<Item = SocketAddr>) {
        let mut state = self.state();
        if let Some(kept) = &mut state.kept {
            Arc::make_mut(kept).widen(protocol, backends);
        }
    }

    /// The tables have changed: exactly these backends may stay. The first time, all sockets are looked at: their backends may
    /// have gone while no agent ran.
    pub fn settle(&self, kept: Kept) {
        let mut state = self.state();
        let nothing_gone = state.kept.as_ref().is_some_and(|earlier| kept.covers(earlier));
        if state.kept.as_deref() != Some(&kept) {
            state.kept = Some(Arc::new(kept));
        }
        if !nothing_gone {
            state.due = true;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// No socket is to be closed.
    pub fn off(&self) {
        let mut state = self.state();
        state.kept = None;
        state.due = false;
    }

    /// What the thread has reported so far.
    pub fn findings(&self) -> Findings {
        self.state().findings
    }

    /// Which backends may stay now; none: close nothing.
    pub fn kept(&self) -> Option<Arc<Kept>> {
        self.state().kept.clone()
    }

    /// Waits for an order; if there is one in force, no longer than until `again`.
    pub(super) fn wait(&self, again: Option<Instant>) -> Wake {
        let mut state = self.state();
        loop {
            if state.ended {
                return Wake::Ended;
            }
            if std::mem::take(&mut state.due) {
                return Wake::Due;
            }
            let again = again.filter(|_| state.kept.is_some());
            let left = again.map(|again| again.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return Wake::Again,
                Some(left) => {
                    let woken = self.changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    pub(super) fn report(&self, closed: u64, can_close: bool) {
        let findings = &mut self.state().findings;
        findings.closed += closed;
        findings.can_close = Some(can_close);
    }

    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before the lock is given back: a panic elsewhere leaves nothing half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 244, 0, last], 53))
    }

    fn kept(last: &[u8]) -> Kept {
        last.iter().copied().map(backend).collect()
    }

    /// Whether a pass is due now.
    fn due(orders: &Orders) -> bool {
        orders.wait(Some(Instant::now())) == Wake::Due
    }

    #[test]
    fn the_first_order_is_for_sockets_whose_backend_went_while_no_agent_ran() {
        let orders = Orders::default();
        orders.settle(kept(&[2]));
        assert!(due(&orders));
        assert!(!due(&orders), "once");
    }

    #[test]
    fn a_pass_is_due_when_a_backend_has_gone_and_not_when_one_came() {
        let orders = Orders::default();
        orders.settle(kept(&[2]));
        assert!(due(&orders));
        orders.settle(kept(&[2, 3]));
        assert!(!due(&orders));
        orders.settle(kept(&[3]));
        assert!(due(&orders));
    }

    #[test]
    fn many_changes_before_a_pass_are_one() {
        let orders = Orders::default();
        for last in 2..100 {
            orders.settle(kept(&[last]));
        }
        assert!(due(&orders));
        assert!(!due(&orders));
        assert_eq!(*orders.kept().unwrap(), kept(&[99]));
    }

    #[test]
    fn a_backend_is_kept_from_before_sockets_can_be_led_to_it() {
        let orders = Orders::default();
        orders.settle(kept(&[2]));
        assert!(due(&orders));
        orders.widen(Protocol::Udp, [backend(3)]);
        let kept_now = orders.kept().unwrap();
        assert!(kept_now.has(Protocol::Udp, backend(2)) && kept_now.has(Protocol::Udp, backend(3)));
        assert!(!due(&orders));
        orders.settle(kept(&[3]));
        assert!(due(&orders));
    }

    #[test]
    fn nothing_is_due_while_nothing_is_to_be_closed() {
        let orders = Orders::default();
        orders.widen(Protocol::Udp, [backend(2)]);
        assert_eq!(orders.kept(), None);
        orders.settle(kept(&[2]));
        orders.off();
        assert_eq!(orders.kept(), None);
        orders.end();
        assert_eq!(orders.wait(Some(Instant::now())), Wake::Ended);
    }
}
