//! The server.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream, UdpSocket},
    time::{sleep, timeout},
};

use crate::{Greeting, greeting::REQUEST_BYTES};

/// An answer fits any socket's buffer: only a broken connection takes longer.
const LIMIT: Duration = Duration::from_secs(1);
/// Before the next connection is taken, if one can't be (such as for want of descriptors).
const PAUSE: Duration = Duration::from_millis(50);

/// A server that answers over TCP and UDP on one port of all addresses, of both families where the node has both.
#[derive(Debug)]
pub struct Server {
    name: String,
    sockets: Option<(TcpListener, UdpSocket)>,
}

impl Server {
    /// Listens at `port` (0: any that is free); without one it has nobody to answer, and only waits: a place to ask from.
    pub async fn bind(name: String, port: Option<u16>) -> io::Result<Self> {
        let sockets = match port {
            None => None,
            Some(port) => match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
                Ok(sockets) => Some(sockets),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                // A node without IPv6.
                Err(_) => Some(listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?),
            },
        };
        Ok(Self { name, sockets })
    }

    /// The port at which it listens.
    pub fn port(&self) -> Option<u16> {
        let (tcp, _udp) = self.sockets.as_ref()?;
        tcp.local_addr().ok().map(|address| address.port())
    }

    /// Answers until it is dropped.
    pub async fn run(self) {
        match &self.sockets {
            Some((tcp, udp)) => {
                tokio::join!(self.answer_connections(tcp), self.answer_datagrams(udp));
            }
            None => pending().await,
        }
    }

    /// One after the other: no client is waited for.
    async fn answer_connections(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    // A client that has gone is nobody's loss.
                    let _ = timeout(LIMIT, greet(stream, self.greeting(client))).await;
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn answer_datagrams(&self, socket: &UdpSocket) {
        let mut request = [0; REQUEST_BYTES];
        loop {
            match socket.recv_from(&mut request).await {
                Ok((length, client)) => {
                    let line = self.greeting(client);
                    if line.len() <= length {
                        // Lost, as a datagram may be: the client asks again.
                        let _ = socket.send_to(&line, client).await;
                    }
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn greeting(&self, client: SocketAddr) -> Vec<u8> {
        Greeting {
            server: self.name.clone(),
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
        }
        .to_line()
    }
}

async fn listen(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let tcp = TcpListener::bind(address).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((tcp, udp))
}

async fn greet(mut stream: TcpStream, line: Vec<u8>) -> io::Result<()> {
    stream.write_all(&line).await?;
    stream.shutdown().await
}
