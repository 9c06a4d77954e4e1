//! Programs that tell what they do, while somebody listens.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    super::{Datapath as _, Loader},
    Core, sentence,
};
use crate::{
    datapath::Settings,
    events::{Feed, Hub},
    model::NamespacedName,
};

/// Bytes of events that may wait to be read: some six thousand.
const WAITING: u32 = 1 << 20;

impl<L: Loader> Core<L> {
    /// Those who listen.
    pub fn events(&self) -> Arc<Hub> {
        Arc::clone(&self.events)
    }

    /// Loads programs that tell what they do if somebody listens, and those that have nothing to tell with if nobody does any more.
    pub(super) fn listen(&mut self, now: Instant) {
        let Some(running) = &self.running else { return };
        let wanted = self.events.is_wanted();
        if running.settings.events.is_some() == wanted || !self.events_retry.ready(now) {
            return;
        }
        let settings = Settings {
            events: wanted.then_some(WAITING),
            ..running.settings.clone()
        };
        match self.load(settings, now) {
            Ok(()) => {
                self.events_retry.reset();
                if wanted {
                    info!("somebody listens: programs that tell what they do are swapped in");
                } else {
                    info!("nobody listens any more: programs without events are swapped in");
                }
            }
            Err(failed) => {
                let message = sentence(&failed);
                self.events_retry.failed(now);
                warn!(
                    "the programs cannot be exchanged for those {} events: {message}",
                    if wanted { "with" } else { "without" }
                );
                if wanted {
                    self.events
                        .fail(&format!("programs that tell what they do cannot be loaded: {message}"));
                }
            }
        }
    }

    /// Programs were loaded, which are not on devices yet.
    pub(super) fn tell_of_load(&mut self) {
        let Some(running) = &mut self.running else { return };
        if running.settings.events.is_none() {
            return;
        }
        if let Some(events) = running.datapath.take_events() {
            self.events.feed(Feed::Loaded(Box::new(events)));
        }
        let (index, facts) = (&self.index, &self.facts);
        self.events.name(|names| names.learn_all(index, facts));
    }

    /// Programs are where they belong.
    pub(super) fn tell_of_placement(&mut self) {
        let tell = self
            .running
            .as_ref()
            .is_some_and(|running| running.settings.events.is_some());
        self.events.feed(if tell { Feed::Attached } else { Feed::Off });
    }

    /// Services are served as they now are.
    pub(super) fn tell_of_services(&mut self, changed: &BTreeSet<NamespacedName>) {
        if self.events.is_wanted() && !changed.is_empty() {
            let (index, facts) = (&self.index, &self.facts);
            self.events.name(|names| names.learn(index, facts, changed));
        }
    }
}
