//! Which pods of a Deployment to make and which to delete. Pure.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::pods;

/// The label that tells the pods of one template from those of another.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

/// One step towards the Deployment's template and number of pods.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Step<'p> {
    /// How many pods of the current template to make.
    pub(super) create: usize,
    /// Which pods to delete.
    pub(super) delete: Vec<&'p Pod>,
}

/// What to do now, given the Deployment's pods.
///
/// A new template comes in with one pod more than wanted and never one ready pod less (`maxSurge: 1`,
/// `maxUnavailable: 0`): old pods go as new ones become ready.
pub(super) fn step<'p>(replicas: usize, template: &str, all: &'p [Pod]) -> Step<'p> {
    let active = all
        .iter()
        .filter(|pod| !pods::is_terminating(pod) && !pods::is_finished(pod));
    let (mut new, mut old): (Vec<&Pod>, Vec<&Pod>) =
        active.partition(|pod| pod.labels().get(TEMPLATE_HASH).is_some_and(|hash| hash == template));
    let surge = usize::from(!old.is_empty());
    let room = (replicas + surge).saturating_sub(new.len() + old.len());
    let create = replicas.saturating_sub(new.len()).min(room);

    let surplus = new.len().saturating_sub(replicas);
    let mut delete = take_least_useful(&mut new, surplus);
    let ready = |pods: &[&Pod]| pods.iter().filter(|pod| pods::is_ready(pod)).count();
    // Old pods that are not ready serve nobody; of the ready ones, as many may go as are ready beyond the number.
    let mut spare = (ready(&new) + ready(&old)).saturating_sub(replicas);
    let unready_room = (new.len() + old.len()).saturating_sub(replicas);
    let count = old.len();
    for pod in take_least_useful(&mut old, count) {
        if pods::is_ready(pod) && spare > 0 {
            spare -= 1;
            delete.push(pod);
        } else if !pods::is_ready(pod) && unready_room > 0 {
            delete.push(pod);
        }
    }
    Step { create, delete }
}

/// Unready pods first, then the youngest.
fn take_least_useful<'p>(pods: &mut Vec<&'p Pod>, count: usize) -> Vec<&'p Pod> {
    pods.sort_by_key(|pod| {
        (
            pods::is_ready(pod),
            std::cmp::Reverse(pod.creation_timestamp()),
            pod.name_any(),
        )
    });
    pods.drain(..count.min(pods.len())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, hash: &str, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {TEMPLATE_HASH: hash}},
            "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
        .expect("a pod")
    }

    fn deleted(step: &Step) -> Vec<String> {
        step.delete.iter().map(|pod| pod.name_any()).collect()
    }

    #[test]
    fn missing_pods_are_made_and_surplus_ones_deleted_unready_first() {
        assert_eq!(step(2, "v1", &[]).create, 2);
        let pods = [pod("a", "v1", true), pod("b", "v1", false), pod("c", "v1", true)];
        let step = step(2, "v1", &pods);
        assert_eq!((step.create, deleted(&step)), (0, vec!["b".to_owned()]));
    }

    #[test]
    fn a_terminating_pod_is_replaced() {
        let mut going = pod("a", "v1", true);
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
        let pods = [going, pod("b", "v1", true)];
        assert_eq!(
            step(2, "v1", &pods),
            Step {
                create: 1,
                delete: vec![]
            }
        );
    }

    #[test]
    fn a_rollout_never_has_fewer_ready_pods_than_wanted() {
        let mut pods = vec![pod("old-1", "v1", true), pod("old-2", "v1", true)];
        assert_eq!(
            step(2, "v2", &pods),
            Step {
                create: 1,
                delete: vec![]
            }
        );
        pods.push(pod("new-1", "v2", false));
        assert_eq!(
            step(2, "v2", &pods),
            Step {
                create: 0,
                delete: vec![]
            }
        );
        pods[2] = pod("new-1", "v2", true);
        let next = step(2, "v2", &pods);
        assert_eq!((next.create, next.delete.len()), (0, 1));
        assert!(deleted(&next)[0].starts_with("old"));
    }

    #[test]
    fn scaling_to_zero_deletes_all() {
        let pods = [pod("a", "v1", true), pod("b", "v1", true)];
        assert_eq!(step(0, "v1", &pods).delete.len(), 2);
    }
}
