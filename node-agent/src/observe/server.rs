//! The local API: HTTP on a unix socket, for `kpr` and for whoever may read the agent's run directory.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use kpr_log_filter::{Levels, LogFilter};
use serde::Serialize;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{
    api::{Frontends, Log, Pod, STATUS_VERSION, Status},
    names::Names,
    stream,
};
use crate::{
    events::{Filter, Hub},
    model::NamespacedName,
};

/// Where the local API takes its answers from.
pub trait Source: Send + Sync + 'static {
    /// Everything about the agent at this moment.
    fn status(&self, now: Timestamp) -> Status;
    /// Whether the agent keeps up with its work.
    fn health(&self, now: Timestamp) -> Health;
}

/// Answer of `GET /healthz`: 200 when healthy, 503 when not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Whether changes are programmed as they come.
    pub healthy: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where answers come from.
#[derive(Clone)]
pub struct Answers {
    /// The agent's state.
    pub source: Arc<dyn Source>,
    /// Whose frontends are, and where Pods are.
    pub names: Names,
    /// Which log lines are written.
    pub levels: Levels,
    /// Those who listen to what happens.
    pub events: Arc<Hub>,
}

/// Answers until `stop` is cancelled.
pub async fn serve(listener: UnixListener, answers: Answers, stop: CancellationToken) -> std::io::Result<()> {
    let Answers {
        source,
        names,
        levels,
        events,
    } = answers;
    let routes = routes(source, names, levels).merge(event_routes(events, stop.clone()));
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn routes(source: Arc<dyn Source>, names: Names, levels: Levels) -> Router {
    let names = Router::new()
        .route("/frontends", get(frontends))
        .route("/pods/{namespace}/{name}", get(pod))
        .with_state(names);
    let log = Router::new().route("/log", get(log).put(set_log)).with_state(levels);
    Router::new()
        .route("/status", get(status))
        .route("/healthz", get(healthz))
        .with_state(source)
        .merge(names)
        .merge(log)
}

async fn log(State(levels): State<Levels>) -> Json<Log> {
    Json(Log::new(levels.current().to_string(), levels.initial().to_string()))
}

async fn set_log(state: State<Levels>, filter: String) -> Response {
    let filter: LogFilter = match filter.parse() {
        Ok(filter) => filter,
        Err(wrong) => return (StatusCode::BAD_REQUEST, wrong.to_string()).into_response(),
    };
    match state.set(filter) {
        Ok(()) => log(state).await.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn frontends(State(names): State<Names>) -> Response {
    match names.frontends().await {
        Some(frontends) => Json(Frontends {
            api_version: STATUS_VERSION.to_owned(),
            frontends,
        })
        .into_response(),
        // The agent is about to end.
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn pod(State(names): State<Names>, Path((namespace, name)): Path<(String, String)>) -> Response {
    match names.pod(NamespacedName::new(namespace, name)).await {
        Some(addresses) => Json(Pod {
            api_version: STATUS_VERSION.to_owned(),
            addresses,
        })
        .into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn event_routes(events: Arc<Hub>, stop: CancellationToken) -> Router {
    Router::new().route("/events", post(listen)).with_state((events, stop))
}

/// Lines of JSON, for as long as they are read. The body is a [`Filter`].
async fn listen(State((events, stop)): State<(Arc<Hub>, CancellationToken)>, body: String) -> Response {
    let listening = serde_json::from_str(&body)
        .map_err(|wrong| wrong.to_string())
        .and_then(|filter: Filter| events.listen(filter));
    match listening {
        Ok(listening) => stream::lines(listening, stop).into_response(),
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong).into_response(),
    }
}

async fn status(State(source): State<Arc<dyn Source>>) -> Json<Status> {
    Json(source.status(Timestamp::now()))
}

async fn healthz(State(source): State<Arc<dyn Source>>) -> Response {
    let health = source.health(Timestamp::now());
    let code = if health.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(health)).into_response()
}
