//! Where kube-proxy's rules are read from: the kernel, files, or the programs that print them.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::time::ClockId;

use super::{
    frontend::Frontends,
    rules::{Ruleset, iptables, ipvs, nftables},
};
use crate::{
    netfilter::{
        self,
        listing::{Table, iptables_rule},
        xtables,
    },
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
            self.read_nftables()?;
        }
        if found.iptables && !found.ipvs {
            self.read_iptables()?;
        }
        Ok(())
    }

    /// From the kernel; what is not understood there a program may print, if it is here.
    fn read_nftables(&mut self) -> anyhow::Result<()> {
        for is_v6 in [false, true] {
            let Some(table) = Table::open(is_v6, NFTABLES_TABLE)? else {
                continue;
            };
            match nftables::read(&table, is_v6) {
                Ok(ruleset) => self.add("nftables", &[ruleset]),
                Err(error) => {
                    let family = if is_v6 { "ip6" } else { "ip" };
                    let listed = run("nft", &["--json", "list", "table", family, NFTABLES_TABLE])?;
                    let advice = || advice("nft --json list ruleset", "--nft");
                    let listed = listed.ok_or(error).with_context(advice)?;
                    self.add("nftables", &nftables::parse(&listed)?);
                }
            }
        }
        Ok(())
    }

    /// Rules may be of either kind of iptables, or of both.
    fn read_iptables(&mut self) -> anyhow::Result<()> {
        let mut rulesets = <[Ruleset; 2]>::default();
        let read = [false, true]
            .into_iter()
            .try_for_each(|is_v6| of_kernel(&mut rulesets[usize::from(is_v6)], is_v6));
        match read {
            Ok(()) => self.add("iptables", &rulesets),
            Err(error) => {
                if !self.read_saved()? {
                    return Err(error).with_context(|| advice("iptables-save", "--iptables"));
                }
            }
        }
        Ok(())
    }

    /// By the programs, as many as are here. False: none is.
    fn read_saved(&mut self) -> anyhow::Result<bool> {
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
        Ok(any)
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

/// The rules that either kind of iptables has made.
fn of_kernel(ruleset: &mut Ruleset, is_v6: bool) -> anyhow::Result<()> {
    let family = if is_v6 {
        xtables::Family::V6
    } else {
        xtables::Family::V4
    };
    for name in iptables::TABLES {
        if let Some(table) = xtables::Table::read(family, name)? {
            iptables::add(ruleset, name, &table.listed(iptables::tells)?, is_v6);
        }
        if let Some(table) = Table::open(is_v6, name)? {
            let listed = table.rules(iptables::tells)?;
            let rules = listed.iter().map(|rule| iptables_rule(rule, is_v6));
            iptables::add(ruleset, name, &rules.collect::<Result<Vec<_>, _>>()?, is_v6);
        }
    }
    Ok(())
}

/// What is to be done where rules are not understood.
fn advice(command: &str, flag: &str) -> String {
    format!(
        "kube-proxy's rules cannot be read from the kernel (a program that prints them, where there is one, can help: {command} | kpr \
         diff kube-proxy {flag} -)"
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
