//! The other end of the local API: how `kpr` asks the agent.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{
    SOCKET,
    api::{FrontendName, Frontends, Log, Pod, STATUS_VERSION, Status},
};
use crate::request;

/// The agent answers from memory: one that takes longer than this is stuck.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the agent's answer was not got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("the agent is not running on this node: nothing answers at {socket} ({source})")]
    NotRunning {
        /// The local API's socket.
        socket: PathBuf,
        /// What the connect said.
        source: io::Error,
    },
    /// The socket belongs to somebody else.
    #[error("{socket} may only be used by the agent's user: run this as root")]
    Forbidden {
        /// The local API's socket.
        socket: PathBuf,
    },
    /// It took the connection and did not answer.
    #[error("the agent took the connection at {socket} but did not answer within {} s", TIMEOUT.as_secs())]
    Stuck {
        /// The local API's socket.
        socket: PathBuf,
    },
    /// It does not do what it was asked for.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// It answered, but not with a status.
    #[error("the agent's answer was not understood: {0}")]
    Answer(String),
}

impl ClientError {
    /// Whether there is no agent to ask, as opposed to one that answers badly.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Stuck { .. })
    }
}

/// Asks the agent of the given run directory how it is.
pub async fn get_status(run_dir: &Path) -> Result<Status, ClientError> {
    let status: Status = read(&get(&run_dir.join(SOCKET), "/status").await?)?;
    of_this_version(&status.api_version)?;
    Ok(status)
}

/// Asks the agent of the given run directory what frontends are called.
pub async fn get_frontends(run_dir: &Path) -> Result<Vec<FrontendName>, ClientError> {
    let answer: Frontends = read(&get(&run_dir.join(SOCKET), "/frontends").await?)?;
    of_this_version(&answer.api_version)?;
    Ok(answer.frontends)
}

/// Asks the agent of the given run directory which addresses a Pod of its node has; none: it does not run there.
pub async fn get_pod(run_dir: &Path, namespace: &str, name: &str) -> Result<Vec<IpAddr>, ClientError> {
    let answer: Pod = read(&get(&run_dir.join(SOCKET), &format!("/pods/{namespace}/{name}")).await?)?;
    of_this_version(&answer.api_version)?;
    Ok(answer.addresses)
}

/// Asks the agent of the given run directory which log lines it writes.
pub async fn get_log(run_dir: &Path) -> Result<Log, ClientError> {
    let log: Log = read(&get(&run_dir.join(SOCKET), "/log").await?)?;
    of_this_version(&log.api_version)?;
    Ok(log)
}

/// Tells the agent of the given run directory which log lines to write.
pub async fn set_log(run_dir: &Path, filter: &str) -> Result<Log, ClientError> {
    read(&ask(&run_dir.join(SOCKET), Method::PUT, "/log", filter).await?)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| ClientError::Answer(error.to_string()))
}

fn of_this_version(version: &str) -> Result<(), ClientError> {
    if version == STATUS_VERSION {
        Ok(())
    } else {
        Err(ClientError::Answer(format!(
            "it speaks {version}, this command {STATUS_VERSION}: use the kpr that came with the agent"
        )))
    }
}

async fn get(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    ask(socket, Method::GET, path, "").await
}

async fn ask(socket: &Path, method: Method, path: &str, body: &str) -> Result<Bytes, ClientError> {
    within(socket, async {
        let response = exchange(socket, method, path, body).await?;
        whole(response).await
    })
    .await
}

/// Begins an answer that does not end by itself.
pub(super) async fn begin(socket: &Path, path: &str, body: &str) -> Result<Incoming, ClientError> {
    let response = within(socket, exchange(socket, Method::POST, path, body)).await?;
    Ok(response.into_body())
}

async fn within<T>(socket: &Path, answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| {
        Err(ClientError::Stuck {
            socket: socket.to_owned(),
        })
    })
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = response.into_body().collect().await;
    Ok(body.map_err(|error| ClientError::Answer(error.to_string()))?.to_bytes())
}

/// Asks, and waits for the answer to begin.
async fn exchange(socket: &Path, method: Method, path: &str, body: &str) -> Result<Response<Incoming>, ClientError> {
    let answer = |error: &dyn std::fmt::Display| ClientError::Answer(error.to_string());
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Forbidden {
                socket: socket.to_owned(),
            },
            _ => ClientError::NotRunning {
                socket: socket.to_owned(),
                source,
            },
        })?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "agent")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .map_err(|e| answer(&e))?;
    let response = request::send(stream, request).await.map_err(|e| answer(&e))?;
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::BAD_REQUEST => {
            let why = whole(response).await?;
            Err(ClientError::Refused(String::from_utf8_lossy(&why).into_owned()))
        }
        code => Err(ClientError::Answer(format!("{path} answered {code}"))),
    }
}
