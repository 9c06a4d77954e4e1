//! One open port, with plain HTTP/1 on it.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt::Ipv6V6Only};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tracing::debug;

use super::Answer;

/// Connections that may be open at once; others wait to be accepted. Probes are few and short.
const CONNECTIONS: usize = 256;
/// How long a client may take to send a request's head, and how long a connection may be idle.
const PATIENCE: Duration = Duration::from_secs(30);
/// Waiting connections.
const BACKLOG: u32 = 128;
/// After `accept` failed: for want of descriptors, mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// What is answered on a path.
pub type Handler = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// An open port. Dropping it closes it, with all of its connections.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
}

impl Server {
    /// Opens the port. The unspecified address of either family stands for all addresses of both, as it does for
    /// kube-proxy.
    pub fn open(address: SocketAddr, handler: Handler) -> io::Result<Self> {
        let listener = listen(address)?;
        debug!("{address} is open");
        Ok(Self {
            accepting: tokio::spawn(accept(listener, handler)),
        })
    }

    /// Closes it, and returns when it is closed.
    pub async fn close(mut self) {
        self.accepting.abort();
        // It was cancelled: there is nothing else to hear.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return bind(address);
    }
    match bind(SocketAddr::new([0; 16].into(), address.port())) {
        // A kernel without IPv6, or with IPv6 switched off.
        Err(error) if address.is_ipv4() && is_without_ipv6(&error) => bind(address),
        bound => bound,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        let socket = TcpSocket::new_v6()?;
        setsockopt(&socket, Ipv6V6Only, &!address.ip().is_unspecified())?;
        socket
    };
    // Connections of a server before this one may be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, handler: Handler) {
    // Dropped with this task, and ends its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(talk(stream, Arc::clone(&handler)))),
                Err(error) => {
                    debug!("a connection was not accepted: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn talk(stream: TcpStream, handler: Handler) {
    let answer = service_fn(move |request: Request<_>| {
        let answer = handler(request.uri().path());
        async move { Ok::<Response<Full<Bytes>>, Infallible>(answer.into()) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        debug!("a client broke off: {error}");
    }
}
