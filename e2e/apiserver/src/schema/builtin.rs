//! The schemas of the built-in kinds, derived from the types of `k8s-openapi`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::{apps, autoscaling, coordination, core, discovery, events};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};

use super::{Schema, overlay, parse};

/// Where definitions live in an OpenAPI v3 document.
pub(crate) const DEFINITIONS: &str = "#/components/schemas/";

/// The definitions of all built-in types, and their parsed form.
pub(crate) struct BuiltIn {
    /// OpenAPI component schemas by name, for example `io.k8s.api.core.v1.Pod`.
    pub(crate) definitions: Map<String, Value>,
    parsed: HashMap<String, Arc<Schema>>,
}

static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(BuiltIn::load);

/// The built-in definitions; made once for the process.
pub(crate) fn built_in() -> &'static BuiltIn {
    &BUILT_IN
}

impl BuiltIn {
    /// The schema of the definition `name`.
    pub(crate) fn schema(&self, name: &str) -> Arc<Schema> {
        self.parsed.get(name).cloned().unwrap_or_else(Schema::anything)
    }

    fn load() -> Self {
        let mut definitions = definitions();
        overlay::apply(&mut definitions);
        let mut loader = Loader {
            definitions: &definitions,
            parsed: HashMap::new(),
            open: Vec::new(),
        };
        for name in definitions.keys() {
            loader.load(name);
        }
        let parsed = loader.parsed;
        Self { definitions, parsed }
    }
}

fn definitions() -> Map<String, Value> {
    let mut generator = SchemaGenerator::new(SchemaSettings::openapi3());
    macro_rules! include {
        ($($ty:ty),* $(,)?) => { $( let _ = generator.subschema_for::<$ty>(); )* };
    }
    include!(
        core::v1::Namespace,
        core::v1::Node,
        core::v1::Pod,
        core::v1::Service,
        core::v1::ConfigMap,
        core::v1::Secret,
        core::v1::ServiceAccount,
        core::v1::Event,
        core::v1::Endpoints,
        core::v1::Binding,
        discovery::v1::EndpointSlice,
        apps::v1::Deployment,
        apps::v1::ReplicaSet,
        apps::v1::DaemonSet,
        coordination::v1::Lease,
        events::v1::Event,
        autoscaling::v1::Scale,
        apiextensions::v1::CustomResourceDefinition,
        ObjectMeta,
    );
    generator.take_definitions(true)
}

struct Loader<'a> {
    definitions: &'a Map<String, Value>,
    parsed: HashMap<String, Arc<Schema>>,
    /// The definitions being parsed right now: a reference to one of them is a recursion.
    open: Vec<String>,
}

impl Loader<'_> {
    fn load(&mut self, name: &str) -> Option<Arc<Schema>> {
        if let Some(schema) = self.parsed.get(name) {
            return Some(schema.clone());
        }
        if self.open.iter().any(|open| open == name) || is_free_form(name) {
            return Some(Schema::anything());
        }
        let definition = self.definitions.get(name)?;
        self.open.push(name.to_owned());
        let schema = parse(definition, name, &mut |reference| {
            self.load(reference.strip_prefix(DEFINITIONS)?)
        });
        self.open.pop();
        let mut schema = schema.unwrap_or_else(|error| unreachable!("built-in schema: {error}"));
        if name.rsplit('.').next() == Some("Quantity") {
            // A bare number is a quantity too.
            schema.int_or_string = true;
        }
        let schema = Arc::new(schema);
        self.parsed.insert(name.to_owned(), schema.clone());
        Some(schema)
    }
}

/// Recursive or untyped definitions.
fn is_free_form(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("JSONSchemaProps" | "FieldsV1" | "JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ListType;

    #[test]
    fn a_service_port_is_told_apart_by_port_and_protocol() {
        let service = built_in().schema("io.k8s.api.core.v1.Service");
        let ports = &service.properties["spec"].properties["ports"];
        assert_eq!(ports.list, ListType::Map(vec!["port".into(), "protocol".into()]));
        assert_eq!(ports.item().properties["protocol"].default, Some("TCP".into()));
    }

    #[test]
    fn the_pod_template_of_a_deployment_is_known_down_to_its_containers() {
        let deployment = built_in().schema("io.k8s.api.apps.v1.Deployment");
        let pod = &deployment.properties["spec"].properties["template"].properties["spec"];
        assert!(pod.properties["containers"].item().properties.contains_key("image"));
        assert!(!pod.declares("contaniers"));
    }
}
