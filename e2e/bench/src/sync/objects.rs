//! The cluster that the agent sees: so many Services, each with an EndpointSlice of ten endpoints, as large as controllers and
//! `kubectl` make them.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result};
use kpr_abi::{Addr4, Be16, ServiceKey, proto};
use kpr_apiserver::ApiServer;
use kpr_cluster::testbed::Host;
use kpr_crds::{KubeProxyReplacementSpec, Maps, NodeDatapath, Phase};
use serde_json::{Value, json};

use super::front::Kind;
use crate::node;

/// Endpoints of a Service.
pub(super) const ENDPOINTS: u32 = 10;
/// Port of every Service, and of its endpoints.
const PORT: u16 = 80;
const TARGET_PORT: u16 = 8080;
/// The first Service's ClusterIP.
const FIRST_SERVICE: u32 = 0x0a60_8000; // 10.96.128.0
/// The first endpoint's address, and that of the one that stands in for it.
const FIRST_ENDPOINT: u32 = 0x0a80_0000; // 10.128.0.0
const FIRST_OTHER: u32 = 0x0ac0_0000; // 10.192.0.0
/// When everything was made.
const CREATED: &str = "2026-01-01T00:00:00Z";
/// The Service that is asked for answers while the agent is away.
const ANSWERING: &str = "answering";
const ANSWERING_IP: &str = "10.96.0.53";
pub(super) const ANSWERING_NODE_PORT: u16 = 30_053;
pub(super) const ANSWERING_PORT: u16 = 5_353;

/// A Service, by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered(pub(super) u32);

impl Numbered {
    /// Ordered as their names are.
    fn name(self) -> String {
        format!("service-{:05}", self.0)
    }

    fn cluster_ip(self) -> Ipv4Addr {
        Ipv4Addr::from(FIRST_SERVICE + self.0)
    }

    /// Its key in the service map.
    pub(super) fn key(self) -> ServiceKey<Addr4> {
        ServiceKey::new(Addr4::from(self.cluster_ip()), Be16::new(PORT), proto::TCP)
    }

    /// The endpoint that changes: either of two.
    pub(super) fn first_endpoint(self, other: bool) -> SocketAddrV4 {
        let first = if other { FIRST_OTHER } else { FIRST_ENDPOINT };
        SocketAddrV4::new(Ipv4Addr::from(first + self.0 * ENDPOINTS), TARGET_PORT)
    }

    fn service(self) -> Value {
        let name = self.name();
        json!({
            "metadata": {
                "name": name, "namespace": "default", "uid": uid(1, self.0), "resourceVersion": (1_000 + self.0).to_string(),
                "creationTimestamp": CREATED,
                "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench", "team": "network"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": {"annotations": {}, "name": name, "namespace": "default"},
                    "spec": {"ports": [{"port": PORT, "targetPort": TARGET_PORT}], "selector": {"app.kubernetes.io/name": name}},
                }).to_string()},
                "managedFields": [{
                    "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1", "time": CREATED,
                    "fieldsType": "FieldsV1", "fieldsV1": {
                        "f:metadata": {
                            "f:annotations": {".": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {}},
                            "f:labels": {".": {}, "f:app.kubernetes.io/name": {}, "f:app.kubernetes.io/part-of": {}, "f:team": {}},
                        },
                        "f:spec": {
                            "f:internalTrafficPolicy": {}, "f:selector": {}, "f:sessionAffinity": {}, "f:type": {},
                            "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {
                                ".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {},
                            }},
                        },
                    },
                }],
            },
            "spec": {
                "clusterIP": self.cluster_ip().to_string(), "clusterIPs": [self.cluster_ip().to_string()],
                "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "http", "port": PORT, "protocol": "TCP", "targetPort": TARGET_PORT}],
                "selector": {"app.kubernetes.io/name": name}, "sessionAffinity": "None", "type": "ClusterIP",
            },
            "status": {"loadBalancer": {}},
        })
    }

    /// `other`: with the other first endpoint.
    fn slice(self, other: bool) -> Value {
        let name = self.name();
        let endpoint = |index: u32| {
            let addr = match index {
                0 => *self.first_endpoint(other).ip(),
                _ => Ipv4Addr::from(FIRST_ENDPOINT + self.0 * ENDPOINTS + index),
            };
            json!({
                "addresses": [addr.to_string()],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{}", index % 5),
                "targetRef": {
                    "kind": "Pod", "name": format!("{name}-7d4b9c6f5d-{index:05}"), "namespace": "default",
                    "uid": uid(2, self.0 * ENDPOINTS + index),
                },
                "zone": "zone-a",
            })
        };
        json!({
            "metadata": {
                "name": format!("{name}-x7k2p"), "generateName": format!("{name}-"), "namespace": "default", "uid": uid(3, self.0),
                "resourceVersion": (1_000 + self.0).to_string(), "generation": 3, "creationTimestamp": CREATED,
                "labels": {
                    "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench", "team": "network",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    "kubernetes.io/service-name": name,
                },
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": CREATED},
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Service", "name": name, "uid": uid(1, self.0), "controller": true,
                    "blockOwnerDeletion": true,
                }],
                "managedFields": [{
                    "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "discovery.k8s.io/v1",
                    "time": CREATED, "fieldsType": "FieldsV1", "fieldsV1": {
                        "f:addressType": {}, "f:endpoints": {}, "f:ports": {},
                        "f:metadata": {
                            "f:annotations": {".": {}, "f:endpoints.kubernetes.io/last-change-trigger-time": {}},
                            "f:generateName": {},
                            "f:labels": {
                                ".": {}, "f:app.kubernetes.io/name": {}, "f:app.kubernetes.io/part-of": {}, "f:team": {},
                                "f:endpointslice.kubernetes.io/managed-by": {}, "f:kubernetes.io/service-name": {},
                            },
                            "f:ownerReferences": {".": {}, "k:{\"uid\":\"x\"}": {}},
                        },
                    },
                }],
            },
            "addressType": "IPv4",
            "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>(),
            "ports": [{"name": "http", "port": TARGET_PORT, "protocol": "TCP"}],
        })
    }

    /// The event of the change to either first endpoint. `version`: of the object, which grows.
    pub(super) fn event(self, other: bool, version: u64) -> String {
        let mut slice = self.slice(other);
        slice["kind"] = json!("EndpointSlice");
        slice["apiVersion"] = json!("discovery.k8s.io/v1");
        slice["metadata"]["resourceVersion"] = json!(version.to_string());
        json!({"type": "MODIFIED", "object": slice}).to_string()
    }
}

