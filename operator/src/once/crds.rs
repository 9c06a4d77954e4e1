//! The CRDs, as they were when this operator was built. Helm installs them once and never changes them again, so each version
//! brings its own.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kpr_crds::codegen;
use kpr_crds::names::OPERATOR_MANAGER;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::PAUSE;
use crate::connect;

/// How long a CRD may take to be gone: objects of its kind go first.
const PATIENCE: Duration = Duration::from_mins(1);

/// What could not be done about a CRD.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses, or does not answer.
    #[error("CRD {name} can't be {what}: {cause}")]
    Api {
        /// Which.
        name: String,
        /// What was tried.
        what: &'static str,
        /// Why not.
        cause: String,
    },
    /// Objects of it are still there.
    #[error(
        "CRD {name} is not gone after {} s: objects of it wait for their finalizers (`kubectl get kpr`); is an operator running?",
        PATIENCE.as_secs()
    )]
    NotGone {
        /// Which.
        name: String,
    },
    /// They can't be printed.
    #[error(transparent)]
    Yaml(#[from] codegen::Error),
}

fn failed(name: &str, what: &'static str) -> impl FnOnce(kube::Error) -> Error {
    let name = name.to_owned();
    move |error| Error::Api {
        name,
        what,
        cause: connect::causes(&error),
    }
}

/// Installs the CRDs, or brings them up to date. What somebody else set of the same fields is overwritten.
pub async fn apply(client: Client) -> Result<(), Error> {
    let api = Api::<CustomResourceDefinition>::all(client);
    for crd in codegen::crds() {
        let name = crd.name_any();
        let params = PatchParams::apply(OPERATOR_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&crd))
            .await
            .map_err(failed(&name, "applied"))?;
        info!("CRD {name} is up to date");
    }
    Ok(())
}

/// Deletes the CRDs, and waits until they are gone.
pub async fn delete(client: Client) -> Result<(), Error> {
    let api = Api::<CustomResourceDefinition>::all(client);
    for crd in codegen::crds() {
        let name = crd.name_any();
        match api.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            other => other.map(drop).map_err(failed(&name, "deleted"))?,
        }
        let deadline = Instant::now() + PATIENCE;
        while api.get_opt(&name).await.map_err(failed(&name, "read"))?.is_some() {
            if Instant::now() > deadline {
                return Err(Error::NotGone { name });
            }
            sleep(PAUSE).await;
        }
        info!("CRD {name} is gone");
    }
    Ok(())
}

/// All of them, for `kubectl apply --server-side -f -`.
pub fn yaml() -> Result<String, Error> {
    let files = codegen::files()?;
    let documents: Vec<_> = files.into_iter().map(|(_, content)| content).collect();
    Ok(documents.join("---\n"))
}
