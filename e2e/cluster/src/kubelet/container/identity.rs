//! A pod's service account: its token, bound to the pod, and what is mounted beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use serde_json::json;

/// The ConfigMap of each namespace with the API server's CA.
const ROOT_CA: &str = "kube-root-ca.crt";

/// What a pod is told about the API.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// With the files `token`, `ca.crt` and `namespace`; not there if the pod wants none.
    pub(super) directory: PathBuf,
    /// Address and port of the Service `kubernetes`.
    pub(super) kubernetes: Option<(String, String)>,
}

/// Asks for a token for the pod and writes it down, unless the pod wants none.
pub(super) async fn write(client: &Client, pod: &Pod, directory: &Path) -> Result<Identity> {
    let identity = Identity {
        directory: directory.to_owned(),
        kubernetes: kubernetes(client).await?,
    };
    let namespace = pod.namespace().unwrap_or_default();
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    if spec.automount_service_account_token == Some(false) {
        return Ok(identity);
    }
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    let token = token(client, pod, &namespace, account)
        .await
        .with_context(|| format!("ask for a token of the service account {namespace}/{account}"))?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let ca = maps.get(ROOT_CA).await.context("read the API server's CA")?;
    let ca = ca.data.unwrap_or_default().remove("ca.crt").unwrap_or_default();
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    for (name, content) in [("token", &token), ("ca.crt", &ca), ("namespace", &namespace)] {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(identity)
}

async fn token(client: &Client, pod: &Pod, namespace: &str, account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request: TokenRequest = serde_json::from_value(json!({"spec": {
        "audiences": [],
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid()},
    }}))?;
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    let token = answer.status.and_then(|status| status.token);
    token.context("the answer has no token")
}

async fn kubernetes(client: &Client) -> Result<Option<(String, String)>> {
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let service = services
        .get_opt("kubernetes")
        .await
        .context("read the Service kubernetes")?;
    let spec = service.and_then(|service| service.spec).unwrap_or_default();
    let port = spec.ports.unwrap_or_default().first().map(|port| port.port.to_string());
    Ok(spec.cluster_ip.zip(port))
}
