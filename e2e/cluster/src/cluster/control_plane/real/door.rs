//! A way from this machine's loopback to the API server, which listens in the first node's namespace only.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use crate::net::Netns;

/// Passes connections on until it is dropped.
pub(super) struct Door {
    address: SocketAddr,
    closing: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Listens on a port of this machine's loopback, and connects to `target` inside `netns` for everyone who comes. The thread that
    /// makes the connections lives in the namespace.
    pub(super) fn open(netns: &Netns, target: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on loopback")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let namespace = netns.open()?;
        let closing = Arc::new(Notify::new());
        let closed = Arc::clone(&closing);
        let pass_on = move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("enter the first node's namespace")?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    () = closed.notified() => Ok(()),
                    result = serve(&listener, target) => result,
                }
            })
        };
        let thread = std::thread::Builder::new().name("door".to_owned()).spawn(move || {
            let ended: Result<()> = pass_on();
            if let Err(error) = ended {
                tracing::error!("the way to the API server ended: {error:#}");
            }
        })?;
        Ok(Self {
            address,
            closing,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: &TcpListener, target: SocketAddr) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (mut outside, _peer) = listener.accept().await?;
        connections.spawn(async move {
            // While nobody listens behind it, whoever comes finds the door closed. An end of either side is the end of both.
            if let Ok(mut inside) = TcpStream::connect(target).await {
                let _ended = copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closing.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the way to the API server panicked");
        }
    }
}
