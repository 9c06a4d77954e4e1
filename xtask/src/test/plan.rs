//! Which stages there are, in which order (pure).

use super::load_balancers::Other;
use crate::cli::{ConformancePart, StageName};

/// One numbered line of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    FmtWorkspace,
    FmtBpf,
    /// Early, because the node agent embeds the object: what is built before it would be built again.
    BuildBpf,
    LintWorkspace,
    /// The programs of the image, as they are built for it.
    LintStatic,
    LintBpf,
    Unit,
    /// What helm makes of the chart.
    Chart,
    /// The scenarios start the operator, the agent and `kpr` as a user would.
    BuildUserSpace,
    Bpf,
    E2e,
    /// Some scenarios with another load balancer than the default one.
    With(Other),
    /// All scenarios of the datapath with it: only if asked for.
    AllWith(Other),
    /// The instructions that packets take, against their record.
    Instructions,
    /// What the scenarios say about Kubernetes' own tests.
    Conformance,
    /// The programs of a real control plane, and real clients of it.
    BuildControlPlane,
    /// The in-memory API server beside the real one.
    Comparison,
    /// kpr's API on the real API server.
    RealApi,
    /// Scenarios on the real control plane.
    RealScenarios,
    Leftovers,
}

impl Stage {
    pub(super) fn title(self) -> &'static str {
        match self {
            Stage::FmtWorkspace => "formatting, user space",
            Stage::FmtBpf => "formatting, eBPF programs",
            Stage::BuildBpf => "build of the eBPF object",
            Stage::LintWorkspace => "clippy, user space",
            Stage::LintStatic => "clippy, static programs",
            Stage::LintBpf => "clippy, eBPF programs",
            Stage::Unit => "unit and integration tests",
            Stage::Chart => "Helm chart",
            Stage::BuildUserSpace => "build of the user-space binaries",
            Stage::Bpf => "eBPF tests in this kernel",
            Stage::E2e => "end-to-end scenarios",
            Stage::With(other) => other.title(),
            Stage::AllWith(other) => other.title_of_all(),
            Stage::Instructions => "instructions for each packet",
            Stage::Conformance => "Kubernetes' own Service tests",
            Stage::BuildControlPlane => "build of a real control plane",
            Stage::Comparison => "in-memory and real API compared",
            Stage::RealApi => "kpr's API on a real API server",
            Stage::RealScenarios => "scenarios on a real control plane",
            Stage::Leftovers => "nothing left behind",
        }
    }

    pub(super) fn needs_root(self) -> bool {
        matches!(
            self,
            Stage::Bpf | Stage::E2e | Stage::With(_) | Stage::AllWith(_) | Stage::Instructions
        ) || self.needs_control_plane()
    }

    /// Does it run the programs that [`Stage::BuildControlPlane`] builds?
    pub(super) fn needs_control_plane(self) -> bool {
        matches!(self, Stage::Comparison | Stage::RealApi | Stage::RealScenarios)
    }
}

/// The stages of some groups, each with what it needs before it (none: of all but those that have to be asked for).
pub(super) fn stages(only: &[StageName]) -> Vec<Stage> {
    use StageName::{Bpf, Chart, Conformance, E2e, Fmt, Instructions, Lint, Matrix, Unit};
    let order: [(Stage, &[StageName]); 27] = [
        (Stage::FmtWorkspace, &[Fmt]),
        (Stage::FmtBpf, &[Fmt]),
        (
            Stage::BuildBpf,
            &[Lint, Unit, Bpf, E2e, Matrix, Instructions, Conformance],
        ),
        (Stage::LintWorkspace, &[Lint]),
        (Stage::LintStatic, &[Lint]),
        (Stage::LintBpf, &[Lint]),
        (Stage::Unit, &[Unit]),
        (Stage::Chart, &[Chart]),
        (Stage::BuildUserSpace, &[E2e, Matrix, Instructions, Conformance]),
        (Stage::Bpf, &[Bpf]),
        (Stage::Instructions, &[Instructions]),
        (Stage::E2e, &[E2e]),
        (Stage::With(Other::Xdp), &[E2e]),
        (Stage::With(Other::Maglev), &[E2e]),
        (Stage::With(Other::LeastConnections), &[E2e]),
        (Stage::With(Other::Dsr), &[E2e]),
        (Stage::AllWith(Other::Xdp), &[Matrix]),
        (Stage::AllWith(Other::Maglev), &[Matrix]),
        (Stage::AllWith(Other::LeastConnections), &[Matrix]),
        (Stage::AllWith(Other::Dsr), &[Matrix]),
        (Stage::AllWith(Other::Together), &[Matrix]),
        (Stage::Conformance, &[E2e]),
        (Stage::BuildControlPlane, &[Conformance]),
        (Stage::Comparison, &[Conformance]),
        (Stage::RealApi, &[Conformance]),
        (Stage::RealScenarios, &[Conformance]),
        (Stage::Leftovers, &[Unit, Bpf, E2e, Matrix, Conformance]),
    ];
    let wanted = |groups: &[StageName]| {
        groups.iter().any(|group| {
            if only.is_empty() {
                *group != Matrix
            } else {
                only.contains(group)
            }
        })
    };
    order
        .into_iter()
        .filter(|(_, groups)| wanted(groups))
        .map(|(stage, _)| stage)
        .collect()
}

