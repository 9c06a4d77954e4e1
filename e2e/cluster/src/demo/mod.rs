//! `kpr-cluster demo`: the whole story, with real commands and their real output.

mod keep;
mod narrator;
mod preflight;
mod shell;
mod story;

use anyhow::{Result, bail, ensure};

use self::{narrator::Narrator, shell::Shell};
use crate::{cluster::Cluster, id::ClusterId, interrupt, scenario::install, spec::ClusterSpec, teardown};

/// The programs that the demo shows.
const KPR: [&str; 3] = ["kpr-operator", "kpr-node-agent", "kpr"];

/// Tells the story. With `keep`, leaves the cluster up before its last chapter, until Ctrl-C.
pub async fn demo(spec: ClusterSpec, keep: bool) -> Result<()> {
    preflight::check(&KPR)?;
    let mut narrator = Narrator::new();
    narrator.say("Building a two-node cluster out of network namespaces ...");
    let mut cluster = Cluster::start(spec).await?;
    let id = cluster.testbed().id().clone();

    let told = tell(
        &mut Shell {
            cluster: &mut cluster,
            narrator: &mut narrator,
        },
        keep,
    )
    .await;
    let result = match told {
        Ok(()) if keep => keep::keep(&cluster).await,
        Ok(()) => Ok(()),
        Err(error) => {
            // After an interrupt everything fails, which is nothing to tell: this waits for the end.
            drop(interrupt::permit());
            narrator.failure(&error);
            eprintln!("\n{}", cluster.program_logs());
            Err(error)
        }
    };
    let removed = remove(cluster, &id).await;
    if result.is_err() {
        bail!("the demo failed");
    }
    removed?;
    let elapsed = narrator.elapsed().as_secs_f32();
    narrator.success(&format!(
        "Done in {elapsed:.1} s. No namespace, cgroup, pin or process is left."
    ));
    Ok(())
}

/// `kpr-cluster up`: only the cluster, with or without kpr, until Ctrl-C.
pub async fn up(spec: ClusterSpec, with_kpr: bool) -> Result<()> {
    preflight::check(if with_kpr { &KPR } else { &[] })?;
    let mut cluster = Cluster::start(spec).await?;
    if with_kpr && let Err(error) = install::kpr(&mut cluster).await {
        eprintln!("{}", cluster.program_logs());
        return Err(error);
    }
    keep::keep(&cluster).await
}

async fn tell(shell: &mut Shell<'_>, keep: bool) -> Result<()> {
    shell.nodes().await?;
    shell.install().await?;
    shell.enable().await?;
    let pods = shell.deploy().await?;
    let exposed = shell.expose().await?;
    shell.look(&exposed, &pods).await?;
    shell.curl_node_ports(&exposed).await?;
    shell.curl_cluster_ip(&exposed, &pods).await?;
    if keep { Ok(()) } else { shell.remove().await }
}

async fn remove(cluster: Cluster, id: &ClusterId) -> Result<()> {
    // Waits for processes and threads, which is not for a thread of the runtime.
    tokio::task::spawn_blocking(move || drop(cluster)).await?;
    let left = teardown::leftovers(id);
    ensure!(left.is_empty(), "the clean-up left {left:?}");
    Ok(())
}