fn uid(kind: u32, number: u32) -> String {
    format!("{kind:08x}-3c1e-4c57-9b2e-{number:012x}")
}

/// The Services and EndpointSlices: so many, and one that is asked for answers. `answering`: the pod behind it.
pub(super) fn kinds(services: u32, answering: Ipv4Addr) -> [Kind; 2] {
    let numbers = || (0..services).map(Numbered);
    let service = json!({
        "metadata": {"name": ANSWERING, "namespace": "default", "resourceVersion": "1", "creationTimestamp": CREATED},
        "spec": {
            "type": "NodePort", "clusterIP": ANSWERING_IP, "clusterIPs": [ANSWERING_IP],
            "ports": [{"port": ANSWERING_PORT, "protocol": "UDP", "nodePort": ANSWERING_NODE_PORT}],
        },
    });
    let slice = json!({
        "metadata": {
            "name": ANSWERING, "namespace": "default", "resourceVersion": "1",
            "labels": {"kubernetes.io/service-name": ANSWERING},
        },
        "addressType": "IPv4", "endpoints": [{"addresses": [answering.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "", "port": ANSWERING_PORT, "protocol": "UDP"}],
    });
    let texts = |all: &mut dyn Iterator<Item = Value>| all.map(|object| object.to_string()).collect();
    [
        Kind {
            api_version: "v1",
            list: "ServiceList",
            items: texts(&mut [service].into_iter().chain(numbers().map(Numbered::service))),
        },
        Kind {
            api_version: "discovery.k8s.io/v1",
            list: "EndpointSliceList",
            items: texts(&mut [slice].into_iter().chain(numbers().map(|number| number.slice(false)))),
        },
    ]
}

/// An API server with what else the agent of this node needs.
pub(super) fn api_server(host: &Host) -> Result<ApiServer> {
    let api = ApiServer::new();
    for crd in kpr_crds::codegen::crds() {
        let mut crd = serde_json::to_value(crd)?;
        crd["apiVersion"] = json!("apiextensions.k8s.io/v1");
        crd["kind"] = json!("CustomResourceDefinition");
        create(&api, crd)?;
    }
    create(&api, node::object(host)?)?;
    create(&api, datapath(&host.spec.name)?)?;
    Ok(api)
}

/// What an operator would write.
fn datapath(node: &str) -> Result<Value> {
    let policy = KubeProxyReplacementSpec {
        maps: Maps {
            services: Some(65_536),
            slots: Some(262_144),
            backends: Some(131_072),
            flows: Some(65_536),
            ..Maps::default()
        },
        ..KubeProxyReplacementSpec::default()
    };
    let datapath = NodeDatapath::new(node, policy.resolve("bench", 1, Phase::Active));
    Ok(serde_json::to_value(datapath)?)
}

fn create(api: &ApiServer, object: Value) -> Result<()> {
    api.create(object).map(drop).context("create an object")
}
