//! What the agent's `/metrics` says.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, header::HOST};
use tokio::{net::TcpStream, time::timeout};

use crate::request;

/// As long as Prometheus waits.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn get(address: SocketAddr) -> anyhow::Result<String> {
    let answer = timeout(PATIENCE, ask(address)).await;
    answer
        .context("no answer in time")
        .flatten()
        .with_context(|| format!("http://{address}/metrics (--metrics-address names another)"))
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let request = Request::get("/metrics")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = request::send(stream, request).await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
