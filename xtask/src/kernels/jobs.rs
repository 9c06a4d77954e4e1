//! What is run in a guest.

use std::{fmt::Write as _, time::Duration};

use clap::ValueEnum;

/// A part of what is run, to choose on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Every program in every configuration passes the verifier.
    Load,
    /// The packet tests.
    Packets,
    /// One scenario with a ClusterIP and one with a NodePort, in a test cluster.
    E2e,
    /// Instructions are counted; `cargo xtask instructions` does it.
    #[value(skip)]
    Instructions,
}

/// One run of a test binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) group: Group,
    /// Name in the guest; the name of the test target too.
    pub(super) name: &'static str,
    /// What the summary says.
    pub(super) title: &'static str,
    pub(super) package: &'static str,
    pub(super) arguments: &'static str,
    /// An emulated processor is ten to thirty times slower than a real one.
    pub(super) limit: Duration,
}

/// The job that tells of configurations, and of the verifier's work.
pub(super) const LOADING: &str = "loading";

const JOBS: [Job; 4] = [
    Job {
        group: Group::Load,
        name: LOADING,
        title: "all programs, all configurations",
        package: "kpr-node-agent",
        // Not one thread: the harness would put what the test prints behind its name, on one line.
        arguments: "--nocapture --test-threads=2",
        limit: Duration::from_hours(1),
    },
    Job {
        group: Group::Packets,
        name: "packets",
        title: "packet tests",
        package: "kpr-node-agent",
        arguments: "--test-threads=1",
        limit: Duration::from_mins(40),
    },
    Job {
        group: Group::E2e,
        name: "cluster_ip",
        title: "a ClusterIP scenario",
        package: "kpr-cluster",
        arguments: "--exact connections_are_spread_evenly",
        limit: Duration::from_mins(5),
    },
    Job {
        group: Group::E2e,
        name: "node_port",
        title: "a NodePort scenario",
        package: "kpr-cluster",
        arguments: "--exact every_node_answers_the_outside",
        limit: Duration::from_mins(5),
    },
];

/// The jobs of some groups; of all if none is given.
pub(super) fn of(groups: &[Group]) -> Vec<Job> {
    let wanted = |job: &Job| groups.is_empty() || groups.contains(&job.group);
    JOBS.into_iter().filter(wanted).collect()
}

/// How long all of them may take, with the boot.
pub(super) fn limit(jobs: &[Job]) -> Duration {
    let boot = Duration::from_mins(2);
    jobs.iter().map(|job| job.limit).sum::<Duration>() + boot
}

/// The script that carries them out, for the guest's init.
pub(super) fn script(jobs: &[Job]) -> String {
    let mut script = String::new();
    for job in jobs {
        let Job {
            name, arguments, limit, ..
        } = job;
        // Writing to a String cannot fail.
        let _ = writeln!(script, "job {name} {} /kpr/{name} {arguments}", limit.as_secs());
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_brings_its_jobs_and_no_group_brings_all() {
        assert_eq!(of(&[]).len(), JOBS.len());
        let names = |groups: &[Group]| of(groups).iter().map(|job| job.name).collect::<Vec<_>>();
        assert_eq!(names(&[Group::E2e]), ["cluster_ip", "node_port"]);
        assert_eq!(names(&[Group::Packets, Group::Load]), ["loading", "packets"]);
    }

    #[test]
    fn each_job_is_one_line_with_its_limit() {
        assert_eq!(
            script(&of(&[Group::Packets])),
            "job packets 2400 /kpr/packets --test-threads=1\n"
        );
    }
}
