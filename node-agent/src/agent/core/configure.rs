//! Which configuration is in force: starting, reloading and removing the datapath.

use std::sync::Arc;

use jiff::Timestamp;
use kpr_crds::{NodeDatapathSpec, Phase as Wanted};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{
    super::{Applied, Datapath as _, LoadTrouble, Loader, Troubles, services::DualStack, settings::settings},
    Core, KEEP_APART, Running,
    check::CHECK,
    flows::MayBeOpen,
    sentence,
};
use crate::{
    datapath::{Dsr, Error, HandOver, Report, Settings},
    watch::DatapathObject,
};

impl<L: Loader> Core<L> {
    pub(super) fn take_object(&mut self, object: Option<Box<DatapathObject>>) {
        match (&self.object, &object) {
            (None, None) if self.running.is_none() => {
                info!(
                    "no NodeDatapath {:?} yet: waiting for the operator to write one",
                    self.facts.name
                );
            }
            (Some(_), None) if self.running.is_some() => warn!(
                "the NodeDatapath {:?} is gone without having been drained: its configuration stays in force",
                self.facts.name
            ),
            (old, Some(new)) if old.as_ref().is_none_or(|old| old.generation != new.generation) => {
                // A new generation is a new chance.
                self.load_retry.reset();
                self.place_retry.reset();
                self.remove_retry.reset();
                if !new.unknown_fields.is_empty() {
                    warn!(
                        "this agent does not know {}: the operator is newer; they have no effect here until the agent is updated",
                        new.unknown_fields.join(", ")
                    );
                }
            }
            _ => {}
        }
        self.object = object;
        if self.object.is_none() {
            // It was about a wish that nobody has any more.
            self.troubles.rejected = None;
        }
        self.troubles.orphaned = (self.object.is_none() && self.running.is_some()).then(|| {
            "the NodeDatapath is gone without having been drained; its configuration stays in force".to_owned()
        });
    }

    pub(super) fn configure(&mut self, now: Instant) {
        let Some(object) = &self.object else { return };
        let generation = object.generation;
        match object.spec.phase {
            Wanted::Draining if self.removed != Some(generation) => self.remove(generation, now),
            Wanted::Draining => {}
            Wanted::Active => {
                // An object that was deleted and made anew counts its generations from 1 again.
                let same = |applied: &Applied| applied.generation == generation && *applied.spec == object.spec;
                let is_over =
                    |running: &Running<_>| running.settings.dsr == Dsr::Ending && !self.encapsulated.is_possible();
                let in_force = self.running.as_ref().is_some_and(|running| !is_over(running))
                    && self.applied.as_ref().is_some_and(same);
                if !in_force {
                    let spec = Arc::new(object.spec.clone());
                    self.apply(generation, spec, now);
                }
            }
        }
    }

    /// Brings a configuration into force.
    fn apply(&mut self, generation: i64, spec: Arc<NodeDatapathSpec>, now: Instant) {
        let settings = match settings(&spec, self.memory_bytes) {
            Ok(settings) => self.keeping_events(self.keeping_dsr(settings)),
            Err(refused) => {
                let message = refused.to_string();
                if self.troubles.rejected.as_ref() != Some(&message) {
                    error!("NodeDatapath generation {generation} is not taken: {message}");
                }
                self.troubles.rejected = Some(message);
                return;
            }
        };
        self.troubles.rejected = None;
        if self.running.as_ref().is_none_or(|running| running.settings != settings) {
            if !self.load_retry.ready(now) {
                return;
            }
            if let Err(failed) = self.load(settings, now) {
                self.load_retry.failed(now);
                let trouble = load_trouble(&failed);
                if self.tasks.load.failed(Timestamp::now(), &trouble.message) {
                    error!("the datapath cannot be loaded: {}", trouble.message);
                }
                self.troubles.load = Some(trouble);
                return;
            }
            self.load_retry.reset();
            self.tasks.load.succeeded(Timestamp::now());
            self.troubles.load = None;
        }
        info!(
            policy = spec.policy,
            generation = spec.policy_generation,
            "configuration is in force"
        );
        self.removed = None;
        self.troubles.removal = None;
        if let Some(running) = &mut self.running {
            // What becomes of kube-proxy's rules may be something else now.
            running.apart_due = now;
            let counts = &spec.metrics.per_service;
            let limit = counts.enabled.then_some(counts.max_service_ports as usize);
            running.services.limit_counted(limit, &running.datapath);
        }
        self.applied = Some(Applied { generation, spec });
        self.update_facts();
        self.report_stale = true;
    }

