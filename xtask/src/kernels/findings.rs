//! What a guest says about its jobs (pure).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::jobs::LOADING;
use crate::test::Counts;

/// Everything that one guest said.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Its release, as `uname -r` has it.
    pub(super) release: Option<String>,
    /// What kpr found on the kernel and chose because of it.
    pub(super) features: Vec<String>,
    /// In how many configurations the programs were loaded.
    pub(super) configurations: Option<u32>,
    /// The most instructions that the verifier walked for a program, in any configuration; `None`: the kernel doesn't say.
    pub(super) walked: BTreeMap<String, Option<u32>>,
    jobs: Vec<JobFound>,
}

/// What became of a job.
#[derive(Clone, Debug)]
pub(super) struct JobFound {
    name: String,
    pub(super) counts: Counts,
    exit_code: Option<i32>,
    started: Instant,
    pub(super) took: Duration,
}

impl JobFound {
    /// Did it end, and well?
    pub(super) fn succeeded(&self) -> bool {
        self.exit_code == Some(0)
    }
}

impl Findings {
    /// Takes in one line that came at `now`; false if it is for a reader.
    pub(super) fn hear(&mut self, line: &str, now: Instant) -> bool {
        let line = line.trim_end();
        if let Some(message) = line.strip_prefix("@@ ") {
            self.hear_init(message, now);
        } else if let Some(feature) = line.strip_prefix("feature: ") {
            if !self.features.iter().any(|known| known == feature) {
                self.features.push(feature.to_owned());
            }
        } else if let Some(count) = line.strip_prefix("configurations: ") {
            // Several tests tell of some each.
            let more: Option<u32> = count.parse().ok();
            self.configurations = more.map(|more| self.configurations.unwrap_or(0) + more);
        } else if let Some((name, walked)) = line.strip_prefix("program: ").and_then(|rest| rest.split_once(' ')) {
            let most = self.walked.entry(name.to_owned()).or_default();
            *most = walked.parse().ok().max(*most);
        } else {
            if let Some(job) = self.jobs.last_mut() {
                job.counts.add_line(line);
            }
            return false;
        }
        true
    }

    /// What a job came to, if it was begun.
    pub(super) fn job(&self, name: &str) -> Option<&JobFound> {
        self.jobs.iter().find(|job| job.name == name)
    }

    fn hear_init(&mut self, message: &str, now: Instant) {
        let words: Vec<&str> = message.split(' ').collect();
        match (words.as_slice(), self.jobs.last_mut()) {
            (["kernel", release], _) => self.release = Some((*release).to_owned()),
            (["job", name], _) => {
                // Done before, in an earlier run: what counts is how it comes out now.
                self.jobs.retain(|job| job.name != *name);
                if *name == LOADING {
                    (self.configurations, self.walked) = (None, BTreeMap::new());
                }
                self.jobs.push(JobFound {
                    name: (*name).to_owned(),
                    counts: Counts::default(),
                    exit_code: None,
                    started: now,
                    took: Duration::ZERO,
                });
            }
            (["end", name, code], Some(job)) if job.name == *name => {
                job.exit_code = code.parse().ok();
                job.took = now.duration_since(job.started);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Findings {
        let mut findings = Findings::default();
        let start = Instant::now();
        for (second, line) in (0..).zip(lines) {
            findings.hear(line, start + Duration::from_secs(second));
        }
        findings
    }

    #[test]
    fn jobs_are_counted_apart_and_timed() {
        let findings = after(&[
            "@@ kernel 6.1.0-56-cloud-amd64\r",
            "@@ job loading",
            "feature: tc attachment: clsact filters",
            "configurations: 20",
            "program: kpr_ingress 228005",
            "program: kpr_old ?",
            "configurations: 12",
            "program: kpr_ingress 201077",
            "program: kpr_old ?",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s",
            "@@ end loading 0",
            "@@ job packets",
            "test result: FAILED. 36 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s",
            "@@ end packets 101",
        ]);
        assert_eq!(findings.release.as_deref(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(findings.features, ["tc attachment: clsact filters"]);
        assert_eq!(findings.configurations, Some(32));
        assert_eq!(findings.walked["kpr_ingress"], Some(228_005));
        assert_eq!(findings.walked["kpr_old"], None);
        let (loading, packets) = (findings.job("loading").unwrap(), findings.job("packets").unwrap());
        assert!(loading.succeeded() && loading.counts.passed == 1);
        assert_eq!(loading.took, Duration::from_secs(9));
        assert!(!packets.succeeded());
        assert_eq!((packets.counts.passed, packets.counts.failed), (36, 1));
    }

    #[test]
    fn a_job_that_is_done_again_counts_as_it_came_out_last() {
        let findings = after(&[
            "@@ job packets",
            "test result: FAILED. 36 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s",
            "@@ end packets 101",
            "@@ job loading",
            "feature: tc attachment: tcx links",
            "@@ end loading 0",
            "@@ job packets",
            "feature: tc attachment: tcx links",
            "test result: ok. 37 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s",
            "@@ end packets 0",
        ]);
        let packets = findings.job("packets").unwrap();
        assert!(packets.succeeded());
        assert_eq!((packets.counts.passed, packets.counts.failed), (37, 0));
        assert!(findings.job("loading").unwrap().succeeded());
        assert_eq!(findings.features.len(), 1);
    }

    #[test]
    fn what_loading_tells_is_told_anew_when_it_is_done_again() {
        let findings = after(&[
            "@@ job loading",
            "configurations: 20",
            "program: kpr_ingress 228005",
            "@@ end loading 0",
            "@@ job loading",
            "configurations: 12",
            "program: kpr_ingress 201077",
            "@@ end loading 0",
        ]);
        assert_eq!(findings.configurations, Some(12));
        assert_eq!(findings.walked["kpr_ingress"], Some(201_077));
    }

    #[test]
    fn a_job_in_whose_midst_the_kernel_dies_has_not_succeeded() {
        let findings = after(&["@@ job packets", "test a ... ok"]);
        assert!(!findings.job("packets").unwrap().succeeded());
        assert!(findings.job("node_port").is_none());
    }
}
