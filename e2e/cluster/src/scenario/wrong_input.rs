//! An agent that cannot work says so in one clear sentence.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use kpr_crds::{NodeDatapath, conditions};
use kube::Api;
use serde_json::json;
use tokio::time::timeout;

use super::install;
use crate::{
    cluster::{Cluster, eventually},
    process::{Launch, Output},
};

/// How long an agent may take to give up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs an agent that must fail, and returns the one line that it ends with.
async fn last_words(agent: Launch) -> Result<String> {
    let command = agent.command_line();
    let output: Output = timeout(PATIENCE, agent.output())
        .await
        .with_context(|| format!("`{command}` does not end"))??;
    ensure!(!output.status.success(), "`{command}` succeeded");
    let (_log, words) = output.stderr.rsplit_once("kpr-node-agent: ").with_context(|| {
        format!(
            "`{command}` says nothing in its own name: {}{}",
            output.stdout, output.stderr
        )
    })?;
    let words = words.trim_end();
    ensure!(!words.contains('\n'), "more than one line: {words}");
    Ok(words.to_owned())
}

fn says(line: &str, words: &[&str]) -> Result<()> {
    let lower = line.to_lowercase();
    for word in words {
        ensure!(lower.contains(&word.to_lowercase()), "{word:?} is missing in: {line}");
    }
    Ok(())
}

/// Without root.
pub async fn without_root(cluster: &mut Cluster) -> Result<()> {
    // `nobody` must be able to start the program at all, wherever it was built: so it is copied.
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("kpr-node-agent");
    fs::copy(cluster.testbed().binaries().get("kpr-node-agent")?, &program)?;
    for path in [directory.path(), &program] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    let agent = Launch::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--node-name", "node-a"])
        .env("KUBECONFIG", cluster.node_kubeconfig())
        .in_netns(&cluster.testbed().host("node-a")?.netns);
    says(&last_words(agent).await?, &["root"])
}

/// With a cgroup path that is no cgroup2.
pub async fn with_a_path_that_is_no_cgroup2(cluster: &mut Cluster) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let agent = agent_with(cluster, |launch| launch.arg("--cgroup-root").arg(directory.path()))?;
    says(
        &last_words(agent).await?,
        &["cgroup2", &directory.path().to_string_lossy()],
    )
}

/// With a kubeconfig that is none.
pub async fn with_a_malformed_kubeconfig(cluster: &mut Cluster) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kubeconfig");
    fs::write(&path, "clusters: {this is: [no kubeconfig\n")?;
    let cgroup = cluster.testbed().host("node-a")?.cgroup.path().to_owned();
    let agent = agent_with(cluster, |launch| {
        launch.arg("--cgroup-root").arg(&cgroup).env("KUBECONFIG", &path)
    })?;
    says(&last_words(agent).await?, &["kubeconfig"])
}

/// With an API server that is not there. The agent waits for it rather than ending, and says what it waits for.
pub async fn with_the_api_server_away(cluster: &mut Cluster) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("kubeconfig");
    let nobody = fs::read_to_string(cluster.node_kubeconfig())?.replace(":8443", ":9");
    ensure!(nobody.contains(":9\""), "the kubeconfig names another port: {nobody}");
    fs::write(&path, nobody)?;
    let cgroup = cluster.testbed().host("node-a")?.cgroup.path().to_owned();
    let agent = agent_with(cluster, |launch| {
        launch.arg("--cgroup-root").arg(&cgroup).env("KUBECONFIG", &path)
    })?;
    let log = directory.path().join("agent.log");
    let mut agent = agent.spawn(&log).await?;
    let what = "the agent says that it cannot reach the API server";
    let result = eventually(what, PATIENCE, || async {
        let text = fs::read_to_string(&log)?;
        let said = text
            .lines()
            .any(|line| line.contains(":9") && line.to_lowercase().contains("api server"));
        Ok(if said { Ok(()) } else { Err(text) })
    })
    .await;
    agent.kill().await?;
    result
}

/// With a device that no node has: a condition says which, and the datapath does not claim to be ready.
pub async fn with_an_unknown_device(cluster: &mut Cluster) -> Result<()> {
    install::crds(cluster).await?;
    cluster.start_operator().await?;
    cluster.start_agents().await?;
    install::create_policy(cluster, json!({"mode": "Strict", "devices": ["nosuch0"]})).await?;
    let nodes: Api<NodeDatapath> = Api::all(cluster.client());
    eventually("a condition that names the device", PATIENCE, || async {
        let Some(node) = nodes.get_opt("node-a").await? else {
            return Ok(Err("no NodeDatapath yet".to_owned()));
        };
        let status = node.status.unwrap_or_default();
        let attached = conditions::find(&status.conditions, "DevicesAttached");
        let named =
            attached.is_some_and(|condition| condition.status == "False" && condition.message.contains("nosuch0"));
        let ready = conditions::is_true(&status.conditions, "Ready");
        Ok(if named && !ready {
            Ok(())
        } else {
            Err(format!("{:?}", status.conditions))
        })
    })
    .await
}

/// An agent on node-a with arguments of one's own in place of the usual `--cgroup-root` and KUBECONFIG.
fn agent_with(cluster: &Cluster, change: impl FnOnce(Launch) -> Launch) -> Result<Launch> {
    let host = cluster.testbed().host("node-a")?;
    let agent = host
        .launch(cluster.testbed().binaries().get("kpr-node-agent")?)?
        .args(["--node-name", "node-a", "--bpffs-root"])
        .arg(&host.bpffs)
        .arg("--run-dir")
        .arg(host.agent_run_dir())
        .env("KUBECONFIG", cluster.node_kubeconfig());
    Ok(change(agent))
}
