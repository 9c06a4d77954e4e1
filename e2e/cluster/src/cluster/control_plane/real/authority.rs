//! The cluster's own certificate authority, and the keys that it vouches for.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::{super::write_secret, credentials::Subject};
use crate::spec::ClusterSpec;

/// The authority's certificate.
pub(super) const CERTIFICATE: &str = "ca.crt";
/// The API server's certificate and key are called so.
pub(super) const API_SERVER: &str = "kube-apiserver";
/// What tokens of ServiceAccounts are signed with.
pub(super) const SERVICE_ACCOUNT_KEY: &str = "service-accounts.key";
/// Who signs them.
pub(super) const SERVICE_ACCOUNT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The names under which Pods reach the API server.
const SERVICE_NAMES: [&str; 4] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// A certificate authority. Its own key is kept nowhere but here.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

/// Where a certificate and its key are.
pub(super) struct Issued {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    /// A new authority that writes what it issues, and its own certificate, into `directory`.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("kpr-cluster", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        write_secret(&directory.join(CERTIFICATE), &issuer.pem())?;
        Ok(Self {
            issuer,
            directory: directory.to_owned(),
        })
    }

    /// Its certificate, in DER.
    pub(super) fn certificate(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    /// Issues what the API server serves with, and the key of ServiceAccounts' tokens.
    pub(super) fn issue_for_api_server(&self, spec: &ClusterSpec) -> Result<()> {
        let mut names: Vec<String> = SERVICE_NAMES.map(str::to_owned).into();
        names.extend(["localhost", "127.0.0.1"].map(str::to_owned));
        names.extend(spec.service_cidrs.nth(1).iter().map(|address| address.to_string()));
        let first = spec.nodes.first().context("the cluster has no node")?;
        names.extend(first.addresses.iter().map(|address| address.to_string()));
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name(API_SERVER, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(API_SERVER, params)?;
        let tokens = KeyPair::generate()?;
        write_secret(&self.directory.join(SERVICE_ACCOUNT_KEY), &tokens.serialize_pem())
    }

    /// Issues what a client shows the API server.
    pub(super) fn issue_for_client(&self, subject: &Subject) -> Result<Issued> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&subject.user, subject.groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&subject.file, params)
    }

    fn issue(&self, file: &str, mut params: CertificateParams) -> Result<Issued> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = Issued {
            certificate: self.directory.join(format!("{file}.crt")),
            key: self.directory.join(format!("{file}.key")),
        };
        write_secret(&issued.certificate, &certificate.pem())?;
        write_secret(&issued.key, &key.serialize_pem())?;
        Ok(issued)
    }
}

/// A name as the API server reads it: the user, and the groups that they are in.
fn name(user: &str, groups: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    for group in groups {
        name.push(DnType::OrganizationName, *group);
    }
    name
}
