//! Who asks: a process of its own in a pod, told line by line whom.

use std::{
    env,
    io::{self, BufRead as _, Read as _, Write as _},
    net::{SocketAddrV4, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use kpr_cluster::{process::Session, testbed::PodHost};
use tokio::{runtime::Handle, task::block_in_place};

use crate::{contest::Sorted, machine};

/// Requests of a sample; its figure is their median.
const SAMPLE: u32 = 20;
/// How long a sample may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The process, as the benchmark has it.
pub(super) struct Client(Session);

impl Client {
    pub(super) async fn start(pod: &PodHost) -> Result<Self> {
        let launched = pod.launch(env::current_exe()?).args(["request-client"]).session();
        Ok(Self(launched.await?))
    }

    /// What a request takes, in microseconds.
    pub(super) fn sample(&mut self, to: SocketAddrV4) -> Result<f64> {
        block_in_place(|| {
            Handle::current().block_on(async {
                self.0.tell(&to.to_string()).await?;
                self.0.next(PATIENCE).await
            })
        })
    }
}

/// Asks whom it is told to, until standard input ends, and prints what a request took.
pub(crate) fn client() -> Result<()> {
    machine::stay_on_one_cpu()?;
    for line in io::stdin().lock().lines() {
        let to: SocketAddrV4 = line?.parse()?;
        let took: Vec<f64> = (0..SAMPLE).map(|_| request(to)).collect::<Result<_>>()?;
        println!("{}", Sorted::new(took).quantile(0.5));
    }
    Ok(())
}

fn request(to: SocketAddrV4) -> Result<f64> {
    let begun = Instant::now();
    let mut connection = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    connection.write_all(b"?").with_context(|| format!("ask {to}"))?;
    // The server closes first: what a closed connection leaves behind is there.
    let mut answer = Vec::new();
    connection
        .read_to_end(&mut answer)
        .with_context(|| format!("hear {to}"))?;
    anyhow::ensure!(answer == b"!", "{to} answered {answer:?}");
    drop(connection);
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}
