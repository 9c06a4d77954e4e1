//! Objects as the API server writes them, read only as far as rules need it. What is long and of no use here (managed fields,
//! most annotations, owners, the Pods behind endpoints) is passed over while it is decoded and never lies in memory; texts are borrowed from
//! what was received.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{ANNOTATION_TRIGGERED, InputError, LABEL_HEADLESS, LABEL_PROXY_NAME, LABEL_SERVICE_NAME};

/// A text, borrowed unless it has escapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta<'a> {
    #[serde(borrow)]
    pub(super) namespace: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) resource_version: Option<Text<'a>>,
    pub(super) creation_timestamp: Option<Time>,
    #[serde(borrow)]
    pub(super) labels: Option<Labels<'a>>,
    pub(super) annotations: Option<Annotations>,
}

impl Meta<'_> {
    /// The object's name.
    pub fn name(&self) -> Result<&str, InputError> {
        self.name.as_deref().ok_or(InputError("name"))
    }

    /// For the watch to go on from.
    pub fn resource_version(&self) -> Option<String> {
        self.resource_version.as_deref().map(str::to_owned)
    }
}

/// The labels that mean something here.
#[derive(Debug, Default)]
pub(super) struct Labels<'a> {
    pub(super) other_proxy: bool,
    pub(super) headless: bool,
    pub(super) service: Option<Text<'a>>,
}

/// The annotation that means something here.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    /// When what the object says became so; none if it does not say, or not as a time.
    pub(super) triggered: Option<Timestamp>,
}

/// A Service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service<'a> {
    /// `metadata`.
    #[serde(borrow)]
    pub metadata: Meta<'a>,
    #[serde(borrow)]
    pub(super) spec: Option<ServiceSpec<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<ServiceStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) type_: Option<Text<'a>>,
    #[serde(borrow, rename = "clusterIP")]
    pub(super) cluster_ip: Option<Text<'a>>,
    #[serde(borrow, rename = "clusterIPs")]
    pub(super) cluster_ips: Option<Vec<Text<'a>>>,
    #[serde(borrow, rename = "externalIPs")]
    pub(super) external_ips: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(super) load_balancer_source_ranges: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(super) internal_traffic_policy: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) external_traffic_policy: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) session_affinity: Option<Text<'a>>,
    pub(super) session_affinity_config: Option<SessionAffinityConfig>,
    pub(super) health_check_node_port: Option<i32>,
    #[serde(borrow)]
    pub(super) ports: Option<Vec<ServicePort<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionAffinityConfig {
    #[serde(rename = "clientIP")]
    pub(super) client_ip: Option<ClientIpConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientIpConfig {
    pub(super) timeout_seconds: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) protocol: Option<Text<'a>>,
    pub(super) port: i32,
    pub(super) node_port: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus<'a> {
    #[serde(borrow)]
    pub(super) load_balancer: Option<LoadBalancer<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancer<'a> {
    #[serde(borrow)]
    pub(super) ingress: Option<Vec<Ingress<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ingress<'a> {
    #[serde(borrow)]
    pub(super) ip: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) ip_mode: Option<Text<'a>>,
}

/// An EndpointSlice.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice<'a> {
    /// `metadata`.
    #[serde(borrow)]
    pub metadata: Meta<'a>,
    #[serde(borrow)]
    pub(super) address_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) endpoints: Option<Vec<Endpoint<'a>>>,
    #[serde(borrow)]
    pub(super) ports: Option<Vec<SlicePort<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Endpoint<'a> {
    #[serde(borrow)]
    pub(super) addresses: Option<First<'a>>,
    pub(super) conditions: Option<Conditions>,
    #[serde(borrow)]
    pub(super) node_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) hints: Option<Hints<'a>>,
}

/// The first of several texts.
#[derive(Debug, Default)]
pub(super) struct First<'a>(pub(super) Option<Text<'a>>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hints<'a> {
    #[serde(borrow)]
    pub(super) for_zones: Option<Vec<Named<'a>>>,
    #[serde(borrow)]
    pub(super) for_nodes: Option<Vec<Named<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SlicePort<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) protocol: Option<Text<'a>>,
    pub(super) port: Option<i32>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pick<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Pick<'a> {
            type Value = Labels<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels<'a>, A::Error> {
                let mut labels = Labels::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        LABEL_SERVICE_NAME => labels.service = map.next_value()?,
                        LABEL_PROXY_NAME => labels.other_proxy = true,
                        LABEL_HEADLESS => labels.headless = true,
                        _ => {}
                    }
                    if &*key != LABEL_SERVICE_NAME {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(labels)
            }
        }

        deserializer.deserialize_map(Pick(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pick;

        impl<'de> Visitor<'de> for Pick {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut annotations = Annotations::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key == ANNOTATION_TRIGGERED {
                        annotations.triggered = map.next_value::<Text<'de>>()?.parse().ok();
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(annotations)
            }
        }

        deserializer.deserialize_map(Pick)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pick<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Pick<'a> {
            type Value = First<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<First<'a>, A::Error> {
                let first = seq.next_element()?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }

        deserializer.deserialize_seq(Pick(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rules_do_not_need_is_passed_over_and_texts_are_borrowed() {
        let text = r#"{
            "kind": "EndpointSlice",
            "metadata": {
                "name": "web-1", "namespace": "default", "resourceVersion": "7", "managedFields": [{"fieldsV1": {"f:a": {}}}],
                "labels": {"app": "web", "kubernetes.io/service-name": "web"},
                "annotations": {"a": "b", "endpoints.kubernetes.io/last-change-trigger-time": "2026-11-01T08:00:00.5Z"}
            },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.244.0.2", "10.244.0.3"], "targetRef": {"kind": "Pod"}, "hints": null,
                "conditions": {"ready": null, "serving": true}
            }],
            "ports": [{"name": "h\u0074tp", "port": 80}]
        }"#;
        let slice: EndpointSlice<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(slice.metadata.resource_version().as_deref(), Some("7"));
        let triggered = slice.metadata.annotations.unwrap().triggered.unwrap();
        assert_eq!(triggered.as_millisecond(), 1_793_520_000_500);
        let service = slice.metadata.labels.unwrap().service.unwrap();
        assert!(matches!(service, Text(Cow::Borrowed("web"))));
        let [endpoint] = slice.endpoints.unwrap().try_into().unwrap();
        assert_eq!(endpoint.addresses.unwrap().0.as_deref(), Some("10.244.0.2"));
        assert!(endpoint.hints.is_none());
        let conditions = endpoint.conditions.unwrap();
        assert_eq!((conditions.ready, conditions.serving), (None, Some(true)));
        let [port] = slice.ports.unwrap().try_into().unwrap();
        assert_eq!(port.name.as_deref(), Some("http"));
    }
}
