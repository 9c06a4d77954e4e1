//! Two pods on two nodes, of which the second serves the first.

use std::{
    env, io,
    net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use kpr_cluster::{
    process::Session,
    testbed::{PodHost, Testbed},
};

/// Port of every Service and of every backend.
pub(crate) const PORT: u16 = 80;
/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pods.
pub(crate) struct Pair {
    /// On the first node: who asks.
    pub(crate) from: PodHost,
    /// On the second one: where the server listens.
    pub(crate) backend: SocketAddrV4,
    /// Ends with this.
    server: Session,
}

impl Pair {
    /// Makes both, named after `name`, and starts the server: this program's own, by that command.
    pub(crate) async fn start(testbed: &Testbed, name: &str, server: &str) -> Result<Self> {
        let [here, there] = testbed.hosts() else {
            bail!("a test cluster has two nodes");
        };
        let [from, to] = [here, there].map(|host| {
            let addresses = host.spec.pod_cidrs.nth(2);
            let name = format!("{name}-{}", host.spec.name);
            testbed.add_pod(&host.spec.name, &name, &format!("veth-{}", host.spec.name), addresses)
        });
        let (from, to) = (from?, to?);
        let backend = SocketAddrV4::new(to.addresses.v4.context("the pod has no IPv4 address")?, PORT);
        let launched = to
            .launch(env::current_exe()?)
            .args([server, &format!("0.0.0.0:{PORT}")]);
        let mut server = launched.session().await?;
        let _: SocketAddr = server.next(PATIENCE).await?;
        Ok(Self { from, backend, server })
    }

    /// Ends the server; an error if it has failed.
    pub(crate) async fn finish(self) -> Result<()> {
        let _: SocketAddr = self.server.finish(PATIENCE).await?;
        Ok(())
    }
}

/// The server: does so with each connection, until standard input ends. Says where it listens when it does, and again at its end.
pub(crate) fn serve(address: SocketAddr, each: fn(TcpStream)) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("\"{}\"", listener.local_addr()?);
    thread::spawn(move || listener.incoming().filter_map(Result::ok).for_each(each));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("\"{address}\"");
    Ok(())
}

/// Sends back what comes until standard input ends. Says where it listens when it does, and again at its end.
pub(crate) fn echo(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("listen on {address}"))?;
    println!("\"{address}\"");
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // Who is gone does not hear it.
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("\"{address}\"");
    Ok(())
}
