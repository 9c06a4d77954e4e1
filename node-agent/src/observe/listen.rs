//! The other end of what the agent tells as it happens.

use std::path::Path;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{ClientError, SOCKET, client::begin};
use crate::events::{Filter, Line};

/// Listens to what happens on the node of the agent of the given run directory.
pub async fn listen(run_dir: &Path, filter: &Filter) -> Result<Lines, ClientError> {
    let filter = serde_json::to_string(filter).map_err(|error| not_understood(&error))?;
    Ok(Lines {
        body: begin(&run_dir.join(SOCKET), "/events", &filter).await?,
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
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| not_understood(&error));
            }
            // An agent that was killed ends in the middle.
            let Some(Ok(frame)) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

fn not_understood(error: &serde_json::Error) -> ClientError {
    ClientError::Answer(error.to_string())
}