/// The stages of some parts of `cargo xtask conformance` (none: of all).
pub(super) fn conformance(only: &[ConformancePart]) -> Vec<Stage> {
    let part = |stage| match stage {
        Stage::Comparison => Some(ConformancePart::Comparison),
        Stage::RealApi => Some(ConformancePart::Api),
        Stage::RealScenarios => Some(ConformancePart::Scenarios),
        _ => None,
    };
    let wanted = |stage: &Stage| only.is_empty() || part(*stage).is_none_or(|part| only.contains(&part));
    stages(&[StageName::Conformance]).into_iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_everything_runs_and_leftovers_are_looked_for_last() {
        let all = stages(&[]);
        assert_eq!(all.len(), 22);
        assert_eq!(all.last(), Some(&Stage::Leftovers));
    }

    #[test]
    fn the_matrix_runs_when_it_is_asked_for() {
        let is_of_it = |stage: &Stage| matches!(stage, Stage::AllWith(_));
        assert!(!stages(&[]).iter().any(is_of_it));
        assert_eq!(
            stages(&[StageName::Matrix]),
            [
                Stage::BuildBpf,
                Stage::BuildUserSpace,
                Stage::AllWith(Other::Xdp),
                Stage::AllWith(Other::Maglev),
                Stage::AllWith(Other::LeastConnections),
                Stage::AllWith(Other::Dsr),
                Stage::AllWith(Other::Together),
                Stage::Leftovers
            ]
        );
    }

    #[test]
    fn a_chosen_group_brings_what_it_needs_and_no_more() {
        assert_eq!(stages(&[StageName::Fmt]), [Stage::FmtWorkspace, Stage::FmtBpf]);
        assert_eq!(
            stages(&[StageName::Bpf]),
            [Stage::BuildBpf, Stage::Bpf, Stage::Leftovers]
        );
        assert_eq!(
            stages(&[StageName::E2e, StageName::Fmt]),
            [
                Stage::FmtWorkspace,
                Stage::FmtBpf,
                Stage::BuildBpf,
                Stage::BuildUserSpace,
                Stage::E2e,
                Stage::With(Other::Xdp),
                Stage::With(Other::Maglev),
                Stage::With(Other::LeastConnections),
                Stage::With(Other::Dsr),
                Stage::Conformance,
                Stage::Leftovers
            ]
        );
    }

    #[test]
    fn a_chosen_part_of_conformance_leaves_the_others_out() {
        assert_eq!(
            conformance(&[ConformancePart::Api]),
            [
                Stage::BuildBpf,
                Stage::BuildUserSpace,
                Stage::BuildControlPlane,
                Stage::RealApi,
                Stage::Leftovers
            ]
        );
        assert_eq!(conformance(&[]), stages(&[StageName::Conformance]));
    }

    #[test]
    fn only_the_stages_with_kernel_state_need_root() {
        let unprivileged = stages(&[StageName::Fmt, StageName::Lint, StageName::Unit, StageName::Chart]);
        assert!(!unprivileged.iter().any(|stage| stage.needs_root()));
        assert!(stages(&[]).iter().any(|stage| stage.needs_root()));
    }
}
