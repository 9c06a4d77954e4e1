//! What the server knows about single kinds beside their schema.

mod cluster_ip;
pub(crate) mod crd;
mod defaults;
mod pod;
mod service;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::Result;
use crate::field::FieldError;
use crate::object::{self, child_mut, list, put_default, text};
use crate::resource::Resource;
use crate::state::State;
use crate::write::Part;

/// Fills in the defaults of a built-in kind.
pub(crate) fn default(resource: &Resource, object: &mut Value) {
    if resource.is_builtin {
        defaults::apply(&resource.kind, object);
    }
}

/// What the server sets on a new object.
pub(crate) fn prepare_create(state: &mut State, resource: &Resource, object: &mut Value, now: Timestamp) -> Result<()> {
    if !resource.is_builtin {
        return Ok(());
    }
    match resource.kind.as_str() {
        "Namespace" => {
            let name = object::name(object).to_owned();
            let labels = object::map_mut(object::meta_mut(object).entry("labels").or_insert_with(|| json!({})));
            put_default(labels, "kubernetes.io/metadata.name", name.into());
            child_mut(object, "spec").insert("finalizers".into(), json!(["kubernetes"]));
            object::map_mut(object).insert("status".into(), json!({"phase": "Active"}));
        }
        "Pod" => pod::prepare_create(object),
        "Service" => {
            object::map_mut(object).insert("status".into(), json!({"loadBalancer": {}}));
            service::allocate(state, resource, object, None)?;
        }
        "Deployment" | "ReplicaSet" | "DaemonSet" => {
            object::map_mut(object).insert("status".into(), json!({}));
        }
        "CustomResourceDefinition" => {
            object::map_mut(object).remove("status");
            crd::establish(object, now);
        }
        _ => {}
    }
    Ok(())
}

/// What the server carries over or sets on a changed object.
pub(crate) fn prepare_update(
    state: &mut State,
    resource: &Resource,
    part: Part,
    new: &mut Value,
    old: &Value,
    now: Timestamp,
) -> Result<()> {
    if resource.is("", "Service") && part == Part::Status {
        service::default_ip_modes(new);
    }
    if !resource.is_builtin || part == Part::Status {
        return Ok(());
    }
    match resource.kind.as_str() {
        "Service" => service::allocate(state, resource, new, Some(old)),
        "CustomResourceDefinition" => {
            crd::establish(new, now);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The rules of a built-in kind that `object` breaks.
pub(crate) fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match resource.kind.as_str() {
        "Service" => service::validate(object, old),
        "Pod" => pod::validate(object, old),
        "Deployment" | "ReplicaSet" | "DaemonSet" => workload::validate(object, old),
        "EndpointSlice" => endpoint_slice(object, old),
        "Lease" => lease(object),
        "ConfigMap" | "Secret" => immutable(object, old),
        "CustomResourceDefinition" => {
            let mut errors = crd::validate_update(object, old);
            errors.extend(crate::resource::custom::resources(object).err().unwrap_or_default());
            errors
        }
        _ => Vec::new(),
    }
}

fn endpoint_slice(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let family = text(object, &["addressType"]);
    match family {
        "" => errors.push(FieldError::required("addressType", "")),
        "IPv4" | "IPv6" | "FQDN" => {}
        other => errors.push(FieldError::not_supported(
            "addressType",
            other,
            &["FQDN", "IPv4", "IPv6"],
        )),
    }
    if old.is_some_and(|old| old["addressType"] != object["addressType"]) {
        errors.push(FieldError::invalid("addressType", family, "field is immutable"));
    }
    for (index, endpoint) in list(object, &["endpoints"]).iter().enumerate() {
        let addresses = list(endpoint, &["addresses"]);
        if addresses.is_empty() {
            errors.push(FieldError::required(
                format!("endpoints[{index}].addresses"),
                "must contain at least 1 address",
            ));
        }
        for (at, address) in addresses.iter().enumerate() {
            let address = address.as_str().unwrap_or_default();
            let fits = match family {
                "IPv4" => address.parse::<std::net::Ipv4Addr>().is_ok(),
                "IPv6" => address.parse::<std::net::Ipv6Addr>().is_ok(),
                _ => true,
            };
            if !fits {
                let why = format!("must be an {family} address");
                errors.push(FieldError::invalid(
                    format!("endpoints[{index}].addresses[{at}]"),
                    address,
                    why,
                ));
            }
        }
    }
    errors
}

fn lease(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, least) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
        if let Some(value) = object::at(object, &["spec", field])
            .and_then(Value::as_i64)
            .filter(|value| *value < least)
        {
            let why = if least == 1 {
                "must be greater than 0"
            } else {
                "must be greater than or equal to 0"
            };
            errors.push(FieldError::invalid(format!("spec.{field}"), value, why));
        }
    }
    errors
}

fn immutable(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let frozen = old.filter(|old| old["immutable"] == true);
    let changed = frozen.is_some_and(|old| {
        ["data", "binaryData", "immutable", "type"]
            .iter()
            .any(|field| old.get(field) != object.get(field))
    });
    if changed {
        vec![FieldError::forbidden(
            "data",
            "field is immutable when `immutable` is set",
        )]
    } else {
        Vec::new()
    }
}
