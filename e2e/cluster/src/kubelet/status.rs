//! What a kubelet reports about a pod. Pure.

use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
        HostIP, Pod, PodCondition, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::address::Addresses;

/// Where a pod is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its sandbox is being made; the message says what stands in the way, if anything does.
    Starting(Option<String>),
    /// Its containers run since then; `ready` says whether they want traffic.
    Running {
        /// When they started.
        since: Time,
        /// Whether they want traffic.
        ready: bool,
    },
    /// Its containers ended with this code.
    Ended(i32),
}

/// What goes into the status beside the stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The pod's addresses, once it has them.
    pub pod: Addresses,
    /// Its node's addresses.
    pub host: Addresses,
    /// How often its containers were restarted.
    pub restarts: i32,
}

/// The status of `pod` at time `now`.
pub(super) fn pod_status(pod: &Pod, stage: &Stage, facts: &Facts, now: &Time) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let ready = matches!(stage, Stage::Running { ready: true, .. });
    let started = !matches!(stage, Stage::Starting(_));
    let conditions = [
        ("PodScheduled", true),
        ("Initialized", true),
        ("ContainersReady", ready),
        ("Ready", ready),
    ]
    .map(|(kind, holds)| condition(&old, kind, holds, now));
    PodStatus {
        phase: Some(phase(pod, stage).to_owned()),
        conditions: Some(conditions.into()),
        host_ip: facts.host.primary().map(|ip| ip.to_string()),
        host_ips: Some(facts.host.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: facts.pod.primary().filter(|_| started).map(|ip| ip.to_string()),
        pod_ips: started.then(|| facts.pod.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        start_time: Some(old.start_time.clone().unwrap_or_else(|| now.clone())),
        container_statuses: Some(containers(pod, stage, facts.restarts, now)),
        ..PodStatus::default()
    }
}

fn phase(pod: &Pod, stage: &Stage) -> &'static str {
    match stage {
        Stage::Starting(_) => "Pending",
        Stage::Running { .. } => "Running",
        Stage::Ended(_) if restarts_always(pod) && pod.metadata.deletion_timestamp.is_none() => "Running",
        Stage::Ended(0) => "Succeeded",
        Stage::Ended(_) => "Failed",
    }
}

/// True if the containers of `pod` are started again whenever they end.
pub(super) fn restarts_always(pod: &Pod) -> bool {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    policy.is_none_or(|policy| policy == "Always")
}

/// A condition keeps its transition time for as long as it says the same.
fn condition(old: &PodStatus, kind: &str, holds: bool, now: &Time) -> PodCondition {
    let status = if holds { "True" } else { "False" };
    let before = old
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind);
    let unchanged = before.filter(|condition| condition.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: unchanged
            .and_then(|condition| condition.last_transition_time.clone())
            .or_else(|| Some(now.clone())),
        reason: (!holds).then(|| "ContainersNotReady".to_owned()),
        ..PodCondition::default()
    }
}

fn containers(pod: &Pod, stage: &Stage, restarts: i32, now: &Time) -> Vec<ContainerStatus> {
    let running = matches!(stage, Stage::Running { .. });
    let container_state = match stage {
        Stage::Starting(message) => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some("ContainerCreating".to_owned()),
                message: message.clone(),
            }),
            ..ContainerState::default()
        },
        Stage::Running { since, .. } => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(since.clone()),
            }),
            ..ContainerState::default()
        },
        Stage::Ended(exit_code) => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: *exit_code,
                finished_at: Some(now.clone()),
                reason: Some(if *exit_code == 0 { "Completed" } else { "Error" }.to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
    };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .map(|container| ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            ready: matches!(stage, Stage::Running { ready: true, .. }),
            started: Some(running),
            restart_count: restarts,
            state: Some(container_state.clone()),
            ..ContainerStatus::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{Container, PodSpec},
        jiff::Timestamp,
    };

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("valid"))
    }

    fn pod() -> Pod {
        let container = Container {
            name: "web".to_owned(),
            ..Container::default()
        };
        Pod {
            spec: Some(PodSpec {
                containers: vec![container],
                ..PodSpec::default()
            }),
            ..Pod::default()
        }
    }

    fn facts() -> Facts {
        let (pod, host) = ([10, 244, 0, 2].into(), [192, 168, 49, 2].into());
        Facts {
            pod: Addresses::v4(pod),
            host: Addresses::v4(host),
            restarts: 0,
        }
    }

    fn ready_condition(status: &PodStatus) -> &PodCondition {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "Ready")
            .expect("Ready")
    }

    #[test]
    fn a_running_ready_pod_has_an_address_and_is_ready() {
        let status = pod_status(
            &pod(),
            &Stage::Running {
                since: at(1),
                ready: true,
            },
            &facts(),
            &at(2),
        );
        assert_eq!(status.phase.as_deref(), Some("Running"));
        assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.2"));
        assert_eq!(ready_condition(&status).status, "True");
        assert!(status.container_statuses.expect("one")[0].ready);
    }

    #[test]
    fn a_starting_pod_has_no_address_and_is_not_ready() {
        let status = pod_status(&pod(), &Stage::Starting(None), &facts(), &at(2));
        assert_eq!(
            (status.phase.as_deref(), status.pod_ip.as_deref()),
            (Some("Pending"), None)
        );
        assert_eq!(ready_condition(&status).status, "False");
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let running = Stage::Running {
            since: at(1),
            ready: true,
        };
        let first = pod_status(&pod(), &running, &facts(), &at(2));
        let later = Pod {
            status: Some(first),
            ..pod()
        };
        let again = pod_status(&later, &running, &facts(), &at(3));
        assert_eq!(ready_condition(&again).last_transition_time, Some(at(2)));
        let unready = pod_status(
            &later,
            &Stage::Running {
                since: at(1),
                ready: false,
            },
            &facts(),
            &at(4),
        );
        assert_eq!(ready_condition(&unready).last_transition_time, Some(at(4)));
    }
}
