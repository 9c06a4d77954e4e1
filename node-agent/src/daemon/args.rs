//! The command line of `kpr-node-agent`.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use kpr_log_filter::{LogFilter, LogFormat};

use crate::{
    datapath::{Options, TcChoice, cgroup2_mount},
    model::NamespacedName,
};

/// Serves Kubernetes Services on this node with eBPF, in place of kube-proxy.
///
/// The agent watches Services and EndpointSlices, writes them into eBPF maps, and follows the NodeDatapath of its node,
/// which the operator writes. Programs and maps are pinned: when the agent stops, traffic goes on. To remove the datapath
/// from a node, delete its KubeProxyReplacement, or run `kpr-node-agent uninstall` while the agent is stopped.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kpr-node-agent",
    version,
    after_help = "The API server is found by KUBECONFIG, ~/.kube/config, or the pod's own service account with \
                  KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. These must name the API server itself and not \
                  its Service: this agent is what makes Services work."
)]
pub struct Args {
    /// Name of this node's Node object, and of its NodeDatapath [default: the host name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// cgroup2 directory whose sockets are served: the root of the hierarchy on a real node [default: where cgroup2 is
    /// mounted]
    #[arg(long, global = true, value_name = "DIR", env = "KPR_CGROUP_ROOT")]
    pub cgroup_root: Option<PathBuf>,
    /// Directory on a BPF file system for the pins of maps and programs; made if it is absent
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KPR_BPFFS_ROOT",
        default_value = "/sys/fs/bpf/kpr"
    )]
    pub bpffs_root: PathBuf,
    /// Directory for the socket of the local API (agent.sock) and for what must be remembered to undo it later
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KPR_RUN_DIR",
        default_value = "/run/kpr"
    )]
    pub run_dir: PathBuf,
    /// Directory of the node's sysctls, where /proc/sys is read-only (in a container): a mount of the node's own
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KPR_SYSCTL_ROOT",
        default_value = "/proc/sys"
    )]
    pub sysctl_root: PathBuf,
    /// How packet programs are attached to devices
    #[arg(long, value_name = "HOOK", value_enum, env = "KPR_TC", default_value_t)]
    pub tc: Tc,
    /// Address and port of /healthz and /livez, for load balancers and probes; empty: none
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "KPR_HEALTHZ_BIND_ADDRESS",
        default_value = "0.0.0.0:10256"
    )]
    pub healthz_bind_address: BindAddress,
    /// Address and port of /proxyMode; empty: none
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "KPR_METRICS_BIND_ADDRESS",
        default_value = "127.0.0.1:10249"
    )]
    pub metrics_bind_address: BindAddress,
    /// Service whose endpoints are the agents of all nodes, as NAMESPACE/NAME: they ask each other how they are, at its port `healthz`
    #[arg(long, value_name = "SERVICE", env = "KPR_AGENTS_SERVICE", value_parser = service_name)]
    pub agents_service: Option<NamespacedName>,
    /// How log lines are written
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        env = "KPR_LOG_FORMAT",
        default_value_t
    )]
    pub log_format: LogFormat,
    /// Which log lines are written: a level (error, warn, info, debug, trace), or a list such as
    /// `info,kpr_node_agent::watch=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "KPR_LOG", default_value = "info")]
    pub log: LogFilter,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

fn service_name(text: &str) -> Result<NamespacedName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(NamespacedName::new(namespace, name))
        }
        _ => Err("not a namespace and a name, such as kube-system/kpr-agent".to_owned()),
    }
}

/// Where to listen; none: nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress(pub Option<SocketAddr>);

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let parsed = text.parse();
        parsed
            .map(|address| Self(Some(address)))
            .map_err(|_| "not an IP address and a port, such as 0.0.0.0:10256 or [::]:10256; empty for none".to_owned())
    }
}

/// What to do instead of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Remove every program, pin and sysctl of kpr from this node, without asking the API server
    ///
    /// Services are no longer served afterwards. Stop the agent first: it would put everything back.
    Uninstall,
}

/// How packet programs are attached to devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Tc {
    /// By tcx links where the kernel has them (6.6), else by clsact filters.
    #[default]
    Auto,
    /// By clsact filters, for tools that manage tc and do not know tcx.
    Clsact,
}

impl Args {
    /// The node's name.
    pub fn node_name(&self) -> anyhow::Result<String> {
        match &self.node_name {
            Some(name) if !name.is_empty() => Ok(name.clone()),
            _ => nix::sys::utsname::uname()
                .ok()
                .and_then(|uname| uname.nodename().to_str().map(str::to_owned))
                .filter(|name| !name.is_empty())
                .context("the host name cannot be read: name the Node with --node-name"),
        }
    }

    /// Where the datapath lives.
    pub fn options(&self) -> anyhow::Result<Options> {
        let cgroup_root = match &self.cgroup_root {
            Some(root) => root.clone(),
            None => cgroup2_mount().context(
                "cgroup2 is not mounted on this machine: mount it (`mount -t cgroup2 none DIR`) and name the place with \
                 --cgroup-root",
            )?,
        };
        Ok(self.options_with(cgroup_root))
    }

    /// The same with a cgroup that is known, or not needed.
    pub(super) fn options_with(&self, cgroup_root: PathBuf) -> Options {
        Options {
            cgroup_root,
            bpffs_root: self.bpffs_root.clone(),
            run_dir: self.run_dir.clone(),
            sysctl_root: self.sysctl_root.clone(),
            tc: match self.tc {
                Tc::Auto => TcChoice::Auto,
                Tc::Clsact => TcChoice::Clsact,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_empty_address_is_no_port_and_a_wrong_one_says_what_is_right() {
        let parse = |text: &str| Args::try_parse_from(["kpr-node-agent", "--healthz-bind-address", text]);
        assert_eq!(parse("").unwrap().healthz_bind_address, BindAddress(None));
        let address = "[::]:10256".parse().unwrap();
        assert_eq!(
            parse("[::]:10256").unwrap().healthz_bind_address,
            BindAddress(Some(address))
        );
        assert!(parse("10256").unwrap_err().to_string().contains("0.0.0.0:10256"));
    }

    #[test]
    fn the_agents_service_has_a_namespace_and_a_name() {
        let parse = |text: &str| Args::try_parse_from(["kpr-node-agent", "--agents-service", text]);
        let expected = Some(NamespacedName::new("kube-system", "kpr-agent"));
        assert_eq!(parse("kube-system/kpr-agent").unwrap().agents_service, expected);
        for wrong in ["kpr-agent", "/kpr-agent", "kube-system/", "a/b/c"] {
            assert!(
                parse(wrong).unwrap_err().to_string().contains("kube-system/kpr-agent"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn uninstall_takes_the_place_but_needs_no_node() {
        let args = Args::try_parse_from(["kpr-node-agent", "uninstall", "--bpffs-root", "/b"]).unwrap();
        assert_eq!(args.command, Some(Command::Uninstall));
        assert_eq!(args.bpffs_root, PathBuf::from("/b"));
    }
}
