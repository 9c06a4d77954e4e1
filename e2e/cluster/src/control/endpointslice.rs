//! Service selector -> EndpointSlices.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::{
    api::{
        core::v1::{Node, Pod, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource as _, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{Controller, controller::Action, reflector::ObjectRef, watcher},
};

use super::{
    Failure, names, retry_soon,
    slices::{SliceContent, Zones, contents},
};

/// Names the Service that a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Names who looks after a slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// What [`MANAGED_BY`] says of ours: the same as kube-controller-manager's.
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Marks the slices of a headless Service.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// A node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Runs until it is dropped.
pub(super) async fn run(client: Client) {
    let config = watcher::Config::default;
    let controller = Controller::new(Api::<Service>::all(client.clone()), config());
    let services = controller.store();
    controller
        .owns(Api::<EndpointSlice>::all(client.clone()), config())
        // All Services of the namespace: a pod whose labels changed concerns those that it used to match, too.
        .watches(Api::<Pod>::all(client.clone()), config(), move |pod| {
            let mut concerned = Vec::new();
            for service in services.state() {
                if service.namespace() == pod.namespace() {
                    concerned.push(ObjectRef::from_obj(&*service));
                }
            }
            concerned
        })
        .run(reconcile, retry_soon, Arc::new(client))
        .for_each(|_done| std::future::ready(()))
        .await;
}

async fn reconcile(service: Arc<Service>, client: Arc<Client>) -> Result<Action, Failure> {
    if service.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = service.namespace().unwrap_or_default();
    let slices: Api<EndpointSlice> = Api::namespaced((*client).clone(), &namespace);
    let ours = format!("{SERVICE_NAME}={},{MANAGED_BY}={MANAGER}", service.name_any());
    let existing = slices.list(&ListParams::default().labels(&ours)).await?.items;
    let wanted = match selector(&service) {
        Some(selector) => {
            let pods: Api<Pod> = Api::namespaced((*client).clone(), &namespace);
            let pods = pods.list(&ListParams::default().labels(&selector)).await?.items;
            contents(&service, &pods, &zones(&client).await?)
        }
        None => Vec::new(),
    };
    apply(&slices, &service, existing, wanted).await?;
    Ok(Action::await_change())
}

/// The Service's selector as text. A Service without one has its slices written by somebody else.
fn selector(service: &Service) -> Option<String> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    Some(
        selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(","),
    )
}

async fn zones(client: &Client) -> Result<Zones, Failure> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await?;
    let zone = |node: &Node| Some((node.name_any(), node.labels().get(ZONE)?.clone()));
    Ok(nodes.items.iter().filter_map(zone).collect())
}

/// Makes the slices what they should be with as few writes as possible: a slice keeps its name while its ports stay.
async fn apply(
    api: &Api<EndpointSlice>,
    service: &Service,
    mut existing: Vec<EndpointSlice>,
    wanted: Vec<SliceContent>,
) -> Result<(), Failure> {
    existing.sort_by_key(ResourceExt::name_any);
    for content in wanted {
        let matching = existing.iter().position(|slice| {
            slice.address_type == content.address_type && slice.ports.as_deref().unwrap_or_default() == content.ports
        });
        let wanted = slice(service, content);
        match matching.map(|index| existing.remove(index)) {
            None => {
                api.create(&PostParams::default(), &wanted).await?;
            }
            Some(current) => {
                if current.endpoints != wanted.endpoints || !same_labels(&current, &wanted) {
                    let name = current.name_any();
                    let metadata = ObjectMeta {
                        labels: wanted.metadata.labels,
                        ..current.metadata
                    };
                    api.replace(&name, &PostParams::default(), &EndpointSlice { metadata, ..wanted })
                        .await?;
                }
            }
        }
    }
    for surplus in existing {
        api.delete(&surplus.name_any(), &DeleteParams::default()).await?;
    }
    Ok(())
}

fn same_labels(current: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    current.labels() == wanted.labels()
}

fn slice(service: &Service, content: SliceContent) -> EndpointSlice {
    let SliceContent {
        address_type,
        ports,
        endpoints,
    } = content;
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", service.name_any(), names::suffix())),
            namespace: service.namespace(),
            labels: Some(labels(service)),
            owner_references: service.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        address_type: address_type.to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports),
    }
}

/// The Service's own labels (proxies look for some of them on slices, too) and the controller's.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    labels.remove(HEADLESS);
    labels.insert(SERVICE_NAME.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}
