//! What frontends are called in Kubernetes, and which addresses Pods have.

use super::{super::Loader, Core};
use crate::{
    model::NamespacedName,
    observe::{NameQuestion, api::FrontendName},
};

impl<L: Loader> Core<L> {
    /// Answers. Who asked may be gone.
    pub fn answer(&self, question: NameQuestion) {
        match question {
            NameQuestion::Frontends(answer) => drop(answer.send(self.frontend_names())),
            NameQuestion::Pod(name, answer) => {
                let addresses = self.index.pod_addresses(&NamespacedName::of_pod(&name));
                drop(answer.send(addresses.to_vec()));
            }
        }
    }

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
