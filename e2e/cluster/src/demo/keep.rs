//! A cluster that stays, for people to play with.

use std::{future::pending, net::IpAddr};

use anyhow::Result;

use crate::{cluster::Cluster, interrupt};

/// Prints how to use the cluster, and waits for Ctrl-C, which removes it.
pub(super) async fn keep(cluster: &Cluster) -> Result<()> {
    println!("\n{}", how_to_use(cluster)?);
    interrupt::expect();
    pending().await
}

fn how_to_use(cluster: &Cluster) -> Result<String> {
    let (kubeconfig, doors) = (cluster.kubeconfig().display(), cluster.doors());
    let logs = cluster.testbed().dir();
    let address = match cluster.node_address("node-a")? {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    Ok(format!(
        "The cluster stays until Ctrl-C. In another terminal, as root:\n\
         \n\
         \x20 export KUBECONFIG={kubeconfig} PATH={doors}:$PATH\n\
         \n\
         \x20 kubectl get kpr,nodedatapaths,nodes,pods,svc -o wide\n\
         \x20 node-a kpr status --verbose        # on a node: its network namespace and cgroup\n\
         \x20 node-b kpr service list\n\
         \x20 client curl -s http://{address}:$(kubectl get svc my-nginx -o jsonpath='{{.spec.ports[0].nodePort}}')\n\
         \x20 pod $(kubectl get pods -o jsonpath='{{.items[0].metadata.name}}') curl -s http://CLUSTER-IP\n\
         \x20 kubectl scale deployment my-nginx --replicas=4\n\
         \n\
         `node-a`, `node-b`, `client` and `pod NAME` open a shell when no command is given.\n\
         Logs: {logs}/operator.log, {logs}/node-a/agent.log, {logs}/node-b/agent.log",
        doors = doors.display(),
        logs = logs.display(),
    ))
}
