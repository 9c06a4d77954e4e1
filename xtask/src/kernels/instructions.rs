//! How many instructions packets take, on an emulated processor whose clock counts them: the same at every run, on whatever machine.
//!
//! QEMU's `-icount shift=0` has each instruction of the guest take one nanosecond, so that what `BPF_PROG_TEST_RUN` tells as a duration
//! is a number of instructions: those of the program and of the kernel's helpers that it calls.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    Series,
    binaries::{self, Binaries},
    guest::{self, Clock},
    image, initrd,
    jobs::{Group, Job},
    programs,
};
use crate::layout::Layout;

/// The kernel whose helpers count, too: Debian 12's.
const SERIES: Series = Series::V6_1;

const JOB: Job = Job {
    group: Group::Instructions,
    name: "kpr-bench",
    title: "instructions",
    package: "kpr-bench",
    arguments: "instructions --floor /kpr/kpr-floor.o",
    limit: Duration::from_mins(10),
};

/// What packets take, by name of the benchmark.
#[derive(Debug)]
pub(crate) struct Counted {
    /// The package that the kernel is from.
    pub(crate) kernel: String,
    /// Of kpr's programs.
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// Boots the guest, and counts.
pub(crate) fn count(layout: &Layout) -> Result<Counted> {
    programs()?;
    let binaries = Binaries::of(vec![binaries::stripped(layout, "kpr-bench")?, layout.floor_object()])?;
    let directory = layout.target.join("kernels").join("instructions");
    let kernels = layout.target.join("kernels").join(SERIES.name());
    let image = image::ready(&kernels, SERIES).with_context(|| format!("cannot get Linux {}", SERIES.name()))?;
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let initrd = directory.join("initrd");
    initrd::write(&initrd, &image, &[JOB], &binaries).with_context(|| format!("cannot make {}", initrd.display()))?;
    let (mut instructions, mut ended) = (BTreeMap::new(), None);
    let log = directory.join("console.log");
    guest::boot(&image.vmlinuz, &initrd, &log, &[JOB], Clock::Instructions, |line| {
        if let Some((name, count)) = counted(line) {
            instructions.insert(name, count);
            return true;
        }
        if let Some(code) = line.trim_end().strip_prefix("@@ end kpr-bench ") {
            ended = Some(code.to_owned());
        }
        line.starts_with("@@ ")
    })?;
    ensure!(
        ended.as_deref() == Some("0"),
        "the guest did not count to the end; the kernel's console is in {}",
        log.display()
    );
    Ok(Counted {
        kernel: image.package,
        instructions,
    })
}

/// `instructions: NAME OURS PEER`
fn counted(line: &str) -> Option<(String, u64)> {
    let mut words = line.trim_end().strip_prefix("instructions: ")?.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn a_line_names_a_benchmark_and_both_counts() {
        assert_eq!(counted("instructions: miss 201 180\r"), Some(("miss".to_owned(), 201)));
        assert_eq!(counted("kpr-bench: miss: 1 rounds"), None);
        assert_eq!(counted("instructions: miss many 180"), None);
    }
}
