//! Drives one watch: events in, changes and reports out.

use std::{pin::pin, time::Duration};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::{
    WatchStreamExt,
    watcher::{self, Event},
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{
    ApiServer, Change,
    gate::Gate,
    list::{Follower, Listed, Lister, Named},
};
use crate::observe::Task;

/// A watch that failed and then says nothing for this long is well again: an interrupted watch that is resumed has no
/// event of its own. Longer than the longest pause between attempts (30 s).
const QUIET: Duration = Duration::from_secs(45);

/// `410 Gone`: the API server no longer has the changes since our last one; the watcher lists again by itself.
const GONE: u16 = 410;

type Item<K> = Result<Event<K>, watcher::Error>;

/// Where a watch says how it is doing.
pub(super) struct Report {
    task: Task,
    api_server: ApiServer,
}

impl Report {
    /// `task`: the watch's entry in the list of background tasks.
    pub(super) fn new(task: Task, api_server: ApiServer) -> Self {
        Self { task, api_server }
    }

    fn succeeded(&self) {
        let was_failing = self.task.is_failing();
        self.task.succeeded(Timestamp::now());
        if was_failing {
            info!("{} works again", self.task.name());
        }
    }

    fn failed(&self, error: &watcher::Error) {
        if is_gone(error) {
            debug!("{}: {error}; listing again", self.task.name());
            return;
        }
        let news = self.task.failed(Timestamp::now(), &chain(error));
        if answered(error) {
            // The API server is there and refuses: that is this watch's own trouble.
            if news {
                warn!("{} fails and is tried again: {}", self.task.name(), chain(error));
            }
        } else {
            self.api_server.doubt();
        }
    }
}

/// Watches a kind with many objects.
pub(super) async fn lists<K: Listed>(
    events: impl Stream<Item = Item<K>> + Send,
    gate: Gate,
    report: Report,
    changes: mpsc::Sender<Change>,
) {
    let mut lister = Lister::<K>::default();
    let name = report.task.name();
    let take = move |event| {
        let is_whole_list = matches!(event, Event::InitDone);
        let change = lister.on(event).unwrap_or_else(|error| {
            warn!("{name}: ignored an {error}");
            None
        });
        // The list itself goes first, so that whoever hears "synced" has all of it.
        let synced = (is_whole_list && gate.complete(K::KIND)).then_some(Change::Synced);
        [change, synced]
    };
    drive(events, report, changes, take).await;
}

/// Watches one object.
pub(super) async fn one<K: Named>(
    events: impl Stream<Item = Item<K>> + Send,
    report: Report,
    changes: mpsc::Sender<Change>,
) {
    let mut follower = Follower::default();
    drive(events, report, changes, move |event| [follower.on(event), None]).await;
}

/// Until the stream ends or nobody listens any more.
async fn drive<K: kube::Resource + Clone>(
    events: impl Stream<Item = Item<K>> + Send,
    report: Report,
    changes: mpsc::Sender<Change>,
    mut take: impl FnMut(Event<K>) -> [Option<Change>; 2] + Send,
) {
    let mut events = pin!(events.default_backoff());
    loop {
        let item = if report.task.is_failing() {
            tokio::time::timeout(QUIET, events.next()).await
        } else {
            Ok(events.next().await)
        };
        match item {
            Ok(Some(Ok(event))) => {
                // `Init` only says that a list will be tried.
                if !matches!(event, Event::Init) {
                    report.succeeded();
                }
                for change in take(event).into_iter().flatten() {
                    if changes.send(change).await.is_err() {
                        return;
                    }
                }
            }
            Ok(Some(Err(error))) => report.failed(&error),
            Ok(None) => return,
            Err(_quiet) => report.succeeded(),
        }
    }
}

fn is_gone(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return matches!(error, watcher::Error::WatchError(status) if status.code == GONE);
    };
    matches!(error, kube::Error::Api(status) if status.code == GONE)
}

/// Whether the API server answered, and the answer was not what we asked for.
fn answered(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => true,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            matches!(error, kube::Error::Api(_) | kube::Error::SerdeError(_))
        }
    }
}

/// The error and what caused it, without saying anything twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
