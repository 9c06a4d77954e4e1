//! The Lease by which one of several operators is the leader.
//!
//! A leader that could not renew for [`Timing::renew_deadline`] has lost: it must stop writing at once and exit, which
//! leaves the rest of [`Timing::duration`] before anyone else may begin.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kpr_crds::names::OPERATOR_LEASE;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use crate::election::{Candidate, Record, Step};

/// How long a Lease is valid, and how often it is renewed. Defaults are those of Kubernetes' own components.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Others may take the Lease this long after its last change.
    pub duration: Duration,
    /// The leader gives up this long after its last renewal; less than `duration`.
    pub renew_deadline: Duration,
    /// Time between two tries; less than `renew_deadline`.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Our side of the Lease.
pub struct Elector {
    leases: Api<Lease>,
    identity: String,
    timing: Timing,
    candidate: Candidate,
    /// The Lease as we wrote it last: as long as nobody else writes it, a renewal needs no look at it before.
    held: Option<Lease>,
}

/// Why a try to take or renew the Lease failed.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("it is held by {0}")]
    Held(String),
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl Elector {
    /// A candidate of this name for the Lease in this namespace.
    pub fn new(client: Client, namespace: &str, identity: &str, timing: Timing) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            timing,
            candidate: Candidate::new(identity),
            held: None,
        }
    }

    /// Waits until we are the leader. Errors of the API are logged, and the next try made; cancel it by dropping it.
    pub async fn acquire(&mut self) {
        info!(identity = %self.identity, lease = OPERATOR_LEASE, "waiting to become the leader");
        let mut said = String::new();
        loop {
            match self.try_once().await {
                Ok(()) => break,
                Err(error) => {
                    // Said once, not at each try.
                    let text = error.to_string();
                    if text == said {
                        debug!("not the leader: {text}");
                    } else {
                        info!("not the leader: {text}");
                        said = text;
                    }
                }
            }
            sleep(self.timing.retry).await;
        }
        info!(identity = %self.identity, "this operator is the leader");
    }

    /// Renews the Lease until that fails for [`Timing::renew_deadline`], or someone else has it: then it returns.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            sleep(self.timing.retry).await;
            let deadline = renewed + self.timing.renew_deadline;
            let started = Instant::now();
            match timeout_at(deadline, self.try_once()).await {
                // Counted from before the request: when the server took it in, we can't know.
                Ok(Ok(())) => renewed = started,
                Ok(Err(TryError::Held(holder))) => {
                    warn!("the lease was taken by {holder}");
                    return;
                }
                Ok(Err(TryError::Api(error))) if started < deadline => warn!("the lease could not be renewed: {error}"),
                _ => return,
            }
        }
    }

    /// Gives the Lease back, so that another operator can go on at once.
    pub async fn release(self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.leases.get_opt(OPERATOR_LEASE).await? else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.leases
            .replace(OPERATOR_LEASE, &PostParams::default(), &lease)
            .await?;
        info!("the lease is released");
        Ok(())
    }

    /// Takes or renews the Lease, if that may be done.
    async fn try_once(&mut self) -> Result<(), TryError> {
        if let Some(held) = self.held.take() {
            match self.write(Step::Renew, held).await {
                // Somebody wrote it in between, or it is gone: look first.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                written => return Ok(written?),
            }
        }
        let Some(lease) = self.leases.get_opt(OPERATOR_LEASE).await? else {
            return Ok(self.create().await?);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let record = record(&spec, lease.metadata.resource_version.as_deref());
        match self.candidate.step(record, Instant::now()) {
            Step::Wait(_) => Err(TryError::Held(spec.holder_identity.unwrap_or_default())),
            step => Ok(self.write(step, lease).await?),
        }
    }

    async fn create(&mut self) -> Result<(), kube::Error> {
        let metadata = ObjectMeta {
            name: Some(OPERATOR_LEASE.to_owned()),
            ..ObjectMeta::default()
        };
        let first = LeaseSpec {
            lease_transitions: Some(-1),
            ..LeaseSpec::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(self.spec(Step::Acquire, &first)),
        };
        self.held = Some(self.leases.create(&PostParams::default(), &lease).await?);
        Ok(())
    }

    /// With the resourceVersion that we read or wrote: if anyone wrote in between, this is refused (409).
    async fn write(&mut self, step: Step, mut lease: Lease) -> Result<(), kube::Error> {
        lease.spec = Some(self.spec(step, &lease.spec.unwrap_or_default()));
        let written = self
            .leases
            .replace(OPERATOR_LEASE, &PostParams::default(), &lease)
            .await?;
        self.held = Some(written);
        Ok(())
    }

    fn spec(&self, step: Step, old: &LeaseSpec) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let acquired = step == Step::Acquire;
        let transitions = old.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(whole_seconds(self.timing.duration)),
            acquire_time: if acquired {
                now.clone()
            } else {
                old.acquire_time.clone()
            },
            renew_time: now,
            lease_transitions: Some(if acquired {
                transitions.saturating_add(1)
            } else {
                transitions
            }),
            ..old.clone()
        }
    }
}

fn record(spec: &LeaseSpec, version: Option<&str>) -> Record {
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(0);
    Record {
        holder: spec.holder_identity.clone().filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds),
        version: version.unwrap_or_default().to_owned(),
    }
}

/// The API takes whole seconds, at least one: rounded up, so that others never begin too early.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds.max(1)).unwrap_or(i32::MAX)
}
