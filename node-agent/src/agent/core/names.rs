//! What frontends are called in Kubernetes.

use super::{super::Loader, Core};
use crate::observe::api::FrontendName;

impl<L: Loader> Core<L> {
    /// Every frontend that Services, and Pods with hostPorts, have here, whether it is programmed yet or not.
    pub fn frontend_names(&self) -> Vec<FrontendName> {
        let owners = self.index.owners(self.facts.kinds);
        owners
            .map(|owner| FrontendName {
                frontend: owner.frontend,
                protocol: owner.protocol.to_string(),
                service: owner.port.service.to_string(),
                port: owner.port.port.as_ref().to_owned(),
            })
            .collect()
    }
}
