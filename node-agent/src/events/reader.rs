//! The task that reads what the programs tell.

use std::{io, sync::Arc, time::Duration};

use kpr_abi::event::Wanted;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::warn;

use super::{Feed, Hub};
use crate::datapath::Events;

/// Between looks at how many events were lost.
const LOOK: Duration = Duration::from_millis(200);
/// As many are passed on before others have their turn.
const AT_ONCE: usize = 1_024;

/// Passes on what is told, for as long as there is a hub.
pub async fn read(hub: Arc<Hub>) {
    let Some(mut news) = hub.reader() else { return };
    let mut wanted = hub.wanted();
    let mut sources = Sources::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(feed) = news.recv() => sources.take(feed, &hub, &wanted),
            Ok(()) = wanted.changed() => sources.want(*wanted.borrow_and_update()),
            () = sources.readable() => sources.pass(&hub),
            _ = look.tick(), if !sources.is_empty() => {
                sources.pass(&hub);
                hub.lose(sources.lost());
            }
        }
    }
}

/// Where events come from: the programs that are attached, and while they are exchanged those before them.
#[derive(Default)]
struct Sources {
    now: Option<Source>,
    before: Vec<Source>,
    /// There are more than were passed on at once.
    more: bool,
}

struct Source {
    events: AsyncFd<Events>,
    lost: u64,
}

fn watched(events: Events) -> io::Result<AsyncFd<Events>> {
    // SAFETY: they own the map whose descriptor this is, and are exchanged for no others.
    let watched = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

impl Sources {
    fn is_empty(&self) -> bool {
        self.now.is_none()
    }

    fn take(&mut self, feed: Feed, hub: &Hub, wanted: &watch::Receiver<Wanted>) {
        match feed {
            Feed::Loaded(events) => match watched(*events) {
                Ok(events) => {
                    self.before.extend(self.now.replace(Source { events, lost: 0 }));
                    self.want(*wanted.borrow());
                }
                Err(error) => hub.fail(&format!("the programs' events cannot be read: {error}")),
            },
            Feed::Attached => {
                self.pass(hub);
                self.before.clear();
                hub.attached(true);
            }
            Feed::Off => {
                self.pass(hub);
                *self = Self::default();
                hub.attached(false);
            }
        }
    }

    fn want(&mut self, wanted: Wanted) {
        for source in self.now.iter_mut().chain(&mut self.before) {
            if let Err(error) = source.events.get_mut().want(wanted) {
                warn!("the programs cannot be told which events are wanted: {error}");
            }
        }
    }

    /// Waits until the programs have told something.
    async fn readable(&self) {
        if self.more {
            return tokio::task::yield_now().await;
        }
        let Some(source) = &self.now else {
            return std::future::pending().await;
        };
        match source.events.readable().await {
            // Read to the end next, or asked again in a moment.
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }

    fn pass(&mut self, hub: &Hub) {
        self.more = false;
        for source in self.before.iter_mut().chain(&mut self.now) {
            let events = source.events.get_mut().by_ref().take(AT_ONCE);
            let passed = events.map(|event| hub.pass(&event)).count();
            self.more |= passed == AT_ONCE;
        }
    }

    /// How many were lost since this was last asked.
    fn lost(&mut self) -> u64 {
        let all = self.before.iter_mut().chain(&mut self.now);
        all.map(|source| {
            let now = source.events.get_ref().lost();
            now - std::mem::replace(&mut source.lost, now)
        })
        .sum()
    }
}
