//! Fixtures for the integration tests.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// A ConfigMap with one value.
pub(crate) fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("v".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    }
}

/// Waits for what must come soon; a test that hangs fails instead.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("nothing happened for 20 s")
}

/// A CRD in the style of kpr's: nested defaults, enum, range, set, CEL rules, columns, a status with conditions.
pub(crate) fn gateways() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gateways.test.kpr.dev"},
        "spec": {
            "group": "test.kpr.dev",
            "scope": "Cluster",
            "names": {"kind": "Gateway", "plural": "gateways", "shortNames": ["gw"], "categories": ["networking"]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.mode"}],
                "additionalPrinterColumns": [
                    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Reason", "type": "string", "priority": 1, "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": gateway_schema()},
            }],
        },
    })
}

fn gateway_schema() -> Value {
    json!({
        "type": "object",
        "description": "A Gateway is an example.",
        "required": ["spec"],
        "x-kubernetes-validations": [{"rule": "self.metadata.name != 'forbidden'", "message": "this name is taken", "reason": "FieldValueForbidden"}],
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "mode": {"type": "string", "enum": ["Strict", "Partial"], "default": "Strict", "description": "How much is served."},
                    "algorithm": {
                        "type": "string", "enum": ["Random", "Maglev"], "default": "Random",
                        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "algorithm is immutable"}],
                    },
                    "devices": {
                        "type": "array", "x-kubernetes-list-type": "set", "maxItems": 4, "default": [],
                        "items": {"type": "string", "maxLength": 15},
                    },
                    "cidrs": {
                        "type": "array", "maxItems": 8,
                        "items": {
                            "type": "string", "maxLength": 43,
                            "x-kubernetes-validations": [{"rule": "isCIDR(self)", "messageExpression": "'must be a CIDR, not ' + self"}],
                        },
                    },
                    "ports": {
                        "type": "object", "default": {"min": 30000, "max": 32767}, "description": "The range of ports.",
                        "properties": {
                            "min": {"type": "integer", "format": "int32", "minimum": 1024.0, "maximum": 65535.0, "default": 30000},
                            "max": {"type": "integer", "format": "int32", "minimum": 1024.0, "maximum": 65535.0, "default": 32767},
                        },
                        "x-kubernetes-validations": [{"rule": "self.min <= self.max", "message": "min must not be above max", "fieldPath": ".min"}],
                    },
                },
            },
            "status": {
                "type": "object",
                "properties": {
                    "ready": {"type": "integer"},
                    "conditions": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                        "items": {
                            "type": "object", "required": ["type", "status"],
                            "properties": {
                                "type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"},
                                "message": {"type": "string"}, "lastTransitionTime": {"type": "string", "format": "date-time"},
                                "observedGeneration": {"type": "integer", "format": "int64"},
                            },
                        },
                    },
                },
            },
        },
    })
}

/// A Gateway.
pub(crate) fn gateway(name: &str, spec: impl Into<Value>) -> Value {
    let spec = spec.into();
    json!({"apiVersion": "test.kpr.dev/v1alpha1", "kind": "Gateway", "metadata": {"name": name}, "spec": spec})
}
