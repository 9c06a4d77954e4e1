//! Command line of `kpr-operator`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use kpr_log_filter::{LogFilter, LogFormat};

use crate::controller;
use crate::drain::Limits;
use crate::kube_proxy;
use crate::lease::Timing;
use crate::once::Command;
use crate::run::{Election, Settings};

/// Runs kube-proxy replacement on the nodes of a cluster: reads KubeProxyReplacement objects, gives each selected node its
/// NodeDatapath, and reports what the nodes say.
///
/// The API server is found by KUBECONFIG (or ~/.kube/config), or inside of a pod by its service account with
/// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. Set these to the API server's own address and not to a Service:
/// Services may be what is being replaced.
///
/// SIGTERM and SIGINT stop it; the datapath on the nodes goes on without it.
#[derive(Clone, Debug, Parser)]
#[command(name = "kpr-operator", version, about, long_about)]
pub struct Options {
    /// Wait to be the leader before anything is written, so that several operators can run
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub leader_elect: bool,

    /// Namespace of the Lease that says who is the leader
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE")]
    pub leader_election_namespace: String,

    /// Name of this operator in the Lease and in Events [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,

    /// How long a removal waits for a node that is not ready, in seconds
    #[arg(long, default_value_t = Limits::default().node_down.as_secs(), value_name = "SECONDS")]
    pub drain_node_down_seconds: u64,

    /// How long a removal waits for an agent that does not answer, in seconds
    #[arg(long, default_value_t = Limits::default().agent_silent.as_secs(), value_name = "SECONDS")]
    pub drain_agent_silent_seconds: u64,

    /// Namespace of kube-proxy's DaemonSet and pods
    #[arg(long, default_value_t = kube_proxy::Settings::default().namespace, value_name = "NAMESPACE")]
    pub kube_proxy_namespace: String,

    /// How long a removal waits for a parked kube-proxy to come back to a node, in seconds
    #[arg(long, default_value_t = kube_proxy::Settings::default().patience.as_secs(), value_name = "SECONDS")]
    pub kube_proxy_back_seconds: u64,

    /// Form of the log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: a level (error, warn, info, debug, trace), or levels by module, as in `info,kpr_operator=debug`
    #[arg(long, env = "KPR_LOG", default_value = "info", value_name = "FILTER")]
    pub log: LogFilter,

    /// A file with what is logged instead, as `--log` takes it: read every few seconds, so that it can be changed at any time.
    /// Without the file, or while it is empty, `--log` counts
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// What to do once, instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Options {
    /// How an operator of this name runs.
    pub fn settings(&self, identity: String) -> Settings {
        let election = self.leader_elect.then(|| Election {
            namespace: self.leader_election_namespace.clone(),
            timing: Timing::default(),
        });
        Settings {
            election,
            controller: controller::Settings {
                limits: self.drain_limits(),
                kube_proxy: self.kube_proxy(),
                collect: Duration::from_millis(500),
                status_interval: Duration::from_secs(3),
                identity,
            },
            first_retry: Duration::from_secs(1),
        }
    }

    /// How long removals are waited for.
    pub fn drain_limits(&self) -> Limits {
        Limits {
            node_down: Duration::from_secs(self.drain_node_down_seconds),
            agent_silent: Duration::from_secs(self.drain_agent_silent_seconds),
        }
    }

    /// How kube-proxy is looked for.
    pub fn kube_proxy(&self) -> kube_proxy::Settings {
        kube_proxy::Settings {
            namespace: self.kube_proxy_namespace.clone(),
            patience: Duration::from_secs(self.kube_proxy_back_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn leader_election_is_on_unless_turned_off() {
        let parse = |arguments: &[&str]| {
            Options::try_parse_from([&["kpr-operator"], arguments].concat())
                .expect("options")
                .leader_elect
        };
        assert!(parse(&[]));
        assert!(parse(&["--leader-elect"]));
        assert!(!parse(&["--leader-elect=false"]));
        assert!(!parse(&["--leader-elect", "false"]));
    }
}
