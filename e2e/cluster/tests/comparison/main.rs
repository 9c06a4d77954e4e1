//! The in-memory API server beside the real one: the same requests get the same answers from both, but for what
//! [`known::KNOWN`] tells, with a reason each.

mod difference;
mod known;
mod plain;
mod request;
mod script;
mod server;

use anyhow::{Context as _, Result, ensure};
use kpr_cluster::{
    cluster::Cluster,
    spec::{ClusterSpec, ControlPlaneKind, Families},
};

use self::server::{Server, Transcript};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_in_memory_api_server_answers_as_the_real_one_does() -> Result<()> {
    let (in_memory, real) = tokio::try_join!(
        transcript(ControlPlaneKind::InMemory),
        transcript(ControlPlaneKind::Real)
    )?;
    ensure!(in_memory.len() == real.len(), "the script took different ways");
    println!("{} answers and streams of events compared", real.len());
    let problems = difference::problems(&in_memory, &real);
    ensure!(
        problems.is_empty(),
        "{} differences:\n{}",
        problems.len(),
        problems.join("\n")
    );
    Ok(())
}

/// What an API server of this kind answers to the script, in a cluster of its own.
async fn transcript(kind: ControlPlaneKind) -> Result<Transcript> {
    let spec = ClusterSpec::default().families(Families::DualStack).control_plane(kind);
    let cluster = Cluster::start(spec).await?;
    let mut server = Server::new(&cluster);
    let played = script::play(&mut server).await;
    let transcript = server.into_transcript();
    // Waits for the removal, which is not for a thread of the runtime.
    tokio::task::spawn_blocking(move || drop(cluster)).await?;
    played.map(|()| transcript).with_context(|| format!("{kind:?}"))
}
