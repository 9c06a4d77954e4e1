//! Installing kpr into a cluster, and removing it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kpr_crds::{
    ForwardingMode, KubeProxyReplacement, NodeDatapath,
    conditions::{self, NodeCondition, PolicyCondition},
};
use kube::{
    Api, CustomResourceExt as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, eventually},
    load_balancer::LoadBalancerDefaults,
};

/// How long kpr may take to serve every node, or to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Name of the KubeProxyReplacement in scenarios.
pub const POLICY: &str = "default";

/// Creates the CRDs.
pub async fn crds(cluster: &Cluster) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for crd in [KubeProxyReplacement::crd(), NodeDatapath::crd()] {
        let name = crd.name_any();
        api.create(&PostParams::default(), &crd)
            .await
            .with_context(|| format!("create CRD {name}"))?;
        eventually(&format!("CRD {name} is served"), PATIENCE, || async {
            let crd = api.get(&name).await?;
            let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let established = conditions
                .into_iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            Ok(if established {
                Ok(())
            } else {
                Err(format!("{:?}", crd.status))
            })
        })
        .await?;
    }
    Ok(())
}

/// Installs kpr with default settings and waits until it serves every node.
pub async fn kpr(cluster: &mut Cluster) -> Result<()> {
    kpr_with(cluster, json!({"mode": "Strict"})).await
}

/// Installs kpr with a KubeProxyReplacement of this spec and waits until it is Available.
pub async fn kpr_with(cluster: &mut Cluster, spec: Value) -> Result<()> {
    crds(cluster).await?;
    cluster.start_operator().await?;
    cluster.start_agents().await?;
    create_policy(cluster, spec).await?;
    available(cluster).await
}

/// Creates the KubeProxyReplacement. What its spec says nothing of, the environment may ([`LoadBalancerDefaults`]).
pub async fn create_policy(cluster: &Cluster, mut spec: Value) -> Result<()> {
    LoadBalancerDefaults::of_environment()?.add_to(&mut spec);
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    let policy = json!({
        "apiVersion": "kpr.dev/v1alpha1",
        "kind": "KubeProxyReplacement",
        "metadata": {"name": POLICY},
        "spec": spec,
    });
    policies
        .create(&PostParams::default(), &serde_json::from_value(policy)?)
        .await
        .context("create the KubeProxyReplacement")?;
    Ok(())
}

/// Merges `spec` into that of the KubeProxyReplacement.
pub async fn patch_policy(cluster: &Cluster, spec: Value) -> Result<()> {
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    let patch = Patch::Merge(json!({ "spec": spec }));
    let patched = policies.patch(POLICY, &PatchParams::default(), &patch).await;
    patched.map(|_| ()).context("change the KubeProxyReplacement")
}

/// What is to be done before a cluster is given back to a kube-proxy, if the environment asks for DSR: netfilter encapsulates nothing, so
/// connections with DSR end when kpr goes. Returns once those that begin from now on get SNAT.
pub(super) async fn no_more_dsr(cluster: &Cluster) -> Result<()> {
    if LoadBalancerDefaults::of_environment()?.mode()? == ForwardingMode::Snat {
        return Ok(());
    }
    patch_policy(cluster, json!({"loadBalancer": {"mode": "SNAT"}})).await?;
    let nodes: Api<NodeDatapath> = Api::all(cluster.client());
    eventually("every node serves with SNAT", PATIENCE, || async {
        let nodes = nodes.list(&ListParams::default()).await?.items;
        let serves = |node: &NodeDatapath| node.spec.load_balancer.mode == ForwardingMode::Snat && is_ready(node);
        Ok(if nodes.iter().all(serves) {
            Ok(())
        } else {
            Err(format!("{nodes:?}"))
        })
    })
    .await
}

/// Waits until the KubeProxyReplacement is Available, and looks after the programs meanwhile.
pub async fn available(cluster: &mut Cluster) -> Result<()> {
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    let nodes: Api<NodeDatapath> = Api::all(cluster.client());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        cluster.check_programs()?;
        let policy = policies.get(POLICY).await?;
        let status = policy.status.unwrap_or_default();
        if conditions::is_true(&status.conditions, PolicyCondition::Available.as_str()) {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            let nodes = nodes.list(&ListParams::default()).await?.items;
            anyhow::bail!("kpr is not Available within {PATIENCE:?}: {status:#?}\n{nodes:#?}");
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Deletes the KubeProxyReplacement and waits until its finalizer has let it go.
pub async fn remove(cluster: &Cluster) -> Result<()> {
    delete(cluster).await?;
    gone_within(cluster, PATIENCE).await
}

/// Deletes the KubeProxyReplacement.
pub(super) async fn delete(cluster: &Cluster) -> Result<()> {
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    let deleted = policies.delete(POLICY, &DeleteParams::default()).await;
    deleted.map(drop).context("delete the KubeProxyReplacement")
}

/// Waits until the finalizer of the KubeProxyReplacement has let it go.
pub(super) async fn gone_within(cluster: &Cluster, patience: Duration) -> Result<()> {
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    eventually("the KubeProxyReplacement is gone", patience, || async {
        Ok(match policies.get_opt(POLICY).await? {
            None => Ok(()),
            Some(policy) => Err(format!(
                "finalizers {:?}, status {:?}",
                policy.finalizers(),
                policy.status
            )),
        })
    })
    .await
}

/// What the agent of `node` reports, once it is Ready with what the operator asks for.
pub async fn ready_node(cluster: &Cluster, node: &str) -> Result<NodeDatapath> {
    let nodes: Api<NodeDatapath> = Api::all(cluster.client());
    eventually(&format!("the datapath of {node} is Ready"), PATIENCE, || async {
        let datapath = nodes.get(node).await?;
        Ok(if is_ready(&datapath) {
            Ok(datapath)
        } else {
            Err(format!("{:?}", datapath.status))
        })
    })
    .await
}

/// Does the agent serve with what the operator asks for?
pub(super) fn is_ready(datapath: &NodeDatapath) -> bool {
    datapath.status.as_ref().is_some_and(|status| {
        conditions::is_true(&status.conditions, NodeCondition::Ready.as_str())
            && status.observed_generation == datapath.metadata.generation
    })
}
