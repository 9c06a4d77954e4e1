//! What `kubectl get` shows, and metadata alone.

use anyhow::Result;

use super::{CONFIG_MAPS, NAMESPACE, PODS, SERVICES};
use crate::{request::get, server::Server};

const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    for path in [
        format!("{CONFIG_MAPS}/fixed"),
        format!("{CONFIG_MAPS}?labelSelector=part%3Dlists"),
        format!("{CONFIG_MAPS}?labelSelector=part%3Dlists&includeObject=None"),
        format!("{CONFIG_MAPS}?labelSelector=part%3Dlists&includeObject=Object"),
        format!("{CONFIG_MAPS}?labelSelector=part%3Dlists&includeObject=Some"),
        format!("{PODS}/patched"),
        format!("{PODS}/none"),
        SERVICES.to_owned(),
        NAMESPACE.to_owned(),
        "/api/v1/nodes?labelSelector=none".to_owned(),
        "/apis/apps/v1/namespaces/compared/deployments".to_owned(),
        "/apis/apps/v1/namespaces/compared/daemonsets".to_owned(),
        "/apis/apps/v1/namespaces/compared/replicasets".to_owned(),
        "/api/v1/namespaces/compared/secrets".to_owned(),
        // The real server may tell of cluster IPs that its repairs meet before their allocation.
        "/api/v1/namespaces/compared/events?labelSelector=none".to_owned(),
        "/apis/coordination.k8s.io/v1/namespaces/compared/leases".to_owned(),
        "/apis/discovery.k8s.io/v1/namespaces/compared/endpointslices?labelSelector=none".to_owned(),
    ] {
        server.ask(&format!("table of {path}"), get(&path).tabular()).await?;
    }
    server
        .ask("metadata of one", get(format!("{CONFIG_MAPS}/fixed")).accept(METADATA))
        .await?;
    server
        .ask(
            "metadata of some",
            get(format!("{CONFIG_MAPS}?labelSelector=part%3Dlists")).accept(METADATA_LIST),
        )
        .await?;
    server
        .ask(
            "a form that is none",
            get(format!("{CONFIG_MAPS}/fixed")).accept("application/json;as=Poem;v=v1;g=meta.k8s.io"),
        )
        .await?;
    Ok(())
}
