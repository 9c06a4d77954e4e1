//! Who answers.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::Result;

use crate::{machine, pods};

/// Answers one request of each connection, as [`pods::serve`] does.
pub(crate) fn server(address: SocketAddr) -> Result<()> {
    // The client's: what another processor takes to wake up is no matter of rules or programs.
    machine::stay_on_one_cpu()?;
    // A connection that fails is the client's to tell.
    pods::serve(address, |connection| {
        let _ = answer(connection);
    })
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    let mut request = [0];
    connection.read_exact(&mut request)?;
    connection.write_all(b"!")
}
