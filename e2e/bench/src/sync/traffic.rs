//! Who asks over UDP while an agent is away.

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Between questions.
const PACE: Duration = Duration::from_millis(1);
/// Questions of a flow.
const FLOW: u32 = 20;
/// Without an answer for so long, a question or its answer is lost.
const LOST: Duration = Duration::from_millis(500);

/// What became of the questions.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) asked: u32,
    pub(crate) answered: u32,
}

/// Asks every millisecond, every twenty times as a new flow, until standard input ends.
pub(crate) fn ask(target: SocketAddrV4) -> Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        end.store(true, Ordering::Release);
    });
    println!("{}", serde_json::to_string(&Tally::default())?);
    let mut tally = Tally::default();
    while !ended.load(Ordering::Acquire) {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(LOST))?;
        for question in 0..FLOW {
            tally.asked += 1;
            let answered = socket
                .send(&question.to_be_bytes())
                .and_then(|_| socket.recv(&mut [0; 64]));
            tally.answered += u32::from(answered.is_ok());
            thread::sleep(PACE);
        }
    }
    println!("{}", serde_json::to_string(&tally)?);
    Ok(())
}
