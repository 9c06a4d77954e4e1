//! Kubernetes objects, parsed once at the edge into small owned forms that hold only what rules need.
//!
//! Parsing never fails because of one bad field: the field is left out and becomes a [`Problem`](super::Problem) of the
//! Service, as kube-proxy logs and ignores it.

mod address;
mod pod;
pub mod raw;
mod service;
mod slice;

pub use pod::{HostPort, Pod, PodInput};
pub use service::{Affinity, Service, ServiceInput, ServicePort, WhyIgnored};
pub use slice::{Endpoint, EndpointSlice, Hints, SliceInput, SlicePort};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::NamespacedName;

/// Objects with this label belong to another proxy (KEP-2447 calls it opting out); its value does not matter.
pub const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Objects with this label are headless; its value does not matter.
pub const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation of an EndpointSlice: when the change of a Service or of a Pod happened that the slice was last changed for (RFC 3339).
pub const ANNOTATION_TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// The Service that an EndpointSlice belongs to.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label selector for the watches of Services and EndpointSlices, as kube-proxy has it.
pub const WATCH_SELECTOR: &str = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";

/// An object that no API server would send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("object without metadata.{0}")]
pub struct InputError(&'static str);

/// Namespace and name of an object.
pub fn name_of(meta: &ObjectMeta) -> Result<NamespacedName, InputError> {
    named(meta.namespace.as_deref(), meta.name.as_deref())
}

fn named(namespace: Option<&str>, name: Option<&str>) -> Result<NamespacedName, InputError> {
    let namespace = namespace.ok_or(InputError("namespace"))?;
    let name = name.ok_or(InputError("name"))?;
    Ok(NamespacedName::new(namespace, name))
}

/// Why an object with these labels is not ours, if so.
fn opted_out(meta: &raw::Meta<'_>) -> Option<WhyIgnored> {
    let labels = meta.labels.as_ref()?;
    if labels.other_proxy {
        Some(WhyIgnored::OtherProxy)
    } else if labels.headless {
        Some(WhyIgnored::Headless)
    } else {
        None
    }
}
