//! Scripts that run a command inside the cluster: `node-a kpr status`, `client curl …`, `pod NAME curl …`.
//!
//! They put the command into the right namespace **and** cgroup, which a plain `nsenter` or `ip netns exec` does not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::Cluster;
use crate::{
    cgroup::Cgroup,
    net::{CLIENT, NETNS_DIR, Netns},
    process::write_script,
    testbed::Host,
};

/// The scripts' folder in the cluster's directory.
const FOLDER: &str = "bin";
/// The script that leads into pods.
const POD: &str = "pod";

impl Cluster {
    /// The folder of the scripts. There is one per node, called like it, one called `client`, and one called `pod`.
    pub fn doors(&self) -> PathBuf {
        self.testbed().dir().join(FOLDER)
    }

    pub(super) fn write_doors(&self) -> Result<()> {
        let doors = self.doors();
        fs::create_dir(&doors).with_context(|| format!("make {}", doors.display()))?;
        let binaries = self.testbed().binaries().directory();
        for host in self.testbed().hosts() {
            write_script(
                &doors.join(&host.spec.name),
                &node(binaries, self.node_kubeconfig(), host),
            )?;
        }
        let client = client(&self.testbed().client_cgroup()?, self.testbed().client());
        write_script(&doors.join(CLIENT), &client)?;
        let all_nodes = self.testbed().cgroup().path();
        write_script(&doors.join(POD), &pod(all_nodes, &self.testbed().id().netns("")))
    }
}

fn client(cgroup: &Cgroup, netns: &Netns) -> String {
    format!(
        "echo $$ > {}\nexec nsenter --net={} -- \"${{@:-sh}}\"\n",
        cgroup.procs().display(),
        netns.path().display()
    )
}

fn node(binaries: &Path, kubeconfig: &Path, host: &Host) -> String {
    format!(
        "mkdir -p {cgroup}\n\
         echo $$ > {cgroup}/cgroup.procs\n\
         export PATH={binaries}:\"$PATH\" KUBECONFIG={kubeconfig}\n\
         export KPR_BPFFS_ROOT={bpffs} KPR_RUN_DIR={run_dir}\n\
         exec nsenter --net={netns} -- \"${{@:-sh}}\"\n",
        cgroup = host.cgroup.path().join("system").display(),
        binaries = binaries.display(),
        kubeconfig = kubeconfig.display(),
        bpffs = host.bpffs.display(),
        run_dir = host.agent_run_dir().display(),
        netns = host.netns.path().display(),
    )
}

fn pod(cgroup: &Path, netns_prefix: &str) -> String {
    format!(
        "name=${{1:?which pod? Pods of other namespaces than default are called NAMESPACE.NAME}}\n\
         shift\n\
         for cgroup in {cgroup}/*/pods/\"$name\"; do\n\
         \x20 echo $$ > \"$cgroup\"/cgroup.procs || exit 1\n\
         done\n\
         exec nsenter --net={NETNS_DIR}/{netns_prefix}\"$name\" -- \"${{@:-sh}}\"\n",
        cgroup = cgroup.display(),
    )
}
