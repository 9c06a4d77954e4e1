//! Who gets which NodePort, and that it is free again afterwards.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use serde_json::json;

use super::{http, one_pod, only_node_port};
use crate::{
    cluster::Cluster,
    scenario::{
        POD_PORT, Probe, Vantage,
        service::{create_service, delete_service, node_port, patch_service},
    },
};

/// The ports that Services of type NodePort get, by default.
const RANGE: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// A NodePort is one Service's only, until that one goes.
///
/// Upstream: "should prevent NodePort collisions"
pub async fn should_prevent_node_port_collisions(cluster: &mut Cluster) -> Result<()> {
    let first = create_service(
        cluster,
        "nodeport-collision-1",
        json!({"type": "NodePort", "ports": http()}),
    )
    .await?;
    let number = only_node_port(&first)?;
    let same = json!({"type": "NodePort", "ports": [{"port": POD_PORT, "nodePort": number}]});
    let second = create_service(cluster, "nodeport-collision-2", same.clone()).await;
    refused_because(second, number, "port is already allocated")?;
    delete_service(cluster, &first.name_any()).await?;
    let second = create_service(cluster, "nodeport-collision-2", same).await?;
    ensure!(only_node_port(&second)? == number, "{second:?}");
    Ok(())
}

/// A NodePort is of the API server's range, whether it chooses it or is asked for it.
///
/// Upstream: "should check NodePort out-of-range"
pub async fn should_check_node_port_out_of_range(cluster: &mut Cluster) -> Result<()> {
    let name = "nodeport-range-test";
    let service = create_service(cluster, name, json!({"type": "NodePort", "ports": http()})).await?;
    ensure!(RANGE.contains(&only_node_port(&service)?), "{service:?}");
    for outside in [RANGE.start() - 1, RANGE.end() + 1] {
        let ports = json!([{"name": "http", "port": POD_PORT, "nodePort": outside}]);
        let changed = patch_service(cluster, name, json!({"ports": ports})).await;
        refused_because(changed, outside, "port is not in the valid range")?;
        let spec = json!({"type": "NodePort", "ports": ports});
        let created = create_service(cluster, "nodeport-range-test-2", spec).await;
        refused_because(created, outside, "port is not in the valid range")?;
    }
    Ok(())
}

/// A deleted Service's NodePort is free: no program of any node listens there, the nodes refuse, and another Service may have it.
///
/// Upstream: "should release NodePorts on delete"
pub async fn should_release_node_ports_on_delete(cluster: &mut Cluster) -> Result<()> {
    let name = "nodeport-reuse";
    one_pod(cluster, name).await?;
    let service = create_service(cluster, name, json!({"type": "NodePort", "ports": http()})).await?;
    let number = only_node_port(&service)?;
    let nodes = cluster.node_names();
    let mut targets = Vec::new();
    for node in &nodes {
        targets.push(node_port(cluster, &service, node, "http")?);
    }
    let from = Vantage::Outside;
    let asked = |target| Probe::tcp(cluster, &from, target);
    for &target in &targets {
        asked(target).answered_by(&[name]).await?;
    }

    delete_service(cluster, name).await?;
    for (node, &target) in nodes.iter().zip(&targets) {
        asked(target).refused().await?;
        ensure!(
            listeners(cluster, node, number).await?.is_empty(),
            "{node} listens on {number}"
        );
    }

    let spec = json!({"type": "NodePort", "ports": [{"port": POD_PORT, "nodePort": number}]});
    create_service(cluster, name, spec).await?;
    for &target in &targets {
        asked(target).answered_by(&[name]).await?;
    }
    Ok(())
}

/// Who listens on a port of a node, of any protocol and family.
async fn listeners(cluster: &Cluster, node: &str, number: u16) -> Result<String> {
    let ss = cluster.on_node(node, "ss")?;
    let ss = ss.args(["--no-header", "--all", "--numeric", "--tcp", "--udp"]);
    let output = ss.args(["state", "listening", &format!("sport = :{number}")]);
    output.output().await?.success()
}

/// The API server must have refused, and must have said why in the words of the real one.
fn refused_because<T: std::fmt::Debug>(outcome: Result<T>, number: u16, why: &str) -> Result<()> {
    let error = outcome.err().context("the API server should have refused")?;
    let said = format!("{error:#}");
    ensure!(said.contains(&number.to_string()) && said.contains(why), "{said}");
    Ok(())
}
