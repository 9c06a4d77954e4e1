//! `kubectl kpr` as a user outside of the cluster calls it.

pub(super) mod answers;

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    cluster::Cluster,
    kubelet,
    process::{Launch, write_script},
    testbed::pod_log,
};

/// `kubectl kpr …` on the outside client.
pub(super) fn kubectl_kpr(cluster: &Cluster) -> Result<Launch> {
    let plugin = cluster.testbed().binaries().get("kubectl-kpr")?;
    let plugin: Launch = cluster.testbed().launch_outside(plugin)?;
    Ok(plugin.env("KUBECTL", kubectl(cluster)?))
}

/// A kubectl that does by itself what the API server would ask a kubelet for, since test kubelets listen at no port: `exec` enters the container
/// that the API server has told, `logs` are all that a pod has written, in any namespace but default. Everything else is kubectl's own, on
/// the machine's network.
fn kubectl(cluster: &Cluster) -> Result<PathBuf> {
    let directory = cluster.testbed().dir();
    let any_node = directory.join("*");
    let script = format!(
        "export KUBECONFIG={kubeconfig} HOME={home}\n\
         kubectl='nsenter --net=/proc/{machine}/ns/net kubectl'\n\
         # VERB --namespace NAMESPACE POD ...\n\
         case $1 in\n\
         exec) uid=$($kubectl get pod \"$4\" \"$2\" \"$3\" --output 'jsonpath={{.metadata.uid}}') || exit 1\n\
         \x20 shift 5\n\
         \x20 exec {enter} \"$@\";;\n\
         logs) exec cat {log};;\n\
         *) exec $kubectl \"$@\";;\n\
         esac\n",
        kubeconfig = cluster.kubeconfig().display(),
        home = directory.display(),
        machine = std::process::id(),
        enter = kubelet::way_in(&any_node, "\"$uid\"").display(),
        log = pod_log(&any_node, "\"$3.$4\"").display(),
    );
    let path = directory.join("kubectl");
    write_script(&path, &script)?;
    Ok(path)
}
