//! What the figures were measured on.

use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use nix::{
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::utsname::uname,
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// A machine at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Machine {
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Model name of the processor.
    pub(crate) cpu: String,
    /// How many of them.
    pub(crate) cpus: usize,
    /// When the run began (UTC).
    pub(crate) date: Timestamp,
    /// How many processes wanted to run when it began and when it ended, of the last minute on average.
    pub(crate) load: [f64; 2],
}

impl Machine {
    /// This one, now.
    pub(crate) fn this() -> Result<Self> {
        let load = load()?;
        Ok(Self {
            kernel: uname()?.release().to_string_lossy().into_owned(),
            cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo")?).unwrap_or_else(|| "unknown".to_owned()),
            cpus: thread::available_parallelism()?.get(),
            date: Timestamp::now(),
            load: [load, load],
        })
    }

    /// The run ends.
    pub(crate) fn ended(&mut self) -> Result<()> {
        self.load[1] = load()?;
        Ok(())
    }
}

/// Refuses a machine on which figures would mean something else.
pub(crate) fn check() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "programs and network namespaces need root: run this with sudo"
    );
    for (sysctl, wanted, why) in [
        (
            "kernel/bpf_stats_enabled",
            "0",
            "the kernel measures every run of a program, which costs more than some programs",
        ),
        ("net/core/bpf_jit_enable", "1", "programs are interpreted"),
    ] {
        // A kernel that always compiles has no such file.
        let Ok(value) = fs::read_to_string(format!("/proc/sys/{sysctl}")) else {
            continue;
        };
        if value.trim() != wanted {
            bail!("{} is {}: {why}", sysctl.replace('/', "."), value.trim());
        }
    }
    Ok(())
}

/// Keeps this thread on one processor: moving costs a sample its caches.
pub(crate) fn stay_on_one_cpu() -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).context("stay on the first processor")
}

/// Lets all threads of a process run before whatever else the machine has to do, and takes turns among them.
pub(crate) fn hurry(pid: u32) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        hurry_thread(task?.file_name().to_string_lossy().parse()?)?;
    }
    Ok(())
}

/// The same for this thread alone.
pub(crate) fn hurry_this_thread() -> Result<()> {
    hurry_thread(0)
}

fn hurry_thread(thread: libc::pid_t) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: `parameters` lives until the call returns, which changes nothing but a thread's priority.
    let result = unsafe { libc::sched_setscheduler(thread, libc::SCHED_RR, &raw const parameters) };
    nix::errno::Errno::result(result).with_context(|| format!("give thread {thread} a real-time priority"))?;
    Ok(())
}

fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    let first = text.split(' ').next().context("an empty /proc/loadavg")?;
    Ok(first.parse()?)
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn machine() -> Machine {
        Machine {
            kernel: "6.18.44".to_owned(),
            cpu: "AMD EPYC".to_owned(),
            cpus: 2,
            date: Timestamp::from_second(1_790_000_000).unwrap(),
            load: [0.25, 1.5],
        }
    }

    #[test]
    fn the_processor_is_named_as_the_kernel_names_it() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu\n";
        assert_eq!(cpu_model(text).as_deref(), Some("AMD EPYC 9R14"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn this_machine_can_be_told() {
        let machine = Machine::this().unwrap();
        assert!(machine.cpus > 0 && !machine.kernel.is_empty());
    }
}
