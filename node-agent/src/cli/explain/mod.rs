//! `kpr explain`: what would become of a packet or a connection.

mod answer;
mod asked;
mod attached;
mod from;
mod outcome;
mod page;
mod pod;

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

use anyhow::Context as _;

use self::{answer::Answer, asked::Asked, attached::Attached, from::From};
use super::{Exit, absent, args::Place, names::Names, output::Format, protocol::Protocol};
use crate::{
    datapath::{Explainer, dump},
    observe,
};

/// What is to be explained.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Its protocol
    #[arg(value_name = "PROTOCOL", value_enum, ignore_case = true)]
    protocol: Protocol,
    /// What it asks for, such as a ClusterIP and its port, or the node's address and a NodePort
    #[arg(value_name = "ADDR:PORT")]
    to: SocketAddr,
    /// Who asks: a pod of this node, a client outside, or the node itself. A port may follow an address; else it is 40000
    #[arg(long, value_name = "pod/NAMESPACE/NAME|pod=ADDR|outside=ADDR|node")]
    from: From,
    /// By which device a packet from outside comes [default: the one by which its answer would leave]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Explains it.
pub(super) async fn run(place: &Place, args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let open =
        Explainer::open(&place.bpffs_root).context("cannot run this node's programs on a packet that nobody sends")?;
    let Some(explainer) = open else {
        return Err(absent::error(&place.bpffs_root));
    };
    let status = observe::get_status(&place.run_dir).await.ok();
    let mut asked = Asked {
        explainer,
        names: Names::ask_or_tell(place).await,
        attached: Attached::find(&place.bpffs_root, status.as_ref())?,
        cgroup: dump::socket_cgroup(&place.bpffs_root),
        args,
        notes: Vec::new(),
    };
    let (from, client, steps) = match &args.from {
        From::Outside(client) => (client.to_string(), Some(*client), asked.outside(*client).await?),
        From::PodAt(client) => (client.to_string(), Some(*client), asked.pod(*client).await?),
        From::Node => ("this node".to_owned(), None, asked.node()?),
        From::Pod { namespace, name } => {
            let addresses = match observe::get_pod(&place.run_dir, namespace, name).await {
                Ok(addresses) => addresses,
                Err(error) if error.is_unreachable() => {
                    anstream::eprintln!(
                        "kpr: only the agent knows where a pod is, and {error}; --from pod=ADDR works without it"
                    );
                    return Ok(Exit::AgentUnreachable);
                }
                Err(error) => return Err(error.into()),
            };
            let of_family = |address: &&IpAddr| address.is_ipv4() == args.to.is_ipv4();
            let Some(client) = addresses.iter().find(of_family).copied().map(from::at) else {
                anstream::eprintln!("kpr: no pod {namespace}/{name} with an address of this family runs on this node");
                return Ok(Exit::NotFound);
            };
            let from = format!("{namespace}/{name} ({})", client.ip());
            (from, Some(client), asked.pod(client).await?)
        }
    };
    let answer = Answer {
        protocol: crate::model::Protocol::name_of(args.protocol.number()),
        from,
        client,
        to: args.to,
        notes: asked.notes,
        steps,
    };
    args.format.output.print(out, &answer, || page::render(&answer))?;
    Ok(Exit::Ok)
}
