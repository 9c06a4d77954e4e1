//! Does kpr serve what it was asked to?

use std::time::Duration;

use kpr_crds::KubeProxyReplacement;
use kpr_crds::conditions::{self, PolicyCondition};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::PAUSE;
use crate::connect;

/// Why kpr is not found to be well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not answer in time.
    #[error("KubeProxyReplacements can't be listed: {0}")]
    Api(String),
    /// There is nothing to be well.
    #[error("there is no KubeProxyReplacement, so kpr serves no node: create one (`kubectl explain kpr.spec`)")]
    None,
    /// Not available in time.
    #[error("not available within {} s: {}", waited.as_secs(), policies.join("; "))]
    Unavailable {
        /// How long was waited.
        waited: Duration,
        /// Each that isn't, and why.
        policies: Vec<String>,
    },
}

/// Waits until every `KubeProxyReplacement` is Available at its newest generation; a line about each.
pub async fn check(client: Client, timeout: Duration) -> Result<Vec<String>, Error> {
    let policies = Api::<KubeProxyReplacement>::all(client);
    let deadline = Instant::now() + timeout;
    let mut said = String::new();
    loop {
        let error = match policies.list(&ListParams::default()).await {
            Ok(found) => match judge(&found.items, timeout) {
                Ok(lines) => return Ok(lines),
                Err(error) => error,
            },
            Err(error) => Error::Api(connect::causes(&error)),
        };
        if Instant::now() + PAUSE > deadline {
            return Err(error);
        }
        let text = error.to_string();
        if text != said {
            info!("waiting: {text}");
            said = text;
        }
        sleep(PAUSE).await;
    }
}

fn judge(policies: &[KubeProxyReplacement], waited: Duration) -> Result<Vec<String>, Error> {
    if policies.is_empty() {
        return Err(Error::None);
    }
    let (mut well, mut unwell) = (Vec::new(), Vec::new());
    for policy in policies {
        match trouble(policy) {
            None => well.push(praise(policy)),
            Some(why) => unwell.push(format!("{}: {why}", policy.name_any())),
        }
    }
    if unwell.is_empty() {
        Ok(well)
    } else {
        Err(Error::Unavailable {
            waited,
            policies: unwell,
        })
    }
}

fn trouble(policy: &KubeProxyReplacement) -> Option<String> {
    if policy.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    let Some(status) = &policy.status else {
        return Some("no operator has looked at it yet: is one running?".to_owned());
    };
    if status.observed_generation != policy.metadata.generation {
        return Some("the operator has not seen its newest generation yet".to_owned());
    }
    let available = conditions::find(&status.conditions, PolicyCondition::Available.as_str());
    match available {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => Some(format!("{} ({})", condition.message, condition.reason)),
        None => Some("it has no condition Available".to_owned()),
    }
}

fn praise(policy: &KubeProxyReplacement) -> String {
    let status = policy.status.clone().unwrap_or_default();
    format!(
        "{}: Available, mode {}, {} of {} nodes ready",
        policy.name_any(),
        policy.spec.mode.as_str(),
        status.ready_nodes,
        status.desired_nodes
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{at, policy};
    use kpr_crds::KubeProxyReplacementStatus;
    use kpr_crds::conditions::{ConditionStatus, Observation, PolicyReason};

    fn observed(mut policy: KubeProxyReplacement, generation: i64, available: ConditionStatus) -> KubeProxyReplacement {
        let observation = Observation {
            type_: PolicyCondition::Available.as_str(),
            status: available,
            reason: PolicyReason::AsExpected.as_str(),
            message: "1 of 2 nodes serve".to_owned(),
        };
        policy.status = Some(KubeProxyReplacementStatus {
            observed_generation: Some(generation),
            desired_nodes: 2,
            ready_nodes: 2,
            conditions: conditions::apply(&[], vec![observation], None, at(0)),
            ..KubeProxyReplacementStatus::default()
        });
        policy
    }

    fn said(policies: &[KubeProxyReplacement]) -> String {
        judge(policies, Duration::from_secs(5)).map_or_else(|error| error.to_string(), |lines| lines.join("\n"))
    }

    #[test]
    fn what_is_available_at_its_newest_generation_is_well() {
        let well = observed(policy("default").build(), 1, ConditionStatus::True);
        assert_eq!(said(&[well]), "default: Available, mode Strict, 2 of 2 nodes ready");
    }

    #[test]
    fn what_is_not_says_why() {
        let stale = observed(policy("edge").generation(2).build(), 1, ConditionStatus::True);
        assert!(said(&[stale]).contains("edge: the operator has not seen its newest generation yet"));
        let well = observed(policy("default").build(), 1, ConditionStatus::True);
        let down = observed(policy("edge").build(), 1, ConditionStatus::False);
        let text = said(&[well, down]);
        assert!(
            text.starts_with("not available within 5 s: edge: 1 of 2 nodes serve ("),
            "{text}"
        );
        assert!(said(&[policy("new").build()]).contains("no operator has looked at it yet"));
        assert!(said(&[]).starts_with("there is no KubeProxyReplacement"));
    }
}
