//! The local API: HTTP on a unix socket, for `kpr` and for whoever may read the agent's run directory.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Serialize;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{api::Status, stream};
use crate::events::{Filter, Hub};

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

/// Answers until `stop` is cancelled.
pub async fn serve(
    listener: UnixListener,
    source: Arc<dyn Source>,
    events: Arc<Hub>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = routes(source).merge(event_routes(events, stop.clone()));
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn routes(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/healthz", get(healthz))
        .with_state(source)
}

fn event_routes(events: Arc<Hub>, stop: CancellationToken) -> Router {
    Router::new().route("/events", post(listen)).with_state((events, stop))
}

/// Lines of JSON, for as long as they are read.
async fn listen(State((events, stop)): State<(Arc<Hub>, CancellationToken)>, Json(filter): Json<Filter>) -> Response {
    match events.listen(filter) {
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
