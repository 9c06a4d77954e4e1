//! Two sides, measured in turns, and what that comes to (pure but for the measuring itself).
//!
//! A machine is never as fast in one minute as in the next. So both sides are measured in the same round, in the order ours, peer,
//! peer, ours, and only the ratio within a round is trusted: the result is the median of those.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// One side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// kpr's.
    Ours,
    /// What it is compared with.
    Peer,
}

/// The order within a round: a drift that is even over the round costs both sides the same.
const ORDER: [Side; 4] = [Side::Ours, Side::Peer, Side::Peer, Side::Ours];

/// Something to measure on both sides.
pub(crate) trait Contest {
    /// One sample of a side.
    fn sample(&mut self, side: Side) -> Result<f64>;

    /// What a sample costs apart from what is measured; it is taken off.
    fn overhead(&mut self) -> Result<f64> {
        Ok(0.0)
    }
}

/// So many rounds with any number of sides, each sampled twice: in order, and then in the opposite order. As [`play`] does, after one
/// round that does not count. What each round saw of each side, for [`compare`].
pub(crate) fn play_all(
    sides: usize,
    rounds: u32,
    mut sample: impl FnMut(usize) -> Result<f64>,
) -> Result<Vec<Vec<f64>>> {
    let mut round = || {
        let mut seen = vec![0.0; sides];
        for side in (0..sides).chain((0..sides).rev()) {
            seen[side] += sample(side)? / 2.0;
        }
        Ok(seen)
    };
    round()?;
    (0..rounds).map(|_| round()).collect()
}

/// Two of those sides.
pub(crate) fn compare(rounds: &[Vec<f64>], ours: usize, peer: usize) -> Result<Summary> {
    let rounds: Vec<Round> = rounds
        .iter()
        .map(|seen| Round {
            ours: seen[ours],
            peer: seen[peer],
        })
        .collect();
    summary(&rounds)
}

/// What one round saw, without the overhead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    ours: f64,
    peer: f64,
}

/// What all rounds come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Median of our side.
    pub(crate) ours: f64,
    /// Median of the peer.
    pub(crate) peer: f64,
    /// Median of the rounds' ratios: not the ratio of the medians.
    pub(crate) ratio: f64,
    /// First and third quartile of the rounds' ratios.
    pub(crate) spread: [f64; 2],
    /// How many rounds there were.
    pub(crate) rounds: u32,
}

/// Plays so many rounds, after one that does not count: it fills caches and branch predictors.
pub(crate) fn play(contest: &mut impl Contest, rounds: u32) -> Result<Summary> {
    round(contest)?;
    let played: Vec<Round> = (0..rounds).map(|_| round(contest)).collect::<Result<_>>()?;
    summary(&played)
}

fn round(contest: &mut impl Contest) -> Result<Round> {
    let before = contest.overhead()?;
    let (mut ours, mut peer) = (0.0, 0.0);
    for side in ORDER {
        let sample = contest.sample(side)?;
        match side {
            Side::Ours => ours += sample / 2.0,
            Side::Peer => peer += sample / 2.0,
        }
    }
    let overhead = f64::midpoint(before, contest.overhead()?);
    Ok(Round {
        ours: ours - overhead,
        peer: peer - overhead,
    })
}

fn summary(rounds: &[Round]) -> Result<Summary> {
    ensure!(!rounds.is_empty(), "no round was played");
    // Whatever took the processor away while the overhead was measured makes it larger than a sample.
    let (counted, disturbed): (Vec<Round>, Vec<Round>) =
        rounds.iter().partition(|round| round.ours > 0.0 && round.peer > 0.0);
    ensure!(
        disturbed.len() * 4 <= rounds.len(),
        "in {} of {} rounds a side took no time beyond what measuring costs",
        disturbed.len(),
        rounds.len()
    );
    let rounds = &counted;
    let of = |value: fn(&Round) -> f64| Sorted::new(rounds.iter().map(value));
    let ratios = of(|round| round.ours / round.peer);
    Ok(Summary {
        ours: of(|round| round.ours).quantile(0.5),
        peer: of(|round| round.peer).quantile(0.5),
        ratio: ratios.quantile(0.5),
        spread: [ratios.quantile(0.25), ratios.quantile(0.75)],
        rounds: u32::try_from(rounds.len())?,
    })
}

