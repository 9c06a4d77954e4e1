//! The other end of the local API: how `kpr` asks the agent.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::{
    SOCKET,
    api::{STATUS_VERSION, Status},
};
use crate::events::{Filter, Line};

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
    /// It does not understand what was asked.
    #[error("{0}")]
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
    let body = get(&run_dir.join(SOCKET), "/status").await?;
    let status: Status = serde_json::from_slice(&body).map_err(|error| ClientError::Answer(error.to_string()))?;
    if status.api_version == STATUS_VERSION {
        Ok(status)
    } else {
        Err(ClientError::Answer(format!(
            "it speaks {}, this command {STATUS_VERSION}: use the kpr that came with the agent",
            status.api_version
        )))
    }
}

/// Listens to what happens on the node of the agent of the given run directory.
pub async fn listen(run_dir: &Path, filter: &Filter) -> Result<Lines, ClientError> {
    let body = serde_json::to_vec(filter).map_err(|error| ClientError::Answer(error.to_string()))?;
    let response = within(&run_dir.join(SOCKET), "/events", Some(body)).await?;
    Ok(Lines {
        body: response.into_body(),
        read: Vec::new(),
    })
}

/// Lines of JSON that come as things happen.
pub struct Lines {
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    /// The next line; none: the agent has ended them.
    pub async fn next(&mut self) -> Result<Option<Line>, ClientError> {
        let answer = |error: &dyn std::fmt::Display| ClientError::Answer(error.to_string());
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|e| answer(&e));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(|e| answer(&e))?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

async fn get(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    let response = within(socket, path, None).await?;
    let body = response.into_body().collect().await;
    Ok(body.map_err(|error| ClientError::Answer(error.to_string()))?.to_bytes())
}

/// The agent's answer, as far as its head; with a body, it is asked by POST.
async fn within(socket: &Path, path: &str, body: Option<Vec<u8>>) -> Result<Response<Incoming>, ClientError> {
    tokio::time::timeout(TIMEOUT, exchange(socket, path, body))
        .await
        .unwrap_or_else(|_| {
            Err(ClientError::Stuck {
                socket: socket.to_owned(),
            })
        })
}

async fn exchange(socket: &Path, path: &str, body: Option<Vec<u8>>) -> Result<Response<Incoming>, ClientError> {
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
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| answer(&e))?;
    // Ends by itself when the sender is dropped and the answer is read.
    tokio::spawn(connection);
    let request = match &body {
        None => Request::get(path),
        Some(_) => Request::post(path).header(hyper::header::CONTENT_TYPE, "application/json"),
    };
    let request = request
        .header(hyper::header::HOST, "agent")
        .body(Full::<Bytes>::from(body.unwrap_or_default()))
        .map_err(|e| answer(&e))?;
    let response = sender.send_request(request).await.map_err(|e| answer(&e))?;
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let why = response.into_body().collect().await.map_err(|e| answer(&e))?.to_bytes();
            Err(ClientError::Refused(String::from_utf8_lossy(&why).into_owned()))
        }
        code => Err(ClientError::Answer(format!("{path} answered {code}"))),
    }
}
