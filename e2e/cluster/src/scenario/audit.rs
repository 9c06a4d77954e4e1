//! What the API server has been asked for, by its audit log.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde::Deserialize;

use crate::cluster::{Cluster, NAMESPACE, RELEASE};

/// One request of a service account.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Response,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    code: u16,
}

impl Request {
    /// Was it refused for want of a right?
    fn denied(&self) -> bool {
        self.response_status.code == 403
    }

    /// Is it of this service account?
    pub(super) fn is_by(&self, account: &str) -> bool {
        self.user.username == format!("system:serviceaccount:{NAMESPACE}:{account}")
    }

    fn resource(&self) -> String {
        let Object {
            resource, subresource, ..
        } = &self.object_ref;
        if subresource.is_empty() {
            resource.clone()
        } else {
            format!("{resource}/{subresource}")
        }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} {}.{} {} by {}: {}",
            self.verb,
            self.resource(),
            self.object_ref.api_group,
            self.object_ref.name,
            self.user.username,
            self.response_status.code
        )
    }
}

/// The requests of kpr's service accounts so far, but for a scenario's own trials with their tokens, which are dry runs.
pub(super) fn requests(cluster: &Cluster) -> Result<Vec<Request>> {
    let log = cluster.audit_log().context("this control plane keeps no audit log")?;
    let text = std::fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    let mut requests = Vec::new();
    for line in text.lines() {
        let request: Request = serde_json::from_str(line).with_context(|| format!("an audit event: {line}"))?;
        if !request.uri.contains("dryRun=")
            && request
                .user
                .username
                .starts_with(&format!("system:serviceaccount:{NAMESPACE}:kpr-"))
        {
            requests.push(request);
        }
    }
    Ok(requests)
}

/// Fails if anybody was refused a request.
pub(super) fn none_denied<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Result<()> {
    let denied: BTreeSet<String> = requests
        .into_iter()
        .filter(|request| request.denied())
        .map(Request::to_string)
        .collect();
    ensure!(denied.is_empty(), "the roles lack rights: {denied:#?}");
    Ok(())
}

/// A right that a role gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    role: String,
    group: String,
    resource: String,
    verb: String,
}

/// The rights of the release's roles, each by itself.
pub(super) async fn rights(cluster: &Cluster) -> Result<BTreeSet<Right>> {
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={RELEASE}"));
    let mut rights = BTreeSet::new();
    let cluster_roles: Api<ClusterRole> = Api::all(cluster.client());
    for role in cluster_roles.list(&ours).await? {
        add(&mut rights, &role.name_any(), role.rules.iter().flatten());
    }
    let roles: Api<Role> = Api::all(cluster.client());
    for role in roles.list(&ours).await? {
        add(&mut rights, &role.name_any(), role.rules.iter().flatten());
    }
    ensure!(!rights.is_empty(), "the release has no roles");
    Ok(rights)
}

fn add<'a>(rights: &mut BTreeSet<Right>, role: &str, rules: impl Iterator<Item = &'a PolicyRule>) {
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    rights.insert(Right {
                        role: role.to_owned(),
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                    });
                }
            }
        }
    }
}

/// Rights that are for what does not happen in a short life: role, resource, verb, and what they are for.
const RARE: [(&str, &str, &str, &str); 5] = [
    (
        "kpr-agent",
        "services",
        "get",
        "an Event about a health check port that can't be opened",
    ),
    ("kpr-agent", "events", "patch", "an Event that happens again"),
    ("kpr-operator-events", "events", "patch", "an Event that happens again"),
    (
        "kpr-operator",
        "nodedatapaths",
        "create",
        "a server-side apply of what is not there, which is a patch in the log",
    ),
    (
        "kpr-operator-kube-proxy",
        "daemonsets",
        "patch",
        "the parking of a kube-proxy",
    ),
];

/// Those of `rights` that nobody has used, though it was time to.
pub(super) fn unused<'a>(rights: &'a BTreeSet<Right>, requests: &[Request]) -> Vec<&'a Right> {
    let used = |right: &&Right| {
        requests.iter().any(|request| {
            request.verb == right.verb
                && request.object_ref.api_group == right.group
                && request.resource() == right.resource
        })
    };
    let rare = |right: &Right| {
        RARE.iter().any(|(role, resource, verb, _why)| {
            right.role == *role && right.resource == *resource && right.verb == *verb
        })
    };
    rights.iter().filter(|right| !used(right) && !rare(right)).collect()
}