    /// Flows keep their way to the backend: what has DSR goes on with it.
    fn keeping_dsr(&self, mut settings: Settings) -> Settings {
        if settings.dsr == Dsr::Off && self.encapsulated.is_possible() {
            settings.dsr = Dsr::Ending;
        }
        settings
    }

    /// Whether somebody listens is no matter of the configuration.
    fn keeping_events(&self, mut settings: Settings) -> Settings {
        settings.events = self.running.as_ref().and_then(|running| running.settings.events);
        settings
    }

    /// Loads programs, or swaps them for ones with other settings.
    pub(super) fn load(&mut self, settings: Settings, now: Instant) -> Result<(), Error> {
        let mut datapath = self.loader.start(&settings)?;
        let running = match self.running.take() {
            Some(old) => {
                // The maps stay, so what is known of them stays true; the new datapath reads them for its own book-keeping.
                if let Err(failed) = old.services.show(&mut datapath) {
                    self.running = Some(old);
                    return Err(failed);
                }
                Running {
                    writes_before: old.writes_before + old.datapath.report().map_writes,
                    datapath,
                    settings,
                    placement: None,
                    ..old
                }
            }
            None => Running {
                services: DualStack::restore(&mut datapath, now)?,
                from_pods: MayBeOpen::new(datapath.serves_pods()),
                datapath,
                settings,
                complete: false,
                taking_over: true,
                apart: true,
                apart_due: now + KEEP_APART,
                placement: None,
                check_due: now + CHECK,
                frontends_gone: 0,
                lingering: MayBeOpen::new(true),
                writes_before: 0,
            },
        };
        let settings = &running.settings;
        self.sweeper.on(settings.snat_ports.count(), settings.least_connections);
        self.running = Some(running);
        self.exhaustion.forget();
        self.troubles.exhausted = None;
        self.tell_of_load();
        Ok(())
    }

    fn remove(&mut self, generation: i64, now: Instant) {
        if !self.remove_retry.ready(now) {
            return;
        }
        info!("removing the datapath from this node");
        if let Some(running) = &mut self.running {
            match running.datapath.hand_over() {
                Ok(None) => {}
                Ok(Some(HandOver { given, refused })) => {
                    info!(
                        given,
                        refused, "flows were handed over to netfilter, for kube-proxy's rules"
                    );
                }
                Err(failed) => warn!(
                    "flows from outside to Services are cut, because they cannot be handed over to netfilter: {}",
                    sentence(&failed)
                ),
            }
        }
        // The process lets go of maps and programs first: what is unpinned then is gone.
        self.running = None;
        self.sockets.off();
        self.sockets_settled = None;
        self.sweeper.off();
        self.exhaustion.forget();
        match self.loader.remove() {
            Ok(()) => {
                info!("the datapath is removed: no program, pin or sysctl of kpr is left on this node");
                self.remove_retry.reset();
                self.removed = Some(generation);
                self.encapsulated = MayBeOpen::new(false);
                self.applied = self.object.as_ref().map(|object| Applied {
                    generation,
                    spec: Arc::new(object.spec.clone()),
                });
                self.troubles = Troubles::default();
                self.cleared = None;
                self.report = Report::default();
                self.behind_since = None;
                self.health_checks = Arc::default();
            }
            Err(failed) => {
                let message = sentence(&failed);
                if self.troubles.removal.as_ref() != Some(&message) {
                    error!("the datapath cannot be removed: {message}");
                }
                self.troubles.removal = Some(message);
                self.remove_retry.failed(now);
            }
        }
    }
}

/// Trying again does not help where the machine lacks something, but costs little: someone may mount what is missing.
fn load_trouble(failed: &Error) -> LoadTrouble {
    LoadTrouble {
        machine: matches!(
            failed,
            Error::NoBtf | Error::NotCgroup2 { .. } | Error::NotBpffs { .. } | Error::Privileges | Error::NoObject
        ),
        message: sentence(failed),
    }
}
