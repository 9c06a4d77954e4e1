//! What frontends are called in Kubernetes. Maps hold no names: the agent tells them, while it runs.

use std::{collections::HashMap, net::SocketAddr};

use super::args::Place;
use crate::observe::{self, ClientError, api::FrontendName};

/// Names by frontend.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(HashMap<(SocketAddr, String), Name>);

/// The port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `namespace/name`; of a Pod with a hostPort, `namespace/pod/name`.
    pub service: String,
    /// Name of the port; empty for the only one of a Service that does not name it.
    pub port: String,
}

impl Names {
    /// Asks the agent. An error is why it can't be asked.
    pub(super) async fn ask(place: &Place) -> Result<Self, ClientError> {
        Ok(observe::get_frontends(&place.run_dir).await?.into_iter().collect())
    }

    /// The same; without an agent that can be asked, tells so on the standard error and knows none.
    pub(super) async fn ask_or_tell(place: &Place) -> Self {
        Self::ask(place).await.unwrap_or_else(|error| {
            anstream::eprintln!("kpr: names of Services are left out, since only the agent knows them: {error}");
            Self::default()
        })
    }

    /// What the frontend is called; none if nobody has said.
    pub(super) fn of(&self, frontend: SocketAddr, protocol: &str) -> Option<&Name> {
        self.0.get(&(frontend, protocol.to_owned()))
    }
}

impl Name {
    /// As kube-proxy writes it: `namespace/name:port`, without a port that has no name.
    pub(super) fn shown(&self) -> String {
        match self.port.as_str() {
            "" => self.service.clone(),
            port => format!("{}:{port}", self.service),
        }
    }
}

impl FromIterator<FrontendName> for Names {
    fn from_iter<I: IntoIterator<Item = FrontendName>>(told: I) -> Self {
        let names = told.into_iter().map(|told| {
            let FrontendName {
                frontend,
                protocol,
                service,
                port,
            } = told;
            ((frontend, protocol), Name { service, port })
        });
        Self(names.collect())
    }
}
