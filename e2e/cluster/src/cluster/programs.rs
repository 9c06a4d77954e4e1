//! kpr's own programs: operator, agents, and the `kpr` command.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use super::Cluster;
use crate::{
    process::{Launch, Process, log_tail},
    testbed::Host,
};

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Where agents look for each other, as in the chart; it has endpoints only where a scenario makes some.
const AGENTS_SERVICE: &str = "kube-system/kpr-agent-health";

impl Cluster {
    /// Starts the operator on the first node, as a Deployment with `hostNetwork` would.
    pub async fn start_operator(&mut self) -> Result<()> {
        let host = &self.testbed().hosts()[0];
        let launch = Launch::new(self.testbed().binaries().get("kpr-operator")?)
            .args(["--identity", &format!("kpr-operator-{}", host.spec.name)])
            .env("KUBECONFIG", self.node_kubeconfig())
            .in_netns(&host.netns)
            .in_cgroup(&host.cgroup.child("operator")?);
        self.operator = Some(launch.spawn(&self.operator_log()).await?);
        Ok(())
    }

    /// Starts the agent of every node.
    pub async fn start_agents(&mut self) -> Result<()> {
        for node in self.node_names() {
            self.start_agent(&node).await?;
        }
        Ok(())
    }

    /// Starts the agent of one node, as the DaemonSet would.
    pub async fn start_agent(&mut self, node: &str) -> Result<()> {
        let launch = self.agent_launch(node)?;
        let process = launch.spawn(&self.agent_log(node)?).await?;
        self.agents.insert(node.to_owned(), process);
        Ok(())
    }

    /// Lets agents know of each other, as the chart's Service for their health port does; on nodes with IPv6 alone the port is not open unless
    /// it is asked for.
    pub async fn introduce_agents(&self) -> Result<()> {
        let (namespace, service) = AGENTS_SERVICE.split_once('/').context("a namespace and a name")?;
        let mut endpoints = Vec::new();
        for node in self.node_names() {
            let address = self.node_address(&node)?;
            if address.is_ipv4() {
                endpoints.push(json!({"addresses": [address.to_string()], "nodeName": node}));
            }
        }
        let slice = serde_json::from_value(json!({
            "metadata": {"name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": "healthz", "port": 10256, "protocol": "TCP"}],
            "endpoints": endpoints,
        }))?;
        let slices: Api<EndpointSlice> = Api::namespaced(self.client(), namespace);
        slices
            .create(&PostParams::default(), &slice)
            .await
            .context("create the slice")
            .map(drop)
    }

    /// The agent's command line on `node`, for a start of one's own.
    pub fn agent_launch(&self, node: &str) -> Result<Launch> {
        let host = self.testbed().host(node)?;
        Ok(Launch::new(self.testbed().binaries().get("kpr-node-agent")?)
            .args(["--node-name", node, "--cgroup-root"])
            .arg(host.cgroup.path())
            .args(state_arguments(host))
            .args(["--agents-service", AGENTS_SERVICE])
            .env("KUBECONFIG", self.node_kubeconfig())
            .in_netns(&host.netns)
            .in_cgroup(&host.cgroup.child("agent")?))
    }

    /// `kpr …` on a node.
    pub fn kpr(&self, node: &str) -> Result<Launch> {
        let host = self.testbed().host(node)?;
        Ok(host
            .launch(self.testbed().binaries().get("kpr")?)?
            .args(state_arguments(host)))
    }

    /// What `kpr … -o json` answers on a node; an error if the command ends with another exit code than 0.
    pub async fn kpr_json(&self, node: &str, arguments: &[&str]) -> Result<Value> {
        let launch = self.kpr(node)?.args(arguments).args(["-o", "json"]);
        launch.output().await?.json()
    }

    /// `kill -9` of the agent of a node.
    pub async fn kill_agent(&mut self, node: &str) -> Result<()> {
        let mut agent = self
            .agents
            .remove(node)
            .with_context(|| format!("no agent runs on {node}"))?;
        agent.kill().await.map(|_status| ())
    }

    /// Ends the agent of a node as a kubelet would.
    pub async fn stop_agent(&mut self, node: &str) -> Result<()> {
        let mut agent = self
            .agents
            .remove(node)
            .with_context(|| format!("no agent runs on {node}"))?;
        let status = agent.stop(GRACE).await?;
        if !status.success() {
            bail!(
                "the agent of {node} ended with {status} after SIGTERM:\n{}",
                agent.log_tail()
            );
        }
        Ok(())
    }

    /// Fails if the operator or an agent has ended by itself.
    pub fn check_programs(&mut self) -> Result<()> {
        let named = |process: &mut Process| Ok::<_, anyhow::Error>((process.exited()?, process.log_tail()));
        if let Some((Some(status), log)) = self.operator.as_mut().map(named).transpose()? {
            bail!("the operator ended with {status}:\n{log}");
        }
        for (node, agent) in &mut self.agents {
            if let (Some(status), log) = named(agent)? {
                bail!("the agent of {node} ended with {status}:\n{log}");
            }
        }
        Ok(())
    }

    /// The last lines of every program's log, for a failure's report.
    pub fn program_logs(&self) -> String {
        let mut logs = vec![("operator".to_owned(), self.operator_log())];
        for node in self.node_names() {
            if let Ok(log) = self.agent_log(&node) {
                logs.push((format!("agent of {node}"), log));
            }
        }
        logs.extend(self.control_plane.logs());
        let tails: Vec<String> = logs
            .into_iter()
            .map(|(name, log)| format!("--- {name}\n{}", log_tail(&log)))
            .collect();
        tails.join("\n")
    }

    /// Where the operator's output goes.
    pub fn operator_log(&self) -> PathBuf {
        self.testbed().dir().join("operator.log")
    }

    /// Where the output of a node's agent goes.
    pub fn agent_log(&self, node: &str) -> Result<PathBuf> {
        Ok(self.testbed().host(node)?.dir.join("agent.log"))
    }
}

/// Where a node's agent keeps its pins and its socket.
fn state_arguments(host: &Host) -> Vec<PathBuf> {
    vec![
        "--bpffs-root".into(),
        host.bpffs.clone(),
        "--run-dir".into(),
        host.agent_run_dir(),
    ]
}
