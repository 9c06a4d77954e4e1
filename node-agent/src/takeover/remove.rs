//! Takes what kube-proxy left away, with the kernel's own interfaces.

use std::io;

use super::{Cleared, Plan, names, plan};
use crate::netfilter::{Error, ip_set, link, nf_tables, xtables};

/// A table that somebody else changes meanwhile is read again, so often.
const ATTEMPTS: u32 = 5;

/// Removes everything of kube-proxy's from this node, in the network namespace that this thread is in. What is not there is no
/// error, so this may be called at any time.
///
/// `keep_nat` is called before a table with netfilter's translation in it goes: with the last one, the kernel would stop to
/// translate connections, those that there are included.
pub fn remove(keep_nat: impl FnOnce() -> Result<(), Error>) -> Cleared {
    let mut cleared = Cleared::default();
    xtables_chains(&mut cleared);
    nf_tables_chains(&mut cleared);
    nftables_table(keep_nat, &mut cleared);
    sets(&mut cleared);
    ipvs(&mut cleared);
    cleared
}

fn xtables_chains(cleared: &mut Cleared) {
    for family in xtables::Family::ALL {
        for table in names::TABLES {
            let version = if family == xtables::Family::V4 { "IPv4" } else { "IPv6" };
            let step = || -> io::Result<Option<Plan>> {
                let Some(read) = xtables::Table::read(family, table)? else {
                    return Ok(None);
                };
                let first = plan(table, &read.chains()?);
                if first.is_empty() {
                    return Ok(Some(first));
                }
                // What is read under the lock is what is replaced.
                let _lock = xtables::Lock::take()?;
                let Some(read) = xtables::Table::read(family, table)? else {
                    return Ok(None);
                };
                let plan = plan(table, &read.chains()?);
                read.carry_out(&plan)?;
                Ok(Some(plan))
            };
            note(step, &format!("iptables-legacy ({table}, {version})"), cleared);
        }
    }
}

fn nf_tables_chains(cleared: &mut Cleared) {
    for (family, version) in families() {
        for table in names::TABLES {
            let step = || -> io::Result<Option<Plan>> {
                let plan = plan(table, &nf_tables::chains(family, table)?);
                if !plan.is_empty() {
                    nf_tables::carry_out(family, table, &plan)?;
                }
                Ok(Some(plan))
            };
            note(step, &format!("iptables-nft ({table}, {version})"), cleared);
        }
    }
}

/// Tries a step until nobody is in its way, and writes down what it did.
fn note(step: impl Fn() -> io::Result<Option<Plan>>, what: &str, cleared: &mut Cleared) {
    let in_the_way = |error: &io::Error| {
        // Sizes differ; a rule or chain is gone; a new rule leads to a chain that was to go.
        matches!(
            error.raw_os_error(),
            Some(libc::EAGAIN | libc::ENOENT | libc::EBUSY | libc::EINTR)
        )
    };
    let mut attempt = 1;
    let outcome = loop {
        match step() {
            Err(error) if in_the_way(&error) && attempt < ATTEMPTS => attempt += 1,
            outcome => break outcome,
        }
    };
    match outcome {
        Ok(None) => {}
        Ok(Some(plan)) => {
            if !plan.is_empty() {
                let chains = plan.chains.len();
                let ending = if chains == 1 { "" } else { "s" };
                cleared.removed.push(format!("{chains} chain{ending} of {what}"));
            }
            cleared.kept.extend(plan.kept);
        }
        Err(error) => cleared.failed.push(format!(
            "chains of {what} can't be removed ({error}): run `kube-proxy --cleanup` on the node"
        )),
    }
}

fn nftables_table(keep_nat: impl FnOnce() -> Result<(), Error>, cleared: &mut Cleared) {
    let name = names::NFTABLES_TABLE;
    let there: Vec<(u8, &str)> = families()
        .into_iter()
        .filter(|(family, _)| nf_tables::has(*family, name))
        .collect();
    if there.is_empty() {
        return;
    }
    let families: Vec<u8> = there.iter().map(|(family, _)| *family).collect();
    let done = keep_nat()
        .map_err(io::Error::other)
        .and_then(|()| nf_tables::delete_tables(&families, name));
    match done {
        Ok(()) => {
            let versions: Vec<_> = there.iter().map(|(_, version)| *version).collect();
            cleared.removed.push(format!("table {name} of nftables ({})", versions.join(", ")));
        }
        Err(error) => cleared.failed.push(format!(
            "table {name} of nftables can't be removed ({error}): run `nft delete table ip {name}; nft delete table ip6 {name}` \
             on the node"
        )),
    }
}

fn sets(cleared: &mut Cleared) {
    let mut destroyed = 0;
    for name in names::sets() {
        match ip_set::destroy(&name) {
            Ok(true) => destroyed += 1,
            Ok(false) => {}
            Err(error) => cleared.failed.push(format!(
                "set {name} can't be removed ({error}): run `ipset destroy {name}` on the node"
            )),
        }
    }
    if destroyed > 0 {
        cleared.removed.push(format!("{destroyed} sets of ipset"));
    }
}

/// Connections that ipvs has balanced need its device and its virtual services until they end, and ipvs does not say whose a
/// virtual service is. So both stay as long as there are any.
fn ipvs(cleared: &mut Cleared) {
    let device = names::IPVS_DEVICE;
    if !link::exists(device) {
        return;
    }
    if link::has_ipvs_services() {
        cleared.failed.push(format!(
            "virtual services of ipvs are left, which may have connections: once they need not live on, run `ipvsadm --clear \
             && ip link delete {device}` on the node"
        ));
        return;
    }
    match link::delete(device) {
        Ok(()) => cleared.removed.push(format!("device {device}")),
        Err(error) => cleared.failed.push(format!(
            "device {device} can't be removed ({error}): run `ip link delete {device}` on the node"
        )),
    }
}

fn families() -> [(u8, &'static str); 2] {
    let number = |family| u8::try_from(family).unwrap_or_default();
    [(number(libc::AF_INET), "IPv4"), (number(libc::AF_INET6), "IPv6")]
}
