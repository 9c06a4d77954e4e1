//! Where kube-proxy's rules are read from: files, or the node.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::time::ClockId;

use super::{
    frontend::Frontends,
    rules::{Ruleset, iptables, ipvs, nftables},
};
use crate::{
    netfilter::{self, nf_tables},
    takeover::names::{IPVS_DEVICE, NFTABLES_TABLE},
};

/// The kernel's own list of virtual servers.
const IP_VS: &str = "/proc/net/ip_vs";

/// Output that was saved, in the place of what is on the node now.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Saved {
    /// Take this output of iptables-save or ip6tables-save, or both in one file; "-": the standard input
    #[arg(long, value_name = "FILE")]
    iptables: Vec<PathBuf>,
    /// Take this output of `nft --json list ruleset`
    #[arg(long, value_name = "FILE")]
    nft: Vec<PathBuf>,
    /// Take this output of `ipvsadm --save --numeric`, or copy of /proc/net/ip_vs
    #[arg(long, value_name = "FILE")]
    ipvs: Vec<PathBuf>,
}

/// The rules that were found.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// "iptables", "nftables", "ipvs".
    pub(super) kinds: Vec<&'static str>,
    pub(super) frontends: Frontends,
}

impl Rules {
    /// Those of the files, or else those of the node; none if there are none on it.
    pub(super) fn read(saved: &Saved) -> anyhow::Result<Option<Self>> {
        let mut rules = Self::default();
        if saved.iptables.is_empty() && saved.nft.is_empty() && saved.ipvs.is_empty() {
            let found = netfilter::rules();
            if !found.any() {
                return Ok(None);
            }
            rules.read_node(found)?;
        } else {
            rules.read_files(saved)?;
        }
        Ok(Some(rules))
    }

    fn read_files(&mut self, saved: &Saved) -> anyhow::Result<()> {
        for file in &saved.iptables {
            let rulesets = iptables::parse(&read(file)?).with_context(|| file.display().to_string())?;
            self.add("iptables", &rulesets);
        }
        for file in &saved.nft {
            let rulesets = nftables::parse(&read(file)?).with_context(|| file.display().to_string())?;
            self.add("nftables", &rulesets);
        }
        for file in &saved.ipvs {
            let servers = ipvs::parse(&read(file)?, ticks_per_second()).with_context(|| file.display().to_string())?;
            self.add_ipvs(servers);
        }
        Ok(())
    }

    fn read_node(&mut self, found: netfilter::Found) -> anyhow::Result<()> {
        // The chains of iptables that are there in ipvs mode lead to no Service.
        if found.ipvs {
            let servers = fs::read_to_string(IP_VS).with_context(|| format!("cannot read {IP_VS}"))?;
            self.add_ipvs(ipvs::parse(&servers, ticks_per_second())?);
        }
        if found.nftables {
            for (family, number) in [("ip", libc::AF_INET), ("ip6", libc::AF_INET6)] {
                if nf_tables::has(u8::try_from(number)?, NFTABLES_TABLE) {
                    let listed = run("nft", &["--json", "list", "table", family, NFTABLES_TABLE])?;
                    let listed = listed.with_context(|| missing("nft", "nft --json list ruleset", "--nft"))?;
                    self.add("nftables", &nftables::parse(&listed)?);
                }
            }
        }
        if found.iptables && !found.ipvs {
            self.read_iptables()?;
        }
        Ok(())
    }

    /// Rules may be of either kind of iptables.
    fn read_iptables(&mut self) -> anyhow::Result<()> {
        let mut any = false;
        for family in ["iptables", "ip6tables"] {
            let kinds = ["legacy", "nft"].map(|kind| format!("{family}-{kind}-save"));
            let mut programs: Vec<_> = kinds.into_iter().filter(|program| is_there(program)).collect();
            if programs.is_empty() {
                programs.push(format!("{family}-save"));
            }
            for program in programs {
                let Some(saved) = run(&program, &[])? else { continue };
                any = true;
                match iptables::parse(&saved) {
                    Ok(rulesets) => self.add("iptables", &rulesets),
                    // Nobody uses this kind, or this family.
                    Err(iptables::NotSaved::NoTable) => {}
                    Err(error) => return Err(error).context(program),
                }
            }
        }
        ensure!(any, missing("iptables-save", "iptables-save", "--iptables"));
        ensure!(
            self.kinds.contains(&"iptables"),
            "kube-proxy has rules of iptables on this node, and iptables-save does not show them"
        );
        Ok(())
    }

    fn add(&mut self, kind: &'static str, rulesets: &[Ruleset]) {
        for ruleset in rulesets {
            ruleset.add_to(&mut self.frontends);
        }
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
    }

    fn add_ipvs(&mut self, servers: Vec<ipvs::Server>) {
        ipvs::add_to(servers, &own_addresses(), &mut self.frontends);
        if !self.kinds.contains(&"ipvs") {
            self.kinds.push("ipvs");
        }
    }
}

/// What is to be done where a program is not there.
fn missing(program: &str, command: &str, flag: &str) -> String {
    format!(
        "kube-proxy's rules cannot be read: {program} is not on the path here. Where it is (on the host, or in kube-proxy's own pod), save \
         its output, and give it to this command: {command} | kpr diff kube-proxy {flag} -"
    )
}

/// The output of a program; none if it is not there.
fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        output => output.with_context(|| format!("cannot run {program}"))?,
    };
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(Some(
        String::from_utf8(output.stdout).with_context(|| format!("the output of {program}"))?,
    ))
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// How often this kernel's clock ticks: its coarse clocks are as fine as that.
fn ticks_per_second() -> u32 {
    let tick = nix::time::clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from);
    let rounded = (1_000_000_000 + tick.as_nanos() / 2).checked_div(tick.as_nanos());
    // What most distributions have.
    rounded.and_then(|ticks| u32::try_from(ticks).ok()).unwrap_or(250)
}

/// The node's addresses, without those that kube-proxy gives it for Services.
fn own_addresses() -> BTreeSet<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    addresses
        .filter(|address| address.interface_name != IPVS_DEVICE)
        .filter_map(|address| {
            let address = address.address?;
            let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_ticks_as_often_as_kernels_can_be_built_for() {
        assert!(
            [100, 250, 300, 1000].contains(&ticks_per_second()),
            "{}",
            ticks_per_second()
        );
    }
}
