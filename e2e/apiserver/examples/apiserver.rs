//! Serves an empty API server on a loopback port, for a look with kubectl:
//! `cargo run -p kpr-apiserver --example apiserver -- /tmp/kubeconfig`.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let kubeconfig = PathBuf::from(std::env::args().nth(1).context("usage: apiserver KUBECONFIG")?);
    let server = kpr_apiserver::ApiServer::new();
    let serving = server.serve(TcpListener::bind("127.0.0.1:0")?)?;
    serving
        .write_kubeconfig(&kubeconfig)
        .with_context(|| format!("could not write {}", kubeconfig.display()))?;
    println!("export KUBECONFIG={} # {}", kubeconfig.display(), serving.url());
    tokio::signal::ctrl_c().await?;
    serving.shutdown().await;
    Ok(())
}
