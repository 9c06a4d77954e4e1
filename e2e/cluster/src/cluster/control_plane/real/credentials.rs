//! Who is who towards a real API server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use http::header::{HeaderValue, USER_AGENT};
use kube::Config;
use serde_json::{Value, json};

use super::{
    super::{Identity, write_secret},
    Program,
    authority::{self, Authority},
};

/// A user of the API, as certificates name them.
pub(super) struct Subject {
    /// The name of their files.
    pub(super) file: String,
    pub(super) user: String,
    pub(super) groups: &'static [&'static str],
}

impl Subject {
    fn of(identity: Identity<'_>) -> Self {
        match identity {
            Identity::Scenario | Identity::Controllers => Self::administrator(),
            Identity::Kubelet(node) => Self {
                file: format!("kubelet-{node}"),
                user: format!("system:node:{node}"),
                groups: &["system:nodes"],
            },
            Identity::KubeProxy(node) => Self {
                file: format!("kube-proxy-{node}"),
                user: "system:kube-proxy".to_owned(),
                groups: &[],
            },
        }
    }

    fn administrator() -> Self {
        Self {
            file: "administrator".to_owned(),
            user: "kubernetes-admin".to_owned(),
            groups: &["system:masters"],
        }
    }

    fn component(program: Program) -> Self {
        Self {
            file: program.name().to_owned(),
            user: format!("system:{}", program.name()),
            groups: &[],
        }
    }
}

/// Makes clients and kubeconfigs.
pub(super) struct Credentials {
    authority: Authority,
    directory: PathBuf,
    /// Where this process reaches the API server.
    here: SocketAddr,
    /// Where the nodes do.
    nodes: SocketAddr,
}

impl Credentials {
    pub(super) fn new(authority: Authority, directory: &Path, here: SocketAddr, nodes: SocketAddr) -> Self {
        Self {
            authority,
            directory: directory.to_owned(),
            here,
            nodes,
        }
    }

    /// Settings of a client in this process.
    pub(super) fn config(&self, identity: Identity<'_>) -> Result<Config> {
        let issued = self.authority.issue_for_client(&Subject::of(identity))?;
        let mut config = Config::new(url(self.here).parse()?);
        config.root_cert = Some(vec![self.authority.certificate()]);
        config.auth_info.client_certificate = Some(issued.certificate.display().to_string());
        config.auth_info.client_key = Some(issued.key.display().to_string());
        // As in the client of the in-memory one: whoever asks sees what the server said.
        config.default_retry = false;
        config.headers = vec![(USER_AGENT, HeaderValue::from_str(&identity.agent())?)];
        Ok(config)
    }

    /// Settings of a client in this process that shows this token and nothing else.
    pub(super) fn config_with_token(&self, token: &str) -> Result<Config> {
        let mut config = Config::new(url(self.here).parse()?);
        config.root_cert = Some(vec![self.authority.certificate()]);
        config.auth_info.token = Some(token.to_owned().into());
        Ok(config)
    }

    /// Writes the administrator's kubeconfigs, for this machine and for the nodes.
    pub(super) fn write_administrators(&self, here: &Path, nodes: &Path) -> Result<()> {
        self.write(&Subject::administrator(), self.here, here)?;
        self.write(&Subject::administrator(), self.nodes, nodes)
    }

    /// Writes the kubeconfig of a program of the control plane.
    pub(super) fn write_component(&self, program: Program) -> Result<()> {
        let path = self.directory.join(kubeconfig(program));
        self.write(&Subject::component(program), self.nodes, &path)
    }

    fn write(&self, subject: &Subject, server: SocketAddr, path: &Path) -> Result<()> {
        let issued = self.authority.issue_for_client(subject)?;
        let user = json!({"client-certificate": issued.certificate, "client-key": issued.key});
        let text = document(server, &self.directory.join(authority::CERTIFICATE), &user);
        write_secret(path, &text).context("write a kubeconfig")
    }
}

/// The name of the kubeconfig of a program of the control plane.
pub(super) fn kubeconfig(program: Program) -> String {
    format!("{}.kubeconfig", program.name())
}

fn url(server: SocketAddr) -> String {
    format!("https://{server}")
}

/// A kubeconfig (it is JSON, which is YAML).
fn document(server: SocketAddr, authority: &Path, user: &Value) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kpr", "cluster": {"server": url(server), "certificate-authority": authority}}],
        "users": [{"name": "kpr", "user": user}],
        "contexts": [{"name": "kpr", "context": {"cluster": "kpr", "user": "kpr", "namespace": "default"}}],
        "current-context": "kpr",
    });
    format!("{config:#}\n")
}
