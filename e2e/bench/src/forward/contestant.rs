//! A test cluster of its own for each way of forwarding.

use std::{collections::HashSet, net::SocketAddrV4, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use kpr_cluster::{
    net::{UPLINK, merge_received, switch_port},
    testbed::Testbed,
};

use super::{
    cable::Cable,
    datagram::{Datagram, HEADERS, source_port},
    flows::{self, CLIENT, FLOWS, NODE},
    way::{Known, Laid, Way},
};
use crate::{
    node,
    packets::frame::{GATEWAY_MAC, NODE_MAC, OTHER_NODE_MAC},
    pods::Pair,
};

/// Datagrams of a sample.
const SAMPLE: u32 = 50_000;
/// How many flows are looked at, byte by byte, before and after.
const CHECKED: u32 = 20;

/// One way of forwarding, ready to be measured.
pub(super) struct Contestant {
    pub(super) way: Way,
    laid: Laid,
    cable: Cable,
    pods: Pair,
    datagrams: Vec<Datagram>,
    /// Sent since it was last checked.
    sent: u64,
    testbed: Testbed,
}

impl Contestant {
    /// Builds the machines, lays the way and begins the flows. `known`: the flows of kpr, if it has begun them already.
    pub(super) async fn start(way: Way, floor: &Path, known: Option<&Known>) -> Result<Self> {
        let testbed = node::machines()?;
        let [here, there] = testbed.hosts() else {
            bail!("a test cluster has two nodes");
        };
        // Neighbours are known for good, as they are where there is traffic.
        let other = there.spec.addresses.v4.context("the other node has no IPv4 address")?;
        let [gateway, own, next] = [GATEWAY_MAC, NODE_MAC, OTHER_NODE_MAC].map(colons);
        testbed.client().ip(&[
            format!("link set {UPLINK} address {gateway}"),
            format!("neigh replace {NODE} lladdr {own} dev {UPLINK} nud permanent"),
        ])?;
        there.netns.ip(&[
            format!("link set {UPLINK} address {next}"),
            format!("neigh replace {NODE} lladdr {own} dev {UPLINK} nud permanent"),
        ])?;
        here.netns.ip(&[
            format!("link set {UPLINK} address {own}"),
            format!("neigh replace {CLIENT} lladdr {gateway} dev {UPLINK} nud permanent"),
            format!("neigh replace {other} lladdr {next} dev {UPLINK} nud permanent"),
        ])?;
        merge_received(&here.netns, UPLINK)?;
        let pods = Pair::start(&testbed, "forward", "echo").await?;
        let port = switch_port(&here.spec.name);
        let mut cable = Cable::attach(floor, testbed.switch(), &port, NODE.into(), *pods.backend.ip())?;
        let laid = Laid::lay(way, here, &mut cable, pods.backend, known).await?;
        if !matches!(laid, Laid::Floor) {
            flows::begin(testbed.client())?;
        }
        let datagrams = flows::datagrams();
        cable.open(&datagrams)?;
        let mut contestant = Self {
            way,
            laid,
            cable,
            pods,
            datagrams,
            sent: 0,
            testbed,
        };
        // What was counted so far.
        contestant.check_counts()?;
        contestant.check()?;
        Ok(contestant)
    }

    /// The flows that it has begun, if it can tell.
    pub(super) fn known(&self) -> Result<Option<Known>> {
        self.laid.known()
    }

    /// A thousand datagrams in a second: how many.
    pub(super) fn sample(&mut self) -> Result<f64> {
        self.sent += u64::from(SAMPLE);
        let nanoseconds = self.cable.send(SAMPLE).with_context(|| format!("{:?}", self.way))?;
        Ok(1e6 / nanoseconds)
    }

    /// Looks at some datagrams as they come out, and that all that were sent took the way that is measured.
    pub(super) fn check(&mut self) -> Result<()> {
        let mut ports = HashSet::new();
        for index in (0..FLOWS).step_by((FLOWS / CHECKED) as usize) {
            self.sent += 1;
            let found = self.cable.pass(index)?;
            let port = source_port(found);
            ensure!(ports.insert(port), "two flows come from port {port}");
            // Which port it is was chosen when the flow began.
            let expected = Datagram {
                src: SocketAddrV4::new(NODE, port),
                dst: self.pods.backend,
                ttl: self.datagrams[index as usize].ttl - 1,
                hop: [NODE_MAC, OTHER_NODE_MAC],
            };
            ensure!(
                found == expected.bytes()[..HEADERS],
                "{:?}: of {:?} became {found:02x?}, and not {expected:?}",
                self.way,
                self.datagrams[index as usize]
            );
        }
        self.check_counts()
    }

    fn check_counts(&mut self) -> Result<()> {
        let here = self.testbed.hosts().first().context("there is no node")?;
        let sent = std::mem::take(&mut self.sent);
        self.laid.check(here, sent).with_context(|| format!("{:?}", self.way))
    }

    /// Ends the server; an error if it has failed.
    pub(super) async fn finish(self) -> Result<()> {
        let Self {
            laid,
            cable,
            pods,
            testbed,
            ..
        } = self;
        drop((laid, cable));
        pods.finish().await?;
        drop(testbed);
        Ok(())
    }
}

fn colons(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}