/// Numbers in ascending order; at least one.
#[derive(Debug)]
pub(crate) struct Sorted(Vec<f64>);

impl Sorted {
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which this share of all lies, between the two nearest ones where it falls between. 0 if there are no values.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else {
            return 0.0;
        };
        #[expect(clippy::cast_precision_loss, reason = "a number of samples")]
        let place = share.clamp(0.0, 1.0) * last as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the last index"
        )]
        let low = place.floor() as usize;
        let high = (low + 1).min(last);
        self.0[low] + (self.0[high] - self.0[low]) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that becomes slower with each sample.
    #[derive(Default)]
    struct Drifting {
        samples: f64,
        order: Vec<Side>,
    }

    impl Contest for Drifting {
        fn sample(&mut self, side: Side) -> Result<f64> {
            self.order.push(side);
            self.samples += 1.0;
            let drift = 10.0 + self.samples;
            Ok(match side {
                Side::Ours => 300.0,
                Side::Peer => 200.0,
            } + drift)
        }

        fn overhead(&mut self) -> Result<f64> {
            self.samples += 1.0;
            Ok(10.0 + self.samples)
        }
    }

    #[test]
    fn a_steady_drift_and_the_overhead_cancel_out_in_every_round() {
        let mut drifting = Drifting::default();
        let summary = play(&mut drifting, 5).unwrap();
        assert_eq!(
            summary,
            Summary {
                ours: 300.0,
                peer: 200.0,
                ratio: 1.5,
                spread: [1.5, 1.5],
                rounds: 5
            }
        );
        assert_eq!(drifting.order.len(), 4 * 6, "one round more, which does not count");
        assert_eq!(drifting.order[4..8], ORDER);
    }

    #[test]
    fn a_steady_drift_cancels_out_among_any_number_of_sides() {
        let mut order = Vec::new();
        let rounds = play_all(3, 5, |side| {
            order.push(side);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let sample = (side * 100 + order.len()) as f64;
            Ok(sample)
        })
        .unwrap();
        assert_eq!(order[6..12], [0, 1, 2, 2, 1, 0]);
        assert_eq!((order.len(), rounds.len()), (6 * 6, 5));
        for seen in &rounds {
            assert!((seen[1] - seen[0] - 100.0).abs() < 1e-9, "{seen:?}");
            assert!((seen[2] - seen[1] - 100.0).abs() < 1e-9, "{seen:?}");
        }
        let summary = compare(&rounds, 2, 1).unwrap();
        assert!((summary.ours - summary.peer - 100.0).abs() < 1e-9, "{summary:?}");
    }

    #[test]
    fn one_wild_round_moves_the_medians_of_its_side_and_hardly_the_ratio() {
        let mut rounds = vec![Round { ours: 30.0, peer: 20.0 }; 9];
        rounds[3] = Round {
            ours: 900.0,
            peer: 20.0,
        };
        let summary = summary(&rounds).unwrap();
        assert!((summary.ratio - 1.5).abs() < 1e-9 && (summary.ours - 30.0).abs() < 1e-9);
    }

    #[test]
    fn rounds_in_which_a_side_took_no_time_do_not_count_and_too_many_of_them_are_an_error() {
        let mut rounds = vec![Round { ours: 3.0, peer: 2.0 }; 4];
        rounds[1].peer = 0.0;
        let found = summary(&rounds).unwrap();
        assert_eq!((found.ratio, found.rounds), (1.5, 3));
        rounds[2].ours = -1.0;
        let error = summary(&rounds).unwrap_err().to_string();
        assert!(error.starts_with("in 2 of 4 rounds a side took no time"), "{error}");
        assert!(summary(&[]).is_err());
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let sorted = Sorted::new([4.0, 1.0, 3.0, 2.0]);
        for (share, expected) in [(0.0, 1.0), (0.5, 2.5), (0.75, 3.25), (1.0, 4.0)] {
            assert!((sorted.quantile(share) - expected).abs() < 1e-9, "{share}");
        }
        assert!(Sorted::new([]).quantile(0.5).abs() < f64::EPSILON);
    }
}
