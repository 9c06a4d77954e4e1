//! What the machine takes by itself: a thread that reads the same event from a connection and only takes note of it. Where its slowest answers
//! are as slow as the agent's, it is the machine that is slow: another virtual machine that runs, or a thread of the kernel that does not let go
//! of the processor.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result};

use super::agent::spin;

/// The thread, and the connection that it reads.
pub(super) struct Control {
    connection: TcpStream,
    sent: u64,
    seen: Arc<AtomicU64>,
}

impl Control {
    /// Runs until it is dropped.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let connection = TcpStream::connect(listener.local_addr()?).context("connect")?;
        connection.set_nodelay(true)?;
        let (reading, _) = listener.accept().context("accept")?;
        let seen = Arc::new(AtomicU64::new(0));
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for line in BufReader::new(reading).lines() {
                if line.is_err() {
                    return;
                }
                noted.fetch_add(1, Ordering::Release);
            }
        });
        Ok(Self {
            connection,
            sent: 0,
            seen,
        })
    }

    /// From the event to the note of it, in microseconds.
    pub(super) fn one(&mut self, event: &str) -> Result<f64> {
        let line = format!("{event}\n");
        self.sent += 1;
        let begun = Instant::now();
        self.connection.write_all(line.as_bytes()).context("send an event")?;
        let is_seen = || Ok((self.seen.load(Ordering::Acquire) == self.sent).then_some(()));
        let ((), ended) = spin("an event of the machine's own", is_seen)?;
        Ok((ended - begun).as_secs_f64() * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_noted_once() {
        let mut control = Control::start().unwrap();
        for number in 1..=3 {
            let took = control.one(r#"{"type": "MODIFIED"}"#).unwrap();
            assert!(took > 0.0, "{took}");
            assert_eq!(control.seen.load(Ordering::Acquire), number);
        }
    }
}
