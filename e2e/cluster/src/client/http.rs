//! HTTP over one TCP connection.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::report::Tally;
use crate::server::Answer;

/// One connection to `target`.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    target: SocketAddr,
    /// What `getsockname` says.
    pub(super) local: SocketAddr,
    /// What `getpeername` says.
    pub(super) peer: SocketAddr,
}

impl Connection {
    /// From `local_port`, or one of the kernel's choice.
    pub(super) async fn open(target: SocketAddr, local_port: Option<u16>, within: Duration) -> io::Result<Self> {
        let stream = timeout(within, connect(target, local_port)).await??;
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            target,
            local,
            peer,
        })
    }

    /// Asks who answers.
    pub(super) async fn ask(&mut self, within: Duration) -> io::Result<Answer> {
        timeout(within, self.request()).await?
    }

    async fn request(&mut self) -> io::Result<Answer> {
        let request = Request::get("/json")
            .header(HOST, self.target.to_string())
            .body(Empty::new());
        let request = request.map_err(io::Error::other)?;
        self.sender.ready().await.map_err(|error| cause(&error))?;
        let response = self.sender.send_request(request).await.map_err(|error| cause(&error))?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("HTTP {}", response.status())));
        }
        let body = response.into_body().collect().await.map_err(|error| cause(&error))?;
        Ok(serde_json::from_slice(&body.to_bytes())?)
    }
}

async fn connect(target: SocketAddr, local_port: Option<u16>) -> io::Result<TcpStream> {
    let Some(port) = local_port else {
        return TcpStream::connect(target).await;
    };
    let (socket, any): (_, IpAddr) = if target.is_ipv4() {
        (TcpSocket::new_v4()?, Ipv4Addr::UNSPECIFIED.into())
    } else {
        (TcpSocket::new_v6()?, Ipv6Addr::UNSPECIFIED.into())
    };
    // Another connection may have the port: only both ends together need be unique.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(any, port))?;
    socket.connect(target).await
}

/// The system's error behind one of hyper's, so that a reset is called a reset.
fn cause(error: &hyper::Error) -> io::Error {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(code) = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(code);
        }
        source = inner.source();
    }
    io::Error::other(error.to_string())
}

/// One request on a connection of its own, from `local_port` or one of the kernel's choice.
pub(super) async fn once(target: SocketAddr, local_port: Option<u16>, within: Duration, tally: &mut Tally) {
    let answer = async {
        let mut connection = Connection::open(target, local_port, within).await?;
        tally.peers.insert(connection.peer);
        connection.ask(within).await
    };
    match answer.await {
        Ok(answer) => tally.add_answer(&answer),
        Err(error) => tally.add_failure(&error),
    }
}
