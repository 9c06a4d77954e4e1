//! Named network namespaces, as `ip netns` makes them.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use crate::{address::Family, interrupt};

/// Where `ip netns` keeps one file per namespace.
pub const NETNS_DIR: &str = "/run/netns";

/// A network namespace that has a name on this machine. Dropping it does not delete it: [`crate::teardown`] does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace with its loopback device up.
    pub fn create(name: &str, ipv6: bool) -> Result<Self> {
        {
            let _permit = interrupt::permit();
            run(Command::new("ip").args(["netns", "add", name]))?;
        }
        let netns = Self { name: name.to_owned() };
        if ipv6 {
            // Nobody is asked for an address or a router here, and every address may be used at once: duplicate address
            // detection would keep the link-local ones back for a second.
            netns.sysctl(&[
                ("net.ipv6.conf.all.accept_dad", "0"),
                ("net.ipv6.conf.default.accept_dad", "0"),
                ("net.ipv6.conf.all.accept_ra", "0"),
                ("net.ipv6.conf.default.accept_ra", "0"),
                ("net.ipv6.conf.default.router_solicitations", "0"),
            ])?;
        } else {
            // Router solicitations and duplicate address detection would only be noise in an IPv4 cluster.
            netns.sysctl(&[
                ("net.ipv6.conf.all.disable_ipv6", "1"),
                ("net.ipv6.conf.default.disable_ipv6", "1"),
            ])?;
        }
        netns.ip(&["link set lo up"])?;
        Ok(netns)
    }

    /// A namespace that somebody has made.
    pub fn existing(name: &str) -> Result<Self> {
        let netns = Self { name: name.to_owned() };
        netns.open().map(|_handle| netns)
    }

    /// Its name, e.g. `kpr-7f3a-node-a`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that names it, for `nsenter --net=…`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(NETNS_DIR).join(&self.name)
    }

    /// An open handle, for `setns`.
    pub fn open(&self) -> Result<File> {
        File::open(self.path()).with_context(|| format!("open network namespace {}", self.name))
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets that it makes stay in the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let handle = self.open()?;
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(&handle, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter {}", self.name))?;
                    work()
                })
                .join()
                .map_err(|_panic| anyhow!("a thread inside {} panicked", self.name))?
        })
    }

    /// Carries out `ip` commands, all in one process.
    pub fn ip<L: AsRef<str>>(&self, commands: &[L]) -> Result<()> {
        self.batch("ip", &[], commands)
    }

    /// The same for commands that name their family nowhere else.
    pub(super) fn ip_of<L: AsRef<str>>(&self, family: Family, commands: &[L]) -> Result<()> {
        let family = match family {
            Family::V4 => "-4",
            Family::V6 => "-6",
        };
        self.batch("ip", &[family], commands)
    }

    /// Carries out `bridge` commands, all in one process.
    pub fn bridge<L: AsRef<str>>(&self, commands: &[L]) -> Result<()> {
        self.batch("bridge", &[], commands)
    }

    fn batch<L: AsRef<str>>(&self, program: &str, options: &[&str], commands: &[L]) -> Result<()> {
        if commands.is_empty() {
            return Ok(());
        }
        let script: String = commands.iter().flat_map(|command| [command.as_ref(), "\n"]).collect();
        let mut child = Command::new(program)
            .args(options)
            .args(["-netns", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {program} (package iproute2)"))?;
        child
            .stdin
            .take()
            .with_context(|| format!("stdin of {program}"))?
            .write_all(script.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("{program} in {}: {}\n{script}", self.name, message.trim());
        }
        Ok(())
    }

    /// Output of one `ip` command, for looking at the namespace.
    pub fn ip_output(&self, args: &[&str]) -> Result<String> {
        run(Command::new("ip").args(["-netns", &self.name]).args(args))
    }

    /// Sets sysctls that exist. (A kernel without `br_netfilter` has no `net.bridge.*`, for instance.)
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (key, value) in settings {
                let path = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
                if path.exists() {
                    std::fs::write(&path, value).with_context(|| format!("set sysctl {key}={value}"))?;
                }
            }
            Ok(())
        })
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
