//! Tells a Service's owner that its health check port cannot be opened.

use std::io;

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, Resource,
    runtime::events::{Event, EventType, Recorder},
};
use tracing::warn;

use crate::{model::NamespacedName, recorder::recorder, watch::chain};

/// A health check port that could not be opened.
#[derive(Debug)]
pub struct Failure {
    /// Whose port.
    pub service: NamespacedName,
    /// `spec.healthCheckNodePort`.
    pub port: u16,
    /// Why.
    pub error: io::Error,
}

/// Publishes Events about Services.
#[derive(Clone)]
pub struct Events {
    client: Client,
    recorder: Recorder,
    node: String,
}

impl Events {
    /// In the name of the agent of `node`.
    pub fn new(client: Client, node: &str) -> Self {
        Self {
            recorder: recorder(client.clone(), node),
            client,
            node: node.to_owned(),
        }
    }

    /// The Event is kube-proxy's own. One that cannot be published is a pity, no failure.
    pub async fn tell(&self, failure: &Failure) {
        if let Err(error) = self.publish(failure).await {
            warn!(
                "an Event about Service {} cannot be published: {}",
                failure.service,
                chain(&error)
            );
        }
    }

    async fn publish(&self, failure: &Failure) -> Result<(), kube::Error> {
        let Failure { service, port, error } = failure;
        let services: Api<Service> = Api::namespaced(self.client.clone(), &service.namespace);
        // `kubectl describe` finds Events by the object's uid.
        let Some(object) = services.get_opt(&service.name).await? else {
            return Ok(());
        };
        let event = Event {
            type_: EventType::Warning,
            reason: "FailedToStartServiceHealthcheck".to_owned(),
            note: Some(format!(
                "node {} failed to start healthcheck \"{service}\" on port {port}: {error}",
                self.node
            )),
            action: "Listen".to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, &object.object_ref(&())).await
    }
}
