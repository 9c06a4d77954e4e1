//! Asking the programs: which of them see a client's call or packet, and what each says.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context as _;

use super::{
    Args,
    answer::Step,
    attached::Attached,
    outcome::{Kind, Outcome},
    pod,
};
use crate::{
    cli::{names::Names, protocol::Protocol},
    datapath::{Call, Explainer, Probe, Side, Verdict},
    devices::{device_name, way_to},
};

/// What is needed to answer.
pub(super) struct Asked<'a> {
    pub(super) explainer: Explainer,
    pub(super) names: Names,
    pub(super) attached: Attached,
    /// The one whose processes' sockets are led to backends.
    pub(super) cgroup: Option<PathBuf>,
    pub(super) args: &'a Args,
    pub(super) notes: Vec<String>,
}

impl Asked<'_> {
    /// A packet that comes in by an external device.
    pub(super) async fn outside(&mut self, client: SocketAddr) -> anyhow::Result<Vec<Step>> {
        self.is_of_one_family(client.ip())?;
        let device = self.entry(client.ip()).await?;
        if let Some(step) = self.sent_on_by_xdp(client, device)? {
            return Ok(vec![step]);
        }
        Ok(vec![self.packet(Side::Ingress, client, device).await?])
    }

    /// A socket of a pod; or its packets, where the hooks do not see its socket, or leave it alone.
    pub(super) async fn pod(&mut self, client: SocketAddr) -> anyhow::Result<Vec<Step>> {
        self.is_of_one_family(client.ip())?;
        let found = self
            .cgroup
            .as_ref()
            .map_or(Ok(None), |root| pod::find(client.ip(), root));
        let (home, why) = match found {
            Ok(Some(home)) => (Some(home), None),
            Ok(None) => (None, Some("no process of this node has that address".to_owned())),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        if let Some(why) = why {
            self.notes.push(format!(
                "the pod's network namespace is not found ({why}): session affinity is as for a new pod"
            ));
        }
        // No namespace has this one.
        let netns = home.map_or(u64::MAX, |home| home.netns);
        let mut steps = Vec::new();
        if self.sees_sockets() {
            let step = self.call(netns)?;
            let is_left = step.outcome.verdict == Kind::Passes;
            steps.push(step);
            if !is_left {
                return Ok(steps);
            }
        }
        let device = match home.and_then(|home| home.device) {
            Some(device) => Some(device),
            None => way_to(client.ip()).await?,
        };
        let devices = self.attached.pod_facing();
        if let Some(device) = device.filter(|device| devices.contains(device)) {
            steps.push(self.packet(Side::PodIngress, client, device).await?);
        } else if steps.is_empty() {
            self.notes.push(
                "neither this socket's call nor the pod's packets are looked at: they go as the CNI routes them"
                    .to_owned(),
            );
        }
        Ok(steps)
    }

    /// A socket of the node itself.
    pub(super) fn node(&mut self) -> anyhow::Result<Vec<Step>> {
        if self.sees_sockets() {
            return Ok(vec![self.call(self.explainer.host_netns())?]);
        }
        self.notes
            .push("the node's own sockets are not led to backends".to_owned());
        Ok(Vec::new())
    }

    /// Whether the hooks see a socket of this protocol.
    fn sees_sockets(&self) -> bool {
        self.attached.leads_sockets() && self.args.protocol != Protocol::Sctp
    }

    fn is_of_one_family(&self, client: IpAddr) -> anyhow::Result<()> {
        anyhow::ensure!(
            client.is_ipv4() == self.args.to.is_ipv4(),
            "{client} and {} are of two address families",
            self.args.to.ip()
        );
        Ok(())
    }

    /// The device by which a client's packets come in.
    async fn entry(&mut self, client: IpAddr) -> anyhow::Result<u32> {
        let external = self.attached.external();
        if let Some(name) = &self.args.device {
            let device =
                nix::net::if_::if_nametoindex(name.as_str()).with_context(|| format!("there is no device {name}"))?;
            anyhow::ensure!(
                external.contains(&device),
                "no program for packets from outside is on {name}: kpr leaves what comes in there alone"
            );
            return Ok(device);
        }
        let way = way_to(client).await?;
        if let Some(device) = way.filter(|device| external.contains(device)) {
            return Ok(device);
        }
        let Some(&first) = external.first() else {
            anyhow::bail!("no program for packets from outside is on any device of this node");
        };
        self.notes.push(match way {
            Some(way) => format!(
                "packets to {client} leave by {}, where no program for packets from outside is: this one is taken to come in by {}",
                device_name(way),
                device_name(first)
            ),
            None => format!("there is no route to {client}: the packet is taken to come in by {}", device_name(first)),
        });
        Ok(first)
    }

    fn call(&mut self, netns: u64) -> anyhow::Result<Step> {
        let call = Call {
            protocol: self.args.protocol.number(),
            to: self.args.to,
            netns,
        };
        let told = self.explainer.call(&call)?;
        let outcome = Outcome::of_call(&told, self.args.to);
        Ok(Step::of(
            "connect",
            None,
            call.protocol,
            &told.story,
            &self.names,
            outcome,
        ))
    }

    /// What XDP does with a packet, where it sees it first, and does not leave it to tc.
    fn sent_on_by_xdp(&mut self, client: SocketAddr, device: u32) -> anyhow::Result<Option<Step>> {
        if !self.attached.accelerated().contains(&device) {
            return Ok(None);
        }
        let probe = self.probe(client)?;
        let told = self.explainer.xdp(&probe, device)?;
        if told.trial.verdict == Verdict::Next {
            return Ok(None);
        }
        let outcome = Outcome::of_packet(&told, None);
        let device = Some(device_name(device));
        let step = Step::of("xdp", device, probe.protocol, &told.story, &self.names, outcome);
        Ok(Some(step))
    }

    /// The first packet of a connection, or the next one of one that there is.
    fn probe(&mut self, client: SocketAddr) -> anyhow::Result<Probe> {
        let mut probe = Probe {
            protocol: self.args.protocol.number(),
            from: client,
            to: self.args.to,
            opens: true,
        };
        probe.opens = !self.explainer.knows(&probe)?;
        Ok(probe)
    }

    async fn packet(&mut self, side: Side, client: SocketAddr, device: u32) -> anyhow::Result<Step> {
        let probe = self.probe(client)?;
        let told = self.explainer.packet(side, &probe, device)?;
        let way = match told.ends() {
            Some((_, to)) => way_to(to.ip()).await?.map(device_name),
            None => None,
        };
        let outcome = Outcome::of_packet(&told, way);
        let hook = match side {
            Side::PodIngress => "pod-ingress",
            Side::Ingress | Side::Egress => "ingress",
        };
        let device = Some(device_name(device));
        Ok(Step::of(
            hook,
            device,
            probe.protocol,
            &told.story,
            &self.names,
            outcome,
        ))
    }
}
