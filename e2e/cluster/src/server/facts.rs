//! What a pod says about itself and about who asked.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Who this pod is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its name.
    #[arg(long)]
    pub pod: String,
    /// Its namespace.
    #[arg(long)]
    pub namespace: String,
    /// The node that it runs on.
    #[arg(long)]
    pub node: String,
    /// Its primary address.
    #[arg(long)]
    pub pod_ip: String,
}

/// An answer to one request: who answers, and what the connection looks like from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The pod that answers.
    #[serde(flatten)]
    pub identity: Identity,
    /// The client, as the pod sees it.
    pub client: SocketAddr,
    /// The pod's own end, as the pod sees it.
    pub server: SocketAddr,
    /// True from SIGTERM on.
    pub terminating: bool,
}

impl Answer {
    /// A small page, as a web server's default one, that `curl` shows well.
    pub fn page(&self) -> String {
        let Identity {
            pod,
            namespace,
            node,
            pod_ip,
        } = &self.identity;
        let client = self.client;
        format!(
            "<!DOCTYPE html>\n<html>\n<head><title>Welcome to {pod}</title></head>\n<body>\n<h1>Welcome to {pod}</h1>\n\
             <pre>\nPod:     {namespace}/{pod}\nPod IP:  {pod_ip}\nNode:    {node}\nClient:  {client}\n</pre>\n\
             </body>\n</html>\n"
        )
    }
}
