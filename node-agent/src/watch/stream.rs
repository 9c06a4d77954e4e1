//! Drives one watch: events in, changes and reports out.

use std::{pin::pin, time::Duration};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::{
    utils::Backoff,
    watcher::{self, DefaultBackoff, Event},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{
    ApiServer, Change,
    gate::Gate,
    list::{Follower, Listed, Lister, Named},
};
use crate::observe::Task;

/// A watch that was tried again and says nothing for this long is well again: an interrupted watch that is resumed has no
/// event of its own. Longer than it takes to find out that nobody answers (the connect time-out).
const QUIET: Duration = Duration::from_secs(15);

/// The longest pause between attempts.
const LONG: Duration = Duration::from_secs(30);

/// `410 Gone`: the API server no longer has the changes since our last one; the watcher lists again by itself.
const GONE: u16 = 410;

type Item<K> = Result<Event<K>, watcher::Error>;

/// Where a watch says how it is doing.
pub(super) struct Report {
    task: Task,
    api_server: ApiServer,
    /// A warning of this watch's own is in the log, to be taken back once it works again.
    warned: bool,
}

impl Report {
    /// `task`: the watch's entry in the list of background tasks.
    pub(super) fn new(task: Task, api_server: ApiServer) -> Self {
        Self {
            task,
            api_server,
            warned: false,
        }
    }

    fn succeeded(&mut self) {
        self.task.succeeded(Timestamp::now());
        if std::mem::take(&mut self.warned) {
            info!("{} works again", self.task.name());
        }
    }

    fn failed(&mut self, error: &watcher::Error) {
        if is_gone(error) {
            debug!("{}: {error}; listing again", self.task.name());
            return;
        }
        let message = chain(error);
        let news = self.task.failed(Timestamp::now(), &message);
        if !answered(error) {
            // Said once for all watches by whoever asks how the API server is.
            self.api_server.doubt();
        } else if news {
            warn!("{} fails and is tried again: {message}", self.task.name());
            self.warned = true;
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
pub(super) async fn drive<K: kube::Resource + Clone>(
    events: impl Stream<Item = Item<K>> + Send,
    mut report: Report,
    changes: mpsc::Sender<Change>,
    mut take: impl FnMut(Event<K>) -> [Option<Change>; 2] + Send,
) {
    let mut events = pin!(events);
    let mut pauses = DefaultBackoff::default();
    loop {
        let item = if report.task.is_failing() {
            timeout(QUIET, events.next()).await
        } else {
            Ok(events.next().await)
        };
        match item {
            Ok(Some(Ok(event))) => {
                // `Init` only says that a list will be tried.
                if !matches!(event, Event::Init) {
                    pauses.reset();
                    report.succeeded();
                }
                for change in take(event).into_iter().flatten() {
                    if changes.send(change).await.is_err() {
                        return;
                    }
                }
            }
            Ok(Some(Err(error))) => {
                report.failed(&error);
                // The watcher does nothing until it is polled again. An API server that is back is not made to wait.
                tokio::select! {
                    () = sleep(pauses.next().unwrap_or(LONG)) => {}
                    () = report.api_server.recovered() => {}
                    () = changes.closed() => return,
                }
            }
            Ok(None) => return,
            Err(_quiet) => {
                pauses.reset();
                report.succeeded();
            }
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
    // The name of a layer of the client tells users nothing.
    text.replace("ServiceError: ", "")
}

#[cfg(test)]
mod tests {
    use futures::{
        channel::mpsc::{UnboundedSender, unbounded},
        stream,
    };
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::Status;

    use super::*;
    use crate::{
        model::input::{ServiceInput, SliceInput},
        observe::Tasks,
        watch::trimmed::Trimmed,
    };

    fn report(tasks: &Tasks, name: &'static str) -> Report {
        Report::new(tasks.register(name), ApiServer::new("http://192.168.49.2:8443/".into()))
    }

    fn refused(code: u16) -> watcher::Error {
        watcher::Error::WatchError(Box::new(Status {
            code,
            ..Status::default()
        }))
    }

    /// A watch of Services that is fed by hand.
    fn watch(
        tasks: &Tasks,
        gate: &Gate,
        changes: &mpsc::Sender<Change>,
    ) -> UnboundedSender<Item<Trimmed<ServiceInput>>> {
        let (feed, events) = unbounded();
        let report = report(tasks, "watch-services");
        tokio::spawn(lists(events, gate.clone(), report, changes.clone()));
        feed
    }

    #[tokio::test(start_paused = true)]
    async fn synced_follows_the_last_of_all_lists() {
        let (changes, mut seen) = mpsc::channel(16);
        let (tasks, gate) = (Tasks::default(), Gate::default());
        let services = watch(&tasks, &gate, &changes);
        services.unbounded_send(Ok(Event::Init)).unwrap();
        services.unbounded_send(Ok(Event::InitDone)).unwrap();
        assert_eq!(seen.recv().await, Some(Change::Services(Vec::new())));

        let whole: [Item<Trimmed<SliceInput>>; 2] = [Ok(Event::Init), Ok(Event::InitDone)];
        let slices = lists(
            stream::iter(whole),
            gate.clone(),
            report(&tasks, "watch-endpointslices"),
            changes.clone(),
        );
        slices.await;
        assert_eq!(seen.recv().await, Some(Change::Slices(Vec::new())));
        let whole: [Item<Pod>; 2] = [Ok(Event::Init), Ok(Event::InitDone)];
        let pods = lists(stream::iter(whole), gate, report(&tasks, "watch-pods"), changes);
        Box::pin(pods).await;
        assert_eq!(seen.recv().await, Some(Change::Pods(Vec::new())));
        assert_eq!(seen.recv().await, Some(Change::Synced));

        // Listed again: replaced, and not synced once more.
        services.unbounded_send(Ok(Event::Init)).unwrap();
        services.unbounded_send(Ok(Event::InitDone)).unwrap();
        assert_eq!(seen.recv().await, Some(Change::Services(Vec::new())));
        drop(services);
        assert_eq!(seen.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_sends_nothing_waits_and_is_well_again_when_nothing_follows() {
        let (changes, mut seen) = mpsc::channel(16);
        let tasks = Tasks::default();
        let feed = watch(&tasks, &Gate::default(), &changes);
        feed.unbounded_send(Err(refused(403))).unwrap();
        sleep(Duration::from_millis(1)).await;
        assert!(!tasks.list()[0].healthy());
        sleep(LONG + QUIET).await;
        assert!(
            tasks.list()[0].healthy(),
            "an interrupted watch that is resumed has nothing to tell"
        );
        assert!(seen.try_recv().is_err(), "the last state stays");
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_watch_is_no_failure() {
        let (changes, _seen) = mpsc::channel(16);
        let tasks = Tasks::default();
        let feed = watch(&tasks, &Gate::default(), &changes);
        feed.unbounded_send(Err(refused(GONE))).unwrap();
        sleep(Duration::from_millis(1)).await;
        assert!(tasks.list()[0].healthy());
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::other("connection refused");
        let error = watcher::Error::WatchFailed(kube::Error::ReadEvents(io));
        let text = chain(&error);
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
    }
}
