//! Names of objects, and of the parts of objects that users speak of.

use std::{fmt, sync::Arc};

/// Namespace and name of an object. Cheap to clone: names travel with every frontend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl NamespacedName {
    /// A name in a namespace.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// What stands for a Pod, whose hostPorts are served beside Services: `namespace/pod/name`, which no Service can be called.
    #[must_use]
    pub fn of_pod(pod: &Self) -> Self {
        Self::new(Arc::clone(&pod.namespace), format!("{POD}{}", pod.name))
    }

    /// Whether this stands for a Pod.
    pub fn is_pod(&self) -> bool {
        self.name.starts_with(POD)
    }
}

/// No object's name has a slash.
const POD: &str = "pod/";

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One port of a Service, written as kube-proxy does: `namespace/name:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortName {
    /// The Service.
    pub service: NamespacedName,
    /// The port's name; empty for the single port of a Service that does not name it.
    pub port: Arc<str>,
}

impl fmt::Display for ServicePortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)?;
        if self.port.is_empty() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}
