//! A real control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes of the first node, with
//! certificates of their own and RBAC.

mod arguments;
mod authority;
mod credentials;
mod door;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client, Config, api::ListParams};
use tokio::{sync::Mutex, time::timeout};

use self::{authority::Authority, credentials::Credentials, door::Door};
use super::{Identity, endpoint};
use crate::{
    cluster::eventually,
    process::{Launch, Process, log_tail, tool},
    testbed::{Host, Testbed},
};

/// How long the API server may take until it serves, on a machine that does other things too.
const START: Duration = Duration::from_mins(2);
/// How long a look at the API server may take: a connection may hang while it starts.
const LOOK: Duration = Duration::from_secs(5);

/// Its processes, which end with it.
pub(super) struct Real {
    /// What runs beside the API server.
    others: Vec<Process>,
    /// None while it is stopped.
    api_server: Mutex<Option<Process>>,
    credentials: Credentials,
    directory: PathBuf,
    _door: Door,
}

/// The programs of the control plane, by the names that upstream gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
}

impl Program {
    const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

impl Real {
    /// Starts the processes, and writes the administrator's kubeconfig for this machine and for the nodes. Needs a runtime.
    pub(super) async fn start(testbed: &Testbed, kubeconfig: &Path, node_kubeconfig: &Path) -> Result<Self> {
        let directory = testbed.dir().join("control-plane");
        std::fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
        let first = first(testbed)?;
        let endpoint = endpoint(testbed)?;
        let authority = Authority::new(&directory)?;
        authority.issue_for_api_server(testbed.spec())?;
        arguments::write_audit_policy(&directory)?;
        let door = Door::open(&first.netns, endpoint)?;
        let credentials = Credentials::new(authority, &directory, door.address(), endpoint);
        credentials.write_administrators(kubeconfig, node_kubeconfig)?;
        for program in [Program::ControllerManager, Program::Scheduler] {
            credentials.write_component(program)?;
        }

        let etcd = spawn(Program::Etcd, &directory, testbed).await?;
        let mut real = Self {
            api_server: Mutex::new(None),
            others: vec![etcd],
            credentials,
            directory,
            _door: door,
        };
        real.start_api_server(testbed).await?;
        for program in [Program::ControllerManager, Program::Scheduler] {
            let process = spawn(program, &real.directory, testbed).await?;
            real.others.push(process);
        }
        Ok(real)
    }

    /// A client of this API server that uses `namespace` where a request names none. Needs a runtime.
    pub(super) fn client(&self, identity: Identity<'_>, namespace: &str) -> Result<Client> {
        let mut config: Config = self.credentials.config(identity)?;
        namespace.clone_into(&mut config.default_namespace);
        Ok(Client::try_from(config)?)
    }

    /// A client that shows this token and nothing else. Needs a runtime.
    pub(super) fn client_with_token(&self, token: &str) -> Result<Client> {
        Ok(Client::try_from(self.credentials.config_with_token(token)?)?)
    }

    /// What the service accounts of the cluster have asked for.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.directory.join(arguments::AUDIT_LOG)
    }

    /// Starts the API server, and returns when it is ready for requests.
    pub(super) async fn start_api_server(&self, testbed: &Testbed) -> Result<()> {
        let mut process = spawn(Program::ApiServer, &self.directory, testbed).await?;
        let client = self.client(Identity::Scenario, "default")?;
        let ready = || http::Request::get("/readyz").body(Vec::new());
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(status) = process.exited()? {
                bail!("kube-apiserver ended with {status}:\n{}", process.log_tail());
            }
            let answer = timeout(LOOK, client.request_text(ready()?)).await;
            if matches!(&answer, Ok(Ok(text)) if text == "ok") {
                break;
            }
            if tokio::time::Instant::now() > deadline {
                let logs = self
                    .logs()
                    .into_iter()
                    .map(|(name, log)| format!("--- {name}\n{}", log_tail(&log)));
                let logs = logs.collect::<Vec<_>>().join("\n");
                bail!("kube-apiserver is not ready within {START:?}: {answer:?}\n{logs}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        *self.api_server.lock().await = Some(process);
        Ok(())
    }

    /// Ends the API server at once; etcd keeps what it knows.
    pub(super) async fn stop_api_server(&self) -> Result<()> {
        let process = self.api_server.lock().await.take();
        process.context("the API server is stopped already")?.kill().await?;
        Ok(())
    }

    /// Waits until pods can be made and find a node: kube-controller-manager must have made the ServiceAccount of the namespace, and
    /// taken the taint of new nodes away.
    pub(super) async fn takes_pods(&self, testbed: &Testbed) -> Result<()> {
        let client = self.client(Identity::Scenario, "default")?;
        let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
        eventually("the ServiceAccount default/default is there", START, || async {
            Ok(accounts
                .get_opt("default")
                .await?
                .map(|_account| ())
                .ok_or_else(String::new))
        })
        .await?;
        let nodes: Api<Node> = Api::all(client);
        let all = testbed.hosts().len();
        eventually("every node takes pods", START, || async {
            let nodes = nodes.list(&ListParams::default()).await?.items;
            let untainted = |node: &&Node| {
                node.spec
                    .iter()
                    .all(|spec| spec.taints.iter().flatten().next().is_none())
            };
            let ready = nodes.iter().filter(untainted).count();
            let taints = || {
                nodes
                    .iter()
                    .map(|node| node.spec.as_ref().map(|spec| spec.taints.clone()))
            };
            Ok(if ready == all {
                Ok(())
            } else {
                Err(format!("{:?}", taints().collect::<Vec<_>>()))
            })
        })
        .await
    }

    /// Where the output of each process goes.
    pub(super) fn logs(&self) -> Vec<(String, PathBuf)> {
        Program::ALL
            .map(|program| (program.name().to_owned(), log(program, &self.directory)))
            .into()
    }
}

/// Starts one program on the first node, in a cgroup of its own there, as a static pod with `hostNetwork` would.
async fn spawn(program: Program, directory: &Path, testbed: &Testbed) -> Result<Process> {
    let first = first(testbed)?;
    Launch::new(tool("control-plane")?)
        .arg(program.name())
        .args(arguments::of(program, directory, testbed)?)
        .in_directory(directory)
        .in_netns(&first.netns)
        .in_cgroup(&first.cgroup.child("control-plane")?)
        .spawn(&log(program, directory))
        .await
}

fn log(program: Program, directory: &Path) -> PathBuf {
    directory.join(format!("{}.log", program.name()))
}

fn first(testbed: &Testbed) -> Result<&Host> {
    testbed.hosts().first().context("the cluster has no node")
}
