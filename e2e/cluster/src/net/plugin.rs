//! Pods made by the real CNI plugins, called as a container runtime calls them (CNI specification 1.0.0).

use std::{
    env,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Netns, UPLINK, pods::POD_BRIDGE};
use crate::{address::Addresses, spec::NodeSpec};

/// Where distributions and installers put plugins.
const DIRECTORIES: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// The plugin that chooses addresses.
const IPAM: &str = "host-local";

/// A plugin that makes pods, with [`IPAM`] to choose their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// `bridge`, which makes `cni0` when the first pod comes.
    Bridge,
    /// `ptp`: a veth and a host route per pod, with the first address of the pod CIDR at the node's end of every veth.
    PointToPoint,
}

/// What a plugin is called for.
#[derive(Debug)]
pub(super) struct Attachment<'n> {
    pub(super) plugin: Plugin,
    pub(super) node: &'n NodeSpec,
    pub(super) node_netns: &'n Netns,
    /// Where [`IPAM`] remembers which addresses are taken.
    pub(super) state: PathBuf,
    /// The pod's name within its cluster.
    pub(super) pod: &'n str,
    pub(super) pod_netns: PathBuf,
}

/// What `ADD` answers, as far as it is looked at.
#[derive(Deserialize)]
struct Added {
    #[serde(default)]
    ips: Vec<AddedIp>,
}

#[derive(Deserialize)]
struct AddedIp {
    address: IpNet,
}

/// What a plugin prints when it fails.
#[derive(Deserialize)]
struct Failed {
    msg: String,
    #[serde(default)]
    details: String,
}

impl Plugin {
    /// Fails if a plugin is not there, and says where it comes from.
    pub(super) fn check(self) -> Result<()> {
        for name in [self.name(), IPAM] {
            find(name)?;
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::PointToPoint => "ptp",
        }
    }

    /// The network's configuration on `node`.
    fn configuration(self, node: &NodeSpec, state: &Path) -> Value {
        let ranges: Vec<Value> = node.pod_cidrs.iter().map(|cidr| json!([{"subnet": cidr}])).collect();
        let anywhere = |cidr: IpNet| if cidr.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let routes: Vec<Value> = node
            .pod_cidrs
            .iter()
            .map(|cidr| json!({"dst": anywhere(cidr)}))
            .collect();
        let mut configuration = json!({
            "cniVersion": "1.0.0",
            "name": "kpr",
            "type": self.name(),
            "ipMasq": false,
            "ipam": {"type": IPAM, "dataDir": state, "ranges": ranges, "routes": routes},
        });
        if self == Self::Bridge {
            configuration["bridge"] = json!(POD_BRIDGE);
            configuration["isGateway"] = json!(true);
            configuration["hairpinMode"] = json!(true);
        }
        configuration
    }
}

impl Attachment<'_> {
    /// Wires the pod, and returns the addresses that it has got.
    pub(super) fn add(&self) -> Result<Addresses> {
        let answer = self.call("ADD")?;
        let added: Added =
            serde_json::from_slice(&answer).with_context(|| format!("read what `{}` answered", self.plugin.name()))?;
        let mut addresses = Addresses {
            ipv6_first: self.node.pod_cidrs.ipv6_first,
            ..Addresses::default()
        };
        for ip in added.ips {
            match ip.address.addr() {
                IpAddr::V4(address) => addresses.v4 = Some(address),
                IpAddr::V6(address) => addresses.v6 = Some(address),
            }
        }
        Ok(addresses)
    }

    /// Takes the pod off the network, and gives its addresses back.
    pub(super) fn delete(&self) -> Result<()> {
        self.call("DEL").map(|_nothing| ())
    }

    fn call(&self, command: &str) -> Result<Vec<u8>> {
        let name = self.plugin.name();
        let program = find(name)?;
        let directory = program.parent().unwrap_or(Path::new("/"));
        let configuration = self.plugin.configuration(self.node, &self.state).to_string();
        // Plugins work in the namespace that they are started in: the node's.
        self.node_netns.run(|| {
            let mut child = Command::new(&program)
                .env("CNI_COMMAND", command)
                .env("CNI_CONTAINERID", self.pod)
                .env("CNI_NETNS", &self.pod_netns)
                .env("CNI_IFNAME", UPLINK)
                .env("CNI_PATH", directory)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("run {}", program.display()))?;
            let mut stdin = child.stdin.take().with_context(|| format!("stdin of `{name}`"))?;
            stdin.write_all(configuration.as_bytes())?;
            drop(stdin);
            let output = child.wait_with_output()?;
            if output.status.success() {
                return Ok(output.stdout);
            }
            let pod = self.pod;
            match serde_json::from_slice::<Failed>(&output.stdout) {
                Ok(Failed { msg, details }) => bail!("CNI plugin `{name}`, {command} of {pod}: {msg} {details}"),
                Err(_) => bail!(
                    "CNI plugin `{name}`, {command} of {pod}: {} {}",
                    output.status,
                    String::from_utf8_lossy(&output.stderr).trim()
                ),
            }
        })
    }
}

/// The plugin called `name`, from `CNI_PATH` if that is set.
fn find(name: &str) -> Result<PathBuf> {
    let own = env::var_os("CNI_PATH").unwrap_or_default();
    let directories = env::split_paths(&own).chain(DIRECTORIES.map(PathBuf::from));
    let mut candidates = directories.map(|directory| directory.join(name));
    candidates.find(|path| path.is_file()).with_context(|| {
        format!(
            "the CNI plugin `{name}` is not in CNI_PATH, {}: `cargo xtask setup` installs it (Debian package \
             containernetworking-plugins)",
            DIRECTORIES.join(" or ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Families;

    #[test]
    fn a_configuration_has_a_range_and_a_default_route_for_each_family() {
        let node = NodeSpec::numbered("node-b", 1, Families::DualStackIpv6First);
        let configuration = Plugin::PointToPoint.configuration(&node, Path::new("/run/state"));
        assert_eq!(
            configuration,
            json!({
                "cniVersion": "1.0.0",
                "name": "kpr",
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/state",
                    "ranges": [[{"subnet": "fd00:10:244:1::/64"}], [{"subnet": "10.244.1.0/24"}]],
                    "routes": [{"dst": "::/0"}, {"dst": "0.0.0.0/0"}],
                },
            })
        );
        let bridge = Plugin::Bridge.configuration(&node, Path::new("/run/state"));
        assert_eq!(
            (&bridge["bridge"], &bridge["isGateway"]),
            (&json!("cni0"), &json!(true))
        );
    }
}
