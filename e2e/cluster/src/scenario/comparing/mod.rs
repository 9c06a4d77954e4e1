//! `kpr diff kube-proxy`: what kube-proxy's rules and kpr's maps have in common, and where they differ.

mod planted;
mod services;

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Result, ensure};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{Api, api::ListParams};
use serde_json::Value;

use super::exit_codes::{DIFFERENT, NOT_FOUND};
use crate::{
    cluster::{Cluster, eventually},
    kube_proxy::{
        Applied, KubeProxyMode,
        desired::{Family, ServicePort, read},
        node_rules,
    },
    process::Output,
};
use planted::Difference;

/// The node whose rules and maps are compared.
const NODE: &str = "node-a";
const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];
/// How long both may take to have programmed everything.
const PATIENCE: Duration = Duration::from_mins(1);

/// With a hundred Services of every kind and both families, which kube-proxy and kpr both serve: nothing differs, with and without an
/// agent. With rules that differ in every way that there is: exactly these differences are told.
pub async fn exactly_what_differs_is_told(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    let output = kpr(cluster, &[]).await?;
    ensure!(
        output.status.code() == Some(NOT_FOUND),
        "without kube-proxy: {output:?}"
    );

    services::create(cluster).await?;
    cluster.start_kube_proxy(mode).await?;
    let sentence = eventually("rules and maps are the same", PATIENCE, || async {
        let output = kpr(cluster, &[]).await?;
        Ok(if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("{output:?}"))
        })
    })
    .await?;
    let frontends = cluster.kpr_json(NODE, &["service", "list"]).await?;
    let frontends = frontends.as_array().map_or(0, Vec::len);
    // The API server's own Service is one, too.
    let services = services::COUNT + 1;
    ensure!(
        sentence == format!("{services} Services ({frontends} frontends) compared: no difference.\n"),
        "{sentence}"
    );

    cluster.stop_kube_proxy().await?;
    cluster.kill_agent(NODE).await?;
    let mut rules = Rules::of(cluster, mode).await?;
    same(cluster).await?;

    let planted = planted::plant(&mut rules.ports)?;
    rules.apply().await?;
    let output = kpr(cluster, &["-o", "json"]).await?;
    ensure!(output.status.code() == Some(DIFFERENT), "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout)?;
    let told: BTreeSet<Difference> = serde_json::from_value(report["differences"].clone())?;
    ensure!(
        told == planted,
        "not told: {:#?}\nnot planted: {:#?}",
        planted.difference(&told),
        told.difference(&planted)
    );
    let page = kpr(cluster, &[]).await?.stdout;
    // A heading, a line for each, a blank one and the sentence.
    ensure!(page.lines().count() == planted.len() + 3, "{page}");
    ensure!(
        page.ends_with(&format!("compared: {} differences.\n", planted.len())),
        "{page}"
    );

    let [flag, file] = save(cluster, mode, "different").await?;
    let mut rules = Rules::of(cluster, mode).await?;
    rules.apply().await?;
    same(cluster).await?;
    let output = kpr(cluster, &[&flag, &file]).await?;
    ensure!(
        output.status.code() == Some(DIFFERENT) && output.stdout == page,
        "what was saved before says what it said then: {output:?}"
    );
    if mode == KubeProxyMode::Iptables {
        let [_, same] = save(cluster, mode, "same").await?;
        newer_iptables(cluster, &same, &file, &page).await?;
    }
    Ok(())
}

/// The same rules behind nf_tables, where the newer iptables has them, say the same: those of `same`, and of `different`.
async fn newer_iptables(cluster: &Cluster, same: &str, different: &str, page: &str) -> Result<()> {
    let host = cluster.testbed().host(NODE)?;
    let nothing = host.dir.join("no-rules");
    fs::write(&nothing, "*nat\nCOMMIT\n*filter\nCOMMIT\n*mangle\nCOMMIT\n")?;
    for family in FAMILIES {
        let restore = host.launch(format!("{family}-legacy-restore"))?.arg(&nothing);
        restore.output().await?.success()?;
    }
    for (saved, code, told) in [(same, 0, None), (different, DIFFERENT, Some(page))] {
        for family in FAMILIES {
            let restore = host.launch(format!("{family}-nft-restore"))?;
            restore.arg(format!("{saved}-{family}")).output().await?.success()?;
        }
        let output = kpr(cluster, &[]).await?;
        ensure!(
            output.status.code() == Some(code) && told.is_none_or(|page| output.stdout == page),
            "{saved}: {output:?}"
        );
    }
    Ok(())
}

/// The output of the programs themselves, in a file, and the flag that takes it. That of each program is in a file of its own, too.
async fn save(cluster: &Cluster, mode: KubeProxyMode, name: &str) -> Result<[String; 2]> {
    let host = cluster.testbed().host(NODE)?;
    let file = host.dir.join(format!("kube-proxy-{name}")).display().to_string();
    if mode == KubeProxyMode::Nftables {
        let list = host.launch("nft")?.args(["--json", "list", "ruleset"]);
        fs::write(&file, list.output().await?.success()?)?;
        return Ok(["--nft".to_owned(), file]);
    }
    let mut all = String::new();
    for family in FAMILIES {
        let saved = host
            .launch(format!("{family}-legacy-save"))?
            .output()
            .await?
            .success()?;
        fs::write(format!("{file}-{family}"), &saved)?;
        all += &saved;
    }
    fs::write(&file, all)?;
    Ok(["--iptables".to_owned(), file])
}

async fn same(cluster: &Cluster) -> Result<()> {
    let output = kpr(cluster, &[]).await?;
    ensure!(
        output.status.success() && output.stdout.lines().count() == 1,
        "{output:?}"
    );
    Ok(())
}

/// It finds no program to help it: nothing but the kernel is asked.
async fn kpr(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let kpr = cluster
        .kpr(NODE)?
        .args(["diff", "kube-proxy"])
        .env("PATH", "/nonexistent");
    kpr.args(arguments).output().await
}

/// What a kube-proxy that runs no more has programmed on the node, and programs once more.
struct Rules {
    /// Of each family.
    applied: Vec<Applied>,
    ports: [Vec<ServicePort>; 2],
}

impl Rules {
    /// Those of the cluster's Services.
    async fn of(cluster: &Cluster, mode: KubeProxyMode) -> Result<Self> {
        let services: Api<Service> = Api::all(cluster.client());
        let services = services.list(&ListParams::default()).await?.items;
        let slices: Api<EndpointSlice> = Api::all(cluster.client());
        let slices = slices.list(&ListParams::default()).await?.items;
        let slices: Vec<&EndpointSlice> = slices.iter().collect();
        let host = cluster.testbed().host(NODE)?;
        let applied = |family| Applied::new(host.clone(), node_rules(cluster.testbed(), host, family), mode);
        Ok(Self {
            applied: Family::ALL.map(applied).into(),
            ports: Family::ALL.map(|family| read(&services, &slices, family, NODE)),
        })
    }

    async fn apply(&mut self) -> Result<()> {
        for (applied, ports) in self.applied.iter_mut().zip(&self.ports) {
            applied.sync(ports).await?;
        }
        Ok(())
    }
}
