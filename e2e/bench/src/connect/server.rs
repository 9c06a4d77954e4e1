//! Who is connected to.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread,
};

use anyhow::Result;

/// Accepts connections and lets go of them until standard input ends. Says where it listens when it does, and again at its end.
pub(crate) fn server(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("\"{}\"", listener.local_addr()?);
    thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("\"{address}\"");
    Ok(())
}
