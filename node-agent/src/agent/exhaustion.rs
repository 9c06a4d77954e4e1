//! Whether flows are refused because no SNAT source port is free. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::datapath::{PortRange, SnatUse};

/// How long it is told after the last refusal: long enough for somebody to see it.
const TOLD: Duration = Duration::from_mins(1);
/// From the first refusal until it is told without knowing which backend it is about: the next sweep finds out.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of refused flows.
#[derive(Clone, Debug, Default)]
pub(super) struct Exhaustion {
    /// The counter at the last look; none before the first, which may find what happened while no agent ran.
    counted: Option<u64>,
    /// When it was first and last seen to grow.
    spell: Option<(Instant, Instant)>,
    /// What is told of it.
    told: Option<String>,
}

impl Exhaustion {
    /// Another range of ports is in force, or none.
    pub(super) fn forget(&mut self) {
        (self.spell, self.told) = (None, None);
    }

    /// Looks at the counter; returns whether flows were refused since the last look.
    pub(super) fn look(&mut self, counted: u64, now: Instant) -> bool {
        let grew = self.counted.is_some_and(|before| counted > before);
        self.counted = Some(counted);
        match &mut self.spell {
            Some((_, last)) if grew => *last = now,
            None if grew => self.spell = Some((now, now)),
            Some((_, last)) if now.duration_since(*last) > TOLD => self.forget(),
            _ => {}
        }
        grew
    }

    /// What to tell; none if no flow was refused lately. `fullest`: the destination with the most source ports in use.
    pub(super) fn tell(&mut self, ports: PortRange, fullest: Option<&SnatUse>, now: Instant) -> Option<&str> {
        let (first, _) = self.spell?;
        let size = u32::from(ports.max).saturating_sub(u32::from(ports.min)) + 1;
        // Flows end while the table is read.
        let full = fullest.filter(|fullest| fullest.ports >= size - size / 10);
        let towards = match (full, &self.told) {
            (Some(full), _) => Some(full.to_string()),
            (None, None) if now.duration_since(first) >= PATIENCE => Some("a backend".to_owned()),
            (None, _) => None,
        };
        if let Some(towards) = towards {
            self.told = Some(format!(
                "SNAT source ports {}-{} towards {towards} are exhausted and new flows are refused: widen \
                 loadBalancer.snatPorts, or add backends",
                ports.min, ports.max
            ));
        }
        self.told.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: PortRange = PortRange {
        min: 45_000,
        max: 45_999,
    };

    fn used(ports: u32) -> SnatUse {
        SnatUse {
            backend: "10.244.1.2:80".parse().unwrap(),
            proto: kpr_abi::proto::TCP,
            source: "192.168.49.2".parse().unwrap(),
            ports,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn refused_flows_are_told_with_the_backend_that_has_no_port_left_and_what_to_do() {
        let (mut exhaustion, now) = (Exhaustion::default(), Instant::now());
        assert!(!exhaustion.look(0, now));
        assert_eq!(
            exhaustion.tell(PORTS, Some(&used(1_000)), now),
            None,
            "full, and nobody was refused"
        );
        assert!(exhaustion.look(7, now));
        assert_eq!(
            exhaustion.tell(PORTS, Some(&used(999)), now),
            Some(
                "SNAT source ports 45000-45999 towards 10.244.1.2:80/TCP are exhausted and new flows are refused: widen \
                 loadBalancer.snatPorts, or add backends"
            )
        );
    }

    #[test]
    fn what_happened_while_no_agent_ran_is_no_news() {
        let (mut exhaustion, now) = (Exhaustion::default(), Instant::now());
        assert!(!exhaustion.look(7, now));
        assert_eq!(exhaustion.tell(PORTS, Some(&used(1_000)), now), None);
    }

    #[test]
    fn a_sweep_has_a_moment_to_find_the_backend_and_then_it_is_told_without() {
        let (mut exhaustion, now) = (Exhaustion::default(), Instant::now());
        exhaustion.look(0, now);
        exhaustion.look(1, now);
        assert_eq!(exhaustion.tell(PORTS, None, now), None);
        let told = exhaustion.tell(PORTS, Some(&used(10)), now + PATIENCE).unwrap();
        assert!(told.contains("towards a backend"), "{told}");
    }

    #[test]
    fn it_is_told_for_a_minute_after_the_last_refusal_in_the_same_words() {
        let (mut exhaustion, now) = (Exhaustion::default(), Instant::now());
        exhaustion.look(0, now);
        exhaustion.look(1, now);
        let told = exhaustion.tell(PORTS, Some(&used(1_000)), now).unwrap().to_owned();
        exhaustion.look(2, now + seconds(30));
        assert!(!exhaustion.look(2, now + seconds(90)));
        assert_eq!(
            exhaustion.tell(PORTS, Some(&used(300)), now + seconds(90)),
            Some(&*told)
        );
        exhaustion.look(2, now + seconds(91));
        assert_eq!(exhaustion.tell(PORTS, Some(&used(1_000)), now + seconds(91)), None);
    }

    #[test]
    fn with_other_ports_it_begins_anew() {
        let (mut exhaustion, now) = (Exhaustion::default(), Instant::now());
        exhaustion.look(0, now);
        exhaustion.look(1, now);
        exhaustion.forget();
        assert_eq!(exhaustion.tell(PORTS, Some(&used(1_000)), now), None);
        assert!(exhaustion.look(2, now), "refused all the same");
    }
}
