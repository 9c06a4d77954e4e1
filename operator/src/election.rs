//! Leader election, without I/O: what to do with a Lease that looks like this.
//!
//! The rules are those of client-go's `leaderelection`: a Lease of someone else is free once it has not changed for its
//! own duration, measured on our clock from when *we* saw the last change. Clocks of other machines are never compared.
//! That only one candidate gets a free Lease is the API server's work: every write names the resourceVersion it replaces.

use std::time::Duration;

use tokio::time::Instant;

/// What a Lease says about its holder.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// Who holds it; none if it was released.
    pub holder: Option<String>,
    /// How long it is valid after each change.
    pub duration: Duration,
    /// Changes with every write.
    pub version: String,
}

/// A candidate's memory of the Lease.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    seen: Option<(Record, Instant)>,
}

/// What to do with the Lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// It is free: write ourselves into it, as a new holder.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// It is someone else's, for this long if nothing changes.
    Wait(Duration),
}

impl Candidate {
    /// A candidate that has not seen the Lease yet.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            seen: None,
        }
    }

    /// What to do, now that the Lease looks like this.
    pub fn step(&mut self, record: Record, now: Instant) -> Step {
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        let (record, since) = &*self.seen.insert((record, since));
        match &record.holder {
            None => Step::Acquire,
            Some(holder) if *holder == self.identity => Step::Renew,
            Some(_) => match record.duration.checked_sub(now.duration_since(*since)) {
                Some(left) if !left.is_zero() => Step::Wait(left),
                _ => Step::Acquire,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn held_by(holder: &str, version: &str) -> Record {
        Record {
            holder: Some(holder.to_owned()),
            duration: DURATION,
            version: version.to_owned(),
        }
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        let free = Record {
            duration: DURATION,
            ..Record::default()
        };
        assert_eq!(Candidate::new("me").step(free, Instant::now()), Step::Acquire);
    }

    #[test]
    fn our_own_lease_is_renewed() {
        assert_eq!(
            Candidate::new("me").step(held_by("me", "1"), Instant::now()),
            Step::Renew
        );
    }

    #[test]
    fn a_lease_that_its_holder_renews_is_never_taken() {
        let start = Instant::now();
        let mut me = Candidate::new("me");
        for second in 0..100u64 {
            let now = start + Duration::from_secs(second * 10);
            assert_eq!(
                me.step(held_by("other", &second.to_string()), now),
                Step::Wait(DURATION)
            );
        }
    }

    #[test]
    fn a_lease_that_stays_the_same_for_its_duration_is_taken() {
        let start = Instant::now();
        let mut me = Candidate::new("me");
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(me.step(held_by("other", "1"), after(0)), Step::Wait(DURATION));
        assert_eq!(
            me.step(held_by("other", "1"), after(14)),
            Step::Wait(Duration::from_secs(1))
        );
        assert_eq!(me.step(held_by("other", "1"), after(15)), Step::Acquire);
    }
}
