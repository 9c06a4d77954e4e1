//! The command lines of the control plane's programs.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{
    super::endpoint,
    Program,
    authority::{self, API_SERVER, SERVICE_ACCOUNT_ISSUER},
    credentials,
};
use crate::testbed::Testbed;

/// Where etcd listens, on the first node's loopback.
const ETCD: &str = "http://127.0.0.1:2379";

/// The API server's audit log, in its directory.
pub(super) const AUDIT_LOG: &str = "audit.log";
const AUDIT_POLICY: &str = "audit-policy.json";

/// Writes what the API server writes down: who of the service accounts of kube-system asks for what, and what came of it.
pub(super) fn write_audit_policy(directory: &Path) -> Result<()> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "Metadata", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "None"},
        ],
    });
    let path = directory.join(AUDIT_POLICY);
    std::fs::write(&path, policy.to_string()).with_context(|| format!("write {}", path.display()))
}

/// The arguments of `program`, whose files are in `directory`.
pub(super) fn of(program: Program, directory: &Path, testbed: &Testbed) -> Result<Vec<String>> {
    let file = |name: &str| directory.join(name).display().to_string();
    Ok(match program {
        Program::Etcd => vec![
            format!("--data-dir={}", file("etcd")),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            // Nothing of it is to outlive a crash of the machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ],
        Program::ApiServer => api_server(directory, testbed)?,
        Program::ControllerManager => vec![
            format!("--kubeconfig={}", file(&credentials::kubeconfig(program))),
            "--use-service-account-credentials".to_owned(),
            format!(
                "--service-account-private-key-file={}",
                file(authority::SERVICE_ACCOUNT_KEY)
            ),
            format!("--root-ca-file={}", file(authority::CERTIFICATE)),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            // A test makes in seconds what a cluster sees in minutes.
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ],
        Program::Scheduler => vec![
            format!("--kubeconfig={}", file(&credentials::kubeconfig(program))),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ],
    })
}

fn api_server(directory: &Path, testbed: &Testbed) -> Result<Vec<String>> {
    let file = |name: &str| directory.join(name).display().to_string();
    let endpoint = endpoint(testbed)?;
    let cidrs = testbed.spec().service_cidrs.iter();
    let cidrs = cidrs.map(|cidr| cidr.to_string()).collect::<Vec<_>>().join(",");
    let first = testbed.hosts().first().context("the cluster has no node")?;
    Ok(vec![
        format!("--etcd-servers={ETCD}"),
        format!("--bind-address={}", endpoint.ip()),
        format!("--advertise-address={}", endpoint.ip()),
        format!("--secure-port={}", endpoint.port()),
        format!("--external-hostname={}", first.spec.name),
        format!("--service-cluster-ip-range={cidrs}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        // As kubeadm has it, beside the defaults, of which ValidatingAdmissionPolicy is one.
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged".to_owned(),
        format!("--audit-policy-file={}", file(AUDIT_POLICY)),
        format!("--audit-log-path={}", file(AUDIT_LOG)),
        format!("--client-ca-file={}", file(authority::CERTIFICATE)),
        format!("--tls-cert-file={}", file(&format!("{API_SERVER}.crt"))),
        format!("--tls-private-key-file={}", file(&format!("{API_SERVER}.key"))),
        format!("--service-account-issuer={SERVICE_ACCOUNT_ISSUER}"),
        format!(
            "--service-account-key-file={}",
            file(authority::SERVICE_ACCOUNT_PUBLIC_KEY)
        ),
        format!(
            "--service-account-signing-key-file={}",
            file(authority::SERVICE_ACCOUNT_KEY)
        ),
    ])
}
