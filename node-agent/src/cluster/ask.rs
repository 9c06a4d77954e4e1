//! Asking one agent.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes};
use tokio::{net::TcpStream, time::timeout};

use super::Answer;
use crate::{request, watch::chain};

/// An agent that does not answer within this time is not reached.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/healthz`. An answer of any status is one: the node is reached.
pub(super) async fn ask(address: SocketAddr) -> Result<Answer, String> {
    let begun = Instant::now();
    match timeout(PATIENCE, status(address)).await {
        Ok(Ok(status)) => Ok(Answer {
            serves: status.is_success(),
            took: begun.elapsed(),
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn status(address: SocketAddr) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| chain(&error))?;
    let request = Request::get("/healthz")
        .header(hyper::header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| chain(&error))?;
    let response = request::send(stream, request).await.map_err(|error| chain(&error))?;
    Ok(response.status())
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    async fn agent(status: StatusCode) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/healthz", get(move || async move { status }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    #[tokio::test]
    async fn an_agent_that_does_not_serve_is_reached_all_the_same() {
        assert!(ask(agent(StatusCode::OK).await).await.unwrap().serves);
        assert!(!ask(agent(StatusCode::SERVICE_UNAVAILABLE).await).await.unwrap().serves);
    }

    #[tokio::test]
    async fn a_closed_port_is_told_with_the_kernels_word() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let refused = ask(address).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_the_connection_and_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = ask(listener.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(silent, "no answer within 3 s");
    }
}
