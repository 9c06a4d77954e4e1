//! What is served. The real server has more groups and kinds: of both, those are compared that the in-memory one has.

use anyhow::Result;

use crate::{request::get, server::Server};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    for path in [
        "/api",
        "/apis/apps",
        "/apis/coordination.k8s.io",
        "/apis/compare.kpr.dev",
        "/apis/nothing.dev",
    ] {
        server.ask(path, get(path)).await?;
    }
    for (path, kinds) in [
        (
            "/api/v1",
            &[
                "configmaps",
                "endpoints",
                "events",
                "namespaces",
                "nodes",
                "pods",
                "secrets",
                "serviceaccounts",
                "services",
            ][..],
        ),
        ("/apis/apps/v1", &["daemonsets", "deployments", "replicasets"]),
        ("/apis/coordination.k8s.io/v1", &["leases"]),
        ("/apis/discovery.k8s.io/v1", &["endpointslices"]),
        ("/apis/apiextensions.k8s.io/v1", &["customresourcedefinitions"]),
        ("/apis/compare.kpr.dev/v1", &["gadgets"]),
    ] {
        server.resources(path, kinds).await?;
    }
    server.ask("/apis/nothing.dev/v1", get("/apis/nothing.dev/v1")).await?;
    server
        .schema("/openapi/v3/apis/compare.kpr.dev/v1", "dev.kpr.compare.v1.Gadget")
        .await?;
    server
        .schema(
            "/openapi/v3/apis/kpr.dev/v1alpha1",
            "dev.kpr.v1alpha1.KubeProxyReplacement",
        )
        .await?;
    server
        .schema("/openapi/v3/apis/kpr.dev/v1alpha1", "dev.kpr.v1alpha1.NodeDatapath")
        .await?;
    Ok(())
}
