//! Who answers.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Result;
use kpr_cluster::{process::Session, testbed::PodHost};

use crate::{connect::services::PORT, machine};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts one in the pod; it ends with what is returned.
pub(super) async fn start(pod: &PodHost) -> Result<Session> {
    let mut server = pod
        .launch(env::current_exe()?)
        .args(["request-server", &format!("0.0.0.0:{PORT}")])
        .session()
        .await?;
    let _: SocketAddr = server.next(PATIENCE).await?;
    Ok(server)
}

/// Answers one request of each connection, until standard input ends. Says where it listens when it does.
pub(crate) fn server(address: SocketAddr) -> Result<()> {
    // The client's: what another processor takes to wake up is no matter of rules or programs.
    machine::stay_on_one_cpu()?;
    let listener = TcpListener::bind(address)?;
    println!("\"{}\"", listener.local_addr()?);
    thread::spawn(move || {
        for connection in listener.incoming() {
            // One that fails is the client's to tell.
            let _ = connection.and_then(answer);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    let mut request = [0];
    connection.read_exact(&mut request)?;
    connection.write_all(b"!")
}
