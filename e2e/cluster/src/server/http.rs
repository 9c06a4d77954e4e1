//! The HTTP side of a pod.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Path, Request, State, connect_info::Connected},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
    serve::IncomingStream,
};
use futures::stream;
use tokio::net::TcpListener;

use super::{
    facts::{Answer, Identity},
    flow,
    notify::Notifier,
};

/// Pause between two lines of `/stream`.
const STREAM_INTERVAL: Duration = Duration::from_millis(100);

/// What all connections of a pod share.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) identity: Identity,
    pub(super) notifier: Notifier,
    pub(super) ready: AtomicBool,
    pub(super) terminating: AtomicBool,
}

impl Pod {
    pub(super) fn answer(&self, client: SocketAddr, server: SocketAddr) -> Answer {
        Answer {
            identity: self.identity.clone(),
            client,
            server,
            terminating: self.terminating.load(Ordering::Relaxed),
        }
    }
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
struct Ends {
    client: SocketAddr,
    server: SocketAddr,
}

impl Connected<IncomingStream<'_, TcpListener>> for Ends {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let client = *stream.remote_addr();
        Self {
            client,
            server: stream.io().local_addr().unwrap_or(client),
        }
    }
}

/// Serves one port until `stop`, then lets open requests finish.
pub(super) async fn serve(
    listener: TcpListener,
    pod: Arc<Pod>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(page))
        .route("/json", get(facts))
        .route("/echo", post(echo))
        .route("/flow/{token}", get(flow_token))
        .route("/stream", get(stream_lines))
        .route("/readyz", get(readyz))
        .route("/ready/{state}", post(set_ready))
        .layer(middleware::from_fn_with_state(Arc::clone(&pod), close_when_terminating))
        .with_state(pod);
    axum::serve(listener, router.into_make_service_with_connect_info::<Ends>())
        .with_graceful_shutdown(stop)
        .await
}

async fn page(State(pod): State<Arc<Pod>>, ConnectInfo(ends): ConnectInfo<Ends>) -> Html<String> {
    Html(pod.answer(ends.client, ends.server).page())
}

async fn facts(State(pod): State<Arc<Pod>>, ConnectInfo(ends): ConnectInfo<Ends>) -> Json<Answer> {
    Json(pod.answer(ends.client, ends.server))
}

async fn flow_token(ConnectInfo(ends): ConnectInfo<Ends>, Path(token): Path<String>) -> String {
    flow::answer(&token, ends.client)
}

async fn echo(body: Bytes) -> Bytes {
    body
}

/// A response without an end: one line of facts after the other.
async fn stream_lines(State(pod): State<Arc<Pod>>, ConnectInfo(ends): ConnectInfo<Ends>) -> Response {
    let lines = stream::unfold(0_u64, move |count| {
        let pod = Arc::clone(&pod);
        async move {
            if count > 0 {
                tokio::time::sleep(STREAM_INTERVAL).await;
            }
            let answer = serde_json::to_string(&pod.answer(ends.client, ends.server)).unwrap_or_default();
            Some((Ok::<_, Infallible>(answer + "\n"), count + 1))
        }
    });
    Body::from_stream(lines).into_response()
}

async fn readyz(State(pod): State<Arc<Pod>>) -> StatusCode {
    if pod.ready.load(Ordering::Relaxed) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// `POST /ready/false` makes the pod unready, as a failing readiness probe would.
async fn set_ready(State(pod): State<Arc<Pod>>, Path(ready): Path<bool>) -> StatusCode {
    pod.ready.store(ready, Ordering::Relaxed);
    match pod.notifier.ready(ready).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Keep-alive clients are told to come back on a new connection, which then goes to another pod.
async fn close_when_terminating(State(pod): State<Arc<Pod>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if pod.terminating.load(Ordering::Relaxed) {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
