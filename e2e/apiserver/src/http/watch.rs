//! `watch=true`: a stream of newline-delimited events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::body::respond_as;
use super::negotiate::Shape;
use super::path::ResourcePath;
use super::query::Query;
use super::read;
use crate::error::{ApiError, Result};
use crate::object;
use crate::resource::Resource;
use crate::select::Selection;
use crate::server::Shared;
use crate::store::{Change, ChangeKind};
use crate::table;

/// Starts a watch; errors that a client must see as HTTP errors come back at once, the others in the stream.
pub(crate) fn watch(
    shared: &Arc<Shared>,
    stop: CancellationToken,
    resource: Arc<Resource>,
    path: &ResourcePath,
    query: &Query,
    shape: Shape,
) -> Result<Response> {
    let selection = read::selection(&resource, path, query)?;
    let initial = query.flag("sendInitialEvents");
    if initial && query.text("resourceVersionMatch") != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        let error = [crate::field::FieldError::forbidden("resourceVersionMatch", why)];
        return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &error));
    }
    let asked = match query.text("resourceVersion") {
        "" => 0,
        text => text.parse::<u64>().map_err(|_| {
            ApiError::internal(format!(
                "invalid resource version \"{text}\": strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?,
    };
    let timeout = query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .unwrap_or(1800);
    let mut watcher = Watcher {
        shared: shared.clone(),
        stop,
        resource,
        selection,
        shape,
        bookmarks: query.flag("allowWatchBookmarks"),
        cursor: asked,
        columns_sent: false,
        pending: VecDeque::new(),
        ended: false,
        generation: shared.watches.generation(),
        deadline: Instant::now() + Duration::from_secs(timeout),
        next_bookmark: Instant::now() + shared.options.bookmark_interval,
    };
    if initial || asked == 0 {
        watcher.send_current(initial);
    }
    let body = stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), watcher))
    });
    Ok(respond_as(200, Body::from_stream(body), "application/json", &[]))
}

struct Watcher {
    shared: Arc<Shared>,
    stop: CancellationToken,
    resource: Arc<Resource>,
    selection: Selection,
    shape: Shape,
    bookmarks: bool,
    /// Everything up to this revision has been seen.
    cursor: u64,
    columns_sent: bool,
    pending: VecDeque<Bytes>,
    ended: bool,
    /// Which "drop all watches" call this watch has outlived.
    generation: u64,
    deadline: Instant,
    next_bookmark: Instant,
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        let mut revisions = self.shared.revisions.subscribe();
        let mut closing = self.shared.watches.subscribe();
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.ended || self.shared.watches.generation() != self.generation {
                return None;
            }
            revisions.mark_unchanged();
            self.catch_up();
            if !self.pending.is_empty() || self.ended {
                continue;
            }
            tokio::select! {
                changed = revisions.changed() => changed.ok()?,
                changed = closing.changed() => changed.ok()?,
                () = self.stop.cancelled() => self.ended = true,
                () = sleep_until(self.next_bookmark), if self.bookmarks => self.bookmark(false),
                () = sleep_until(self.deadline) => {
                    if self.bookmarks {
                        self.bookmark(false);
                    }
                    self.ended = true;
                }
            }
        }
    }

    /// Queues the objects that exist now, as a list would show them.
    fn send_current(&mut self, mark_end: bool) {
        let shared = self.shared.clone();
        let state = shared.state();
        self.cursor = state.store.revision();
        let objects: Vec<Arc<Value>> = state
            .store
            .objects(&self.resource.storage)
            .filter(|o| self.selection.matches(o))
            .cloned()
            .collect();
        drop(state);
        for object in objects {
            self.push("ADDED", &object);
        }
        if mark_end {
            self.bookmark(true);
        }
    }

    /// Queues what happened since the cursor.
    fn catch_up(&mut self) {
        let shared = self.shared.clone();
        let state = shared.state();
        let served = state
            .registry
            .find(&self.resource.group, &self.resource.version, &self.resource.plural)
            .is_some();
        let Some(changes) = state.store.log().since(self.cursor) else {
            let error = ApiError::too_old_resource_version(self.cursor, state.store.log().compacted() + 1);
            drop(state);
            self.push_raw("ERROR", &error.status());
            self.ended = true;
            return;
        };
        let changes: Vec<Change> = changes
            .filter(|change| change.key.resource == self.resource.storage)
            .cloned()
            .collect();
        let revision = state.store.revision();
        drop(state);
        for change in changes {
            self.push_change(&change);
        }
        self.cursor = self.cursor.max(revision);
        // The CRD is gone, and with it all that could be watched.
        self.ended = !served;
    }

    /// An object that enters the selection is ADDED, one that leaves it is DELETED, whatever happened to it.
    fn push_change(&mut self, change: &Change) {
        let was = change
            .before
            .as_ref()
            .is_some_and(|before| self.selection.matches(before));
        let is = change.kind != ChangeKind::Deleted && self.selection.matches(&change.object);
        match (was, is) {
            (false, true) => self.push("ADDED", &change.object),
            (true, true) => self.push("MODIFIED", &change.object),
            (true, false) if change.kind == ChangeKind::Deleted => self.push("DELETED", &change.object),
            (true, false) => {
                if let Some(before) = &change.before {
                    let mut last = (**before).clone();
                    object::meta_mut(&mut last).insert("resourceVersion".into(), change.revision.to_string().into());
                    self.push("DELETED", &last);
                }
            }
            (false, false) => {}
        }
    }

    fn push(&mut self, kind: &str, stored: &Value) {
        let object = match self.shape {
            Shape::Table => {
                let objects = [self.resource.project(stored)];
                let version = object::text(stored, &["metadata", "resourceVersion"]);
                table::table(
                    &self.resource,
                    &objects,
                    version,
                    !std::mem::replace(&mut self.columns_sent, true),
                    Timestamp::now(),
                )
            }
            shape => read::shaped(&self.resource, stored, shape, Timestamp::now()),
        };
        self.push_raw(kind, &object);
    }

    fn bookmark(&mut self, initial_events_end: bool) {
        self.next_bookmark = Instant::now() + self.shared.options.bookmark_interval;
        let mut metadata = json!({"resourceVersion": self.cursor.to_string()});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.shape {
            Shape::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Shape::Table => {
                let bookmark = json!({
                    "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata,
                });
                table::table(
                    &self.resource,
                    &[bookmark],
                    &self.cursor.to_string(),
                    false,
                    Timestamp::now(),
                )
            }
            Shape::Object => {
                json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata})
            }
        };
        self.push_raw("BOOKMARK", &object);
    }

    fn push_raw(&mut self, kind: &str, object: &Value) {
        let mut line = json!({"type": kind, "object": object}).to_string();
        line.push('\n');
        self.pending.push_back(line.into());
    }
}
