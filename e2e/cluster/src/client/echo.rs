//! Requests with a body that comes back.

use std::{io, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::handshake, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{report::Echoes, udp};
use crate::server::ECHO;

/// Sends `count` requests of `bytes` bytes, each on a connection or socket of its own, and compares what comes back.
pub(super) async fn echo(target: SocketAddr, is_udp: bool, bytes: usize, count: u32, within: Duration) -> Echoes {
    let mut message = ECHO.to_vec();
    message.resize(bytes.max(ECHO.len()), b'o');
    let mut echoes = Echoes::default();
    for _ in 0..count {
        let answer = async {
            if is_udp {
                datagram(target, &message).await
            } else {
                post(target, &message).await
            }
        };
        match timeout(within, answer).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(answer) if answer == message => echoes.equal += 1,
            Ok(_) => echoes.different += 1,
            Err(error) => echoes.add_failure(&error),
        }
    }
    echoes
}

async fn datagram(target: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((udp::any(target), 0)).await?;
    socket.connect(target).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; message.len() + 1];
    let length = socket.recv(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}

async fn post(target: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(target).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::post("/echo")
        .header(HOST, target.to_string())
        .body(Full::new(Bytes::copy_from_slice(message)))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(format!("HTTP {}", response.status())));
    }
    let body = response.into_body().collect().await.map_err(io::Error::other)?;
    Ok(body.to_bytes().to_vec())
}
