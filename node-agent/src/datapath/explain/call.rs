//! Socket calls.

use super::{super::Error, Both, Explainer, Story, load, packet::destination};
use crate::datapath::trial::run;
use kpr_abi::{Addr4, Addr6, Address as _, Event, MadeUpCall, Reason, V4, V6, event::NOTHING, explain};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// IP protocol number.
    pub protocol: u8,
    /// What for.
    pub to: SocketAddr,
    /// The network namespace that the socket is in (`SO_NETNS_COOKIE`).
    pub netns: u64,
}

/// What would become of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStory {
    /// What the programs went through with it.
    pub story: Story,
    /// Where the socket is connected to; none if the call is denied.
    pub led_to: Option<SocketAddr>,
}

/// Any packet at all: the program looks at the call.
const PACKET: [u8; 14] = [0; 14];

impl Explainer {
    /// What would become of the call where the hooks for sockets are attached.
    pub fn call(&mut self, call: &Call) -> Result<CallStory, Error> {
        if call.to.is_ipv4() {
            self.call_of::<V4>(call, "kpr_explain_connect4")
        } else {
            self.call_of::<V6>(call, "kpr_explain_connect6")
        }
    }

    fn call_of<F: Both>(&mut self, call: &Call, program: &'static str) -> Result<CallStory, Error> {
        let to = destination::<F>(call.to, call.protocol);
        let (addr, port, proto) = to;
        let scratch = F::scratch(self);
        scratch.forget()?;
        scratch.copy_affinity(to, None, call.netns)?;
        // Nobody's: the socket before it is forgotten by its number.
        self.calls += 1;
        let made_up = MadeUpCall {
            netns: call.netns,
            number: self.calls,
            addr: addr.words(),
            port,
            proto,
            zero: 0,
            denied: NOTHING,
        };
        self.record.clear()?;
        let map = explain::CALL;
        let failed = |source| Error::Map { map, source };
        self.call.set(0, made_up, 0).map_err(failed)?;
        run(load::program(&mut self.ebpf, program)?, program, &PACKET, 0)?;
        let done = self.call.get(&0, 0).map_err(failed)?;
        let (event, reasons) = self.record.of_call().unwrap_or_else(|| (untold::<F>(call), Vec::new()));
        let story = F::scratch(self).story(to, event, reasons)?;
        let led_to = Reason::ALL.get(done.denied as usize).is_none().then(|| {
            let ip = ip(call.to, done.addr);
            SocketAddr::new(ip, done.port.host())
        });
        Ok(CallStory { story, led_to })
    }
}

/// Of a call to no frontend.
fn untold<F: Both>(call: &Call) -> Event {
    let (addr, port, proto) = destination::<F>(call.to, call.protocol);
    Event {
        hook: kpr_abi::event::hook::CONNECT,
        family: if call.to.is_ipv4() { 4 } else { 6 },
        proto,
        netns: call.netns,
        frontend: addr.words(),
        frontend_port: port,
        what: NOTHING,
        ..Event::default()
    }
}

/// The address that the words are, of the family of another.
fn ip(of: SocketAddr, words: [u32; 4]) -> IpAddr {
    if of.is_ipv4() {
        Ipv4Addr::from(Addr4(words[0])).into()
    } else {
        Ipv6Addr::from(Addr6(words)).into()
    }
}
