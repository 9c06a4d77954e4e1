//! Carrying rules out in a node's network namespace, with the programs that kube-proxy uses.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{
    KubeProxyMode, counters,
    counters::Hits,
    desired::{Family, NodeRules, ServicePort},
    iptables, nftables,
};
use crate::{process::on_path, testbed::Host};

/// How long a restore waits for another one on this machine: they share a lock.
const LOCK: &str = "--wait=60";

/// What has been applied to one family of one node.
#[derive(Debug)]
pub struct Applied {
    host: Host,
    node: NodeRules,
    state: State,
}

#[derive(Debug)]
enum State {
    Iptables(Option<iptables::Tables>),
    Nftables(Option<nftables::Table>),
}

impl Applied {
    /// Nothing yet.
    pub fn new(host: Host, node: NodeRules, mode: KubeProxyMode) -> Self {
        let state = match mode {
            KubeProxyMode::Iptables => State::Iptables(None),
            KubeProxyMode::Nftables => State::Nftables(None),
        };
        Self { host, node, state }
    }

    /// The family.
    pub(super) fn family(&self) -> Family {
        self.node.family
    }

    /// Makes the rules those of `ports`. What is there already is not written again.
    pub async fn sync(&mut self, ports: &[ServicePort]) -> Result<()> {
        let (host, family) = (&self.host, self.node.family);
        match &mut self.state {
            State::Iptables(applied) => {
                let tables = iptables::tables(&self.node, ports);
                match applied {
                    Some(applied) if *applied == tables => return Ok(()),
                    Some(applied) => restore(host, family, &iptables::partial(applied, &tables)).await?,
                    None => {
                        let known = iptables::known(&save(host, family).await?);
                        restore(host, family, &iptables::partial(&known, &tables)).await?;
                        let saved = save(host, family).await?;
                        restore(host, family, &iptables::install(&saved)).await?;
                        if family == Family::V4 {
                            host.netns.sysctl(&[("net.ipv4.conf.all.route_localnet", "1")])?;
                        }
                    }
                }
                *applied = Some(tables);
            }
            State::Nftables(applied) => {
                let table = nftables::table(&self.node, ports);
                if applied.as_ref() == Some(&table) {
                    return Ok(());
                }
                let script = nftables::script(applied.as_ref(), &table);
                nft(host, family, &script.update).await?;
                if !script.removal.is_empty() {
                    nft(host, family, &script.removal).await?;
                }
                *applied = Some(table);
            }
        }
        Ok(())
    }
}

/// Takes every rule of a kube-proxy off the node, as `kube-proxy --cleanup` does.
pub(super) async fn cleanup(host: &Host, mode: KubeProxyMode, families: &[Family]) -> Result<()> {
    match mode {
        KubeProxyMode::Iptables => {
            for family in families {
                let saved = save(host, *family).await?;
                restore(host, *family, &iptables::cleanup(&saved)).await?;
            }
            Ok(())
        }
        KubeProxyMode::Nftables => nft(host, Family::V4, &nftables::cleanup()).await,
    }
}

/// How many connections the rules of the node have led.
pub(super) async fn hits(host: &Host, mode: KubeProxyMode, family: Family) -> Result<Hits> {
    match mode {
        KubeProxyMode::Iptables => {
            let program = program(family, "save")?;
            let saved = host.launch(program)?.args(["--counters", "--table", "nat"]).output();
            Ok(counters::of_iptables(&saved.await?.success()?))
        }
        KubeProxyMode::Nftables => {
            let ip = if family == Family::V4 { "ip" } else { "ip6" };
            let mut hits = Hits::new();
            for map in ["service-ips", "service-nodeports"] {
                let list = ["--json", "list", "map", ip, nftables::TABLE, map];
                let listed = host.launch("nft")?.args(list).output().await?.success()?;
                hits.append(&mut counters::of_nftables(&listed)?);
            }
            Ok(hits)
        }
    }
}

async fn save(host: &Host, family: Family) -> Result<String> {
    host.launch(program(family, "save")?)?.output().await?.success()
}

async fn restore(host: &Host, family: Family, rules: &str) -> Result<()> {
    let file = write(host, family, "iptables", rules)?;
    let restore = host.launch(program(family, "restore")?)?.args(["--noflush", LOCK]);
    let output = restore.arg(&file).output().await?.success();
    output
        .map(|_nothing| ())
        .with_context(|| format!("the rules are in {}", file.display()))
}

async fn nft(host: &Host, family: Family, script: &str) -> Result<()> {
    let file = write(host, family, "nft", script)?;
    let output = host.launch("nft")?.arg("-f").arg(&file).output().await?.success();
    output
        .map(|_nothing| ())
        .with_context(|| format!("the script is {}", file.display()))
}

/// The node keeps the last input of each program, to look at.
fn write(host: &Host, family: Family, program: &str, text: &str) -> Result<PathBuf> {
    let digit = if family == Family::V4 { '4' } else { '6' };
    let file = host.dir.join(format!("kube-proxy-{program}{digit}"));
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

/// `iptables-legacy-…` where there is one: its cost grows with the rules, that of the programs which translate to nftables grows
/// faster.
fn program(family: Family, action: &str) -> Result<String> {
    let iptables = if family == Family::V4 { "iptables" } else { "ip6tables" };
    let names = [format!("{iptables}-legacy-{action}"), format!("{iptables}-{action}")];
    match names.iter().find(|name| on_path(name).is_some()) {
        Some(name) => Ok(name.clone()),
        None => bail!("{} is not there (package iptables)", names[1]),
    }
}
