//! Files that are generated from the types: the CRDs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{KubeProxyReplacement, NodeDatapath};

const HEADER: &str = "# Generated from the Rust types in crds/src by `cargo xtask codegen`. Do not edit.\n";

/// Why a file could not be generated.
#[derive(Debug, thiserror::Error)]
#[error("CRD {name} can't be written as YAML: {source}")]
pub struct Error {
    name: String,
    source: serde_saphyr::ser::Error,
}

/// The CRDs of kpr, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![KubeProxyReplacement::crd(), NodeDatapath::crd()]
}

/// Every generated file: its path, relative to the root of the repository, and its content.
pub fn files() -> Result<Vec<(String, String)>, Error> {
    crds()
        .into_iter()
        .map(|crd| {
            let path = format!("crds/{}.{}.yaml", crd.spec.names.plural, crd.spec.group);
            let yaml = serde_saphyr::to_string(&crd).map_err(|source| Error {
                name: crd.metadata.name.clone().unwrap_or_default(),
                source,
            })?;
            Ok((path, format!("{HEADER}{yaml}")))
        })
        .collect()
}
