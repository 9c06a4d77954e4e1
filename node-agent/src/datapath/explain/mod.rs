//! What would become of a packet or a socket call: the programs of this node tell it, run on one that nobody sends.
//!
//! They are loaded a second time, as the object that tells, with the read-only data of those that run, and attached to nothing. Maps that decide
//! (frontends, slots, backends, source ranges, the node's addresses) are the node's own, which programs only read. Of those that programs write
//! (flows, affinity, connections, counters …) they get others, with copies of the few entries that concern the packet. So nothing on the
//! node is changed, and the answer is what that packet would meet now.

mod call;
mod frame;
mod live;
mod load;
mod packet;
mod record;
mod scratch;
mod story;
mod xdp;

use super::{
    Error, MapFamily,
    pins::Pins,
    tables::{convert, take},
};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use kpr_abi::{MadeUpCall, V4, V6, config, explain, maps};
use live::Live;
use record::Record;
use scratch::Scratch;
use std::path::Path;
use xdp::Accelerated;

pub use call::{Call, CallStory};
pub use frame::Probe;
pub use packet::PacketStory;
pub use story::{Candidate, Choice, Matched, Story};

/// The programs, ready to be asked.
pub struct Explainer {
    ebpf: Ebpf,
    live: Live,
    record: Record,
    call: Array<MapData, MadeUpCall>,
    accelerated: Accelerated,
    v4: Scratch<V4>,
    v6: Scratch<V6>,
    calls: u64,
}

impl Explainer {
    /// Loads the programs as they run on this node; `None` if no datapath is pinned under `bpffs_root`.
    pub fn open(bpffs_root: &Path) -> Result<Option<Self>, Error> {
        let pins = Pins::new(bpffs_root);
        if !pins.map(maps::SERVICES4).exists() {
            return Ok(None);
        }
        let live = Live::find(&pins)?;
        let mut ebpf = load::load(&pins, &live)?;
        let counts = live.has(config::features::LEAST_CONNECTIONS);
        Ok(Some(Self {
            record: Record::open(&mut ebpf)?,
            call: convert(explain::CALL, take(&mut ebpf, explain::CALL)?)?,
            accelerated: Accelerated::open(&mut ebpf)?,
            v4: Scratch::open(&mut ebpf, &pins, counts)?,
            v6: Scratch::open(&mut ebpf, &pins, counts)?,
            calls: 0,
            ebpf,
            live,
        }))
    }

    /// The node's own network namespace, as the programs know it (`SO_NETNS_COOKIE`); 0 if they do not.
    pub fn host_netns(&self) -> u64 {
        self.live.host_netns()
    }
}

/// The maps of a family, of both.
trait Both: MapFamily {
    fn scratch(explainer: &mut Explainer) -> &mut Scratch<Self>;
}

impl Both for V4 {
    fn scratch(explainer: &mut Explainer) -> &mut Scratch<V4> {
        &mut explainer.v4
    }
}

impl Both for V6 {
    fn scratch(explainer: &mut Explainer) -> &mut Scratch<V6> {
        &mut explainer.v6
    }
}
