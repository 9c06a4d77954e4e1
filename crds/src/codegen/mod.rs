//! Files that are generated from the types: the CRDs, and their reference for people.

mod reference;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
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
    let mut crds = vec![KubeProxyReplacement::crd(), NodeDatapath::crd()];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            reflow(schema);
        }
    }
    crds
}

/// Doc comments are broken into lines where the source is; descriptions are broken by whoever shows them.
fn reflow(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<_> = description
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect();
        *description = paragraphs.join("\n\n");
    }
    schema
        .properties
        .iter_mut()
        .flatten()
        .for_each(|(_, schema)| reflow(schema));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => reflow(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(reflow),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        reflow(values);
    }
}

/// Every generated file: its path, relative to the root of the repository, and its content.
pub fn files() -> Result<Vec<(String, String)>, Error> {
    let crds = crds();
    let page = ("docs/api.md".to_owned(), reference::page(&crds));
    crds.into_iter()
        .map(|crd| {
            let path = format!("crds/{}.{}.yaml", crd.spec.names.plural, crd.spec.group);
            let yaml = serde_saphyr::to_string(&crd).map_err(|source| Error {
                name: crd.metadata.name.clone().unwrap_or_default(),
                source,
            })?;
            Ok((path, format!("{HEADER}{yaml}")))
        })
        .chain([Ok(page)])
        .collect()
}
