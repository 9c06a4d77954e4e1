//! What the agent needs of a datapath: the real one writes eBPF maps, the tests' one remembers what it was told.

use std::net::SocketAddr;

use kpr_abi::{Family, V4, V6};

use super::{devices::Placement, node_addresses::NodeAddresses};
use crate::{
    datapath::{self, Contents, Error, Events, FamilyTables, HandOver, MapFamily, Options, Report, Settings},
    model::Protocol,
    plan::{Limits, Op},
    takeover::Cleared,
};

/// Makes a datapath, and takes it away.
pub trait Loader: Send + 'static {
    /// What it makes.
    type Datapath: Datapath;

    /// Loads the programs, adopts maps and links that are pinned, makes those that are not. Programs that an earlier
    /// start left attached are swapped without a gap.
    fn start(&mut self, settings: &Settings) -> Result<Self::Datapath, Error>;

    /// Whether flows with DSR may be open, from before this start.
    fn may_have_dsr(&self) -> bool;

    /// Removes programs, pins and sysctls, whoever left them.
    fn remove(&mut self) -> Result<(), Error>;
}

/// The tables of one address family.
pub trait Tables<F: Family> {
    /// How many entries they hold.
    fn limits(&self) -> Limits;

    /// What frontends, and what they lead to, are in them.
    fn contents(&mut self) -> Result<Contents<F>, Error>;

    /// Carries out operations of a plan in their order. Returns how many were carried out; an error is that of the next one.
    fn apply(&mut self, ops: &[Op<F>]) -> (usize, Result<(), Error>);
}

/// A running datapath. Dropping it changes nothing: its pins go on.
pub trait Datapath: Tables<V4> + Tables<V6> + Send + 'static {
    /// Attaches to exactly these devices, and serves NodePorts on exactly these addresses, of either family.
    fn place(&mut self, placement: &Placement) -> Result<(), Error>;

    /// Puts back what somebody else took away of programs, pins and node addresses, and returns a sentence for each repair.
    /// `placement`: the last one, if there was one.
    fn repair(&mut self, placement: Option<&Placement>) -> Result<Vec<String>, Error>;

    /// Leaves flows that netfilter translates for a kube-proxy to it. Returns how many were found.
    fn leave_translated(&mut self) -> Result<u32, Error>;

    /// Keeps source ports that kube-proxy's rules take out of the datapath's own, while there are such rules.
    fn keep_apart(&mut self) -> Result<(), Error>;

    /// Removes what a kube-proxy has left on this node: it must not run any more.
    fn clear_kube_proxy(&mut self) -> Cleared;

    /// Begins no flow any more, and gives those that there are to netfilter if a kube-proxy's rules are there.
    fn hand_over(&mut self) -> Result<Option<HandOver>, Error>;

    /// The frontends that are counted, by this agent or the one before it.
    fn counted_services(&self) -> Vec<(SocketAddr, Protocol)>;

    /// Has exactly these frontends counted, of either family.
    fn count_services(&mut self, frontends: &[(SocketAddr, Protocol)]) -> Result<(), Error>;

    /// How many frontends were deleted so far to which flows may go on.
    fn frontends_gone(&self) -> u64;

    /// No flow is left to a frontend that is gone.
    fn none_lingers(&mut self) -> Result<(), Error>;

    /// Whether programs are, or may be, on pod-facing devices, whoever attached them.
    fn serves_pods(&self) -> bool;

    /// What its programs tell, if they were loaded with events; once.
    fn take_events(&mut self) -> Option<Events>;

    /// What it is doing.
    fn report(&self) -> Report;
}

/// Loads the real datapath.
#[derive(Clone, Debug)]
pub struct KernelLoader {
    /// Where it lives.
    pub options: Options,
}

impl Loader for KernelLoader {
    type Datapath = datapath::Datapath;

    fn start(&mut self, settings: &Settings) -> Result<datapath::Datapath, Error> {
        datapath::Datapath::start(&self.options, settings)
    }

    fn may_have_dsr(&self) -> bool {
        datapath::Datapath::may_have_dsr(&self.options)
    }

    fn remove(&mut self) -> Result<(), Error> {
        datapath::Datapath::remove(&self.options)
    }
}

/// Has the maps of a family.
trait Maps<F: MapFamily> {
    fn maps(&self) -> &FamilyTables<F>;
    fn maps_mut(&mut self) -> &mut FamilyTables<F>;

    fn tell(&mut self, addresses: &NodeAddresses<F>) -> Result<(), Error> {
        let NodeAddresses {
            local,
            host_ports_only,
            snat_default,
            snat_by_device,
        } = addresses;
        self.maps_mut().set_local(local, host_ports_only)?;
        self.maps_mut().set_snat_source(*snat_default, snat_by_device)
    }
}

impl Maps<V4> for datapath::Datapath {
    fn maps(&self) -> &FamilyTables<V4> {
        self.v4()
    }

    fn maps_mut(&mut self) -> &mut FamilyTables<V4> {
        self.v4_mut()
    }
}

impl Maps<V6> for datapath::Datapath {
    fn maps(&self) -> &FamilyTables<V6> {
        self.v6()
    }

    fn maps_mut(&mut self) -> &mut FamilyTables<V6> {
        self.v6_mut()
    }
}

impl<F: MapFamily> Tables<F> for datapath::Datapath
where
    Self: Maps<F>,
{
    fn limits(&self) -> Limits {
        self.maps().limits()
    }

    fn contents(&mut self) -> Result<Contents<F>, Error> {
        self.maps_mut().restore()
    }

    fn apply(&mut self, ops: &[Op<F>]) -> (usize, Result<(), Error>) {
        self.maps_mut().apply_all(ops)
    }
}

impl Datapath for datapath::Datapath {
    fn place(&mut self, placement: &Placement) -> Result<(), Error> {
        let Placement {
            selection,
            pod_facing,
            pod_reasons: _,
            acceleration,
            v4,
            v6,
        } = placement;
        // Addresses first: a program that is attached finds them.
        self.tell(v4)?;
        self.tell(v6)?;
        self.attach(&selection.devices, pod_facing)?;
        // Behind the others: what XDP leaves is theirs.
        self.accelerate(&selection.devices, *acceleration)
    }

    fn repair(&mut self, placement: Option<&Placement>) -> Result<Vec<String>, Error> {
        let before = self.map_writes();
        if let Some(Placement { v4, v6, .. }) = placement {
            self.tell(v4)?;
            self.tell(v6)?;
        }
        let addresses = self.map_writes() - before;
        let mut repaired = Self::repair(self)?;
        if addresses > 0 {
            repaired.push(format!("{addresses} entries about node addresses were different"));
        }
        Ok(repaired)
    }

    fn leave_translated(&mut self) -> Result<u32, Error> {
        Self::leave_translated(self)
    }

    fn keep_apart(&mut self) -> Result<(), Error> {
        Self::keep_apart(self)
    }

    fn clear_kube_proxy(&mut self) -> Cleared {
        Self::clear_kube_proxy(self)
    }

    fn hand_over(&mut self) -> Result<Option<HandOver>, Error> {
        Self::hand_over(self)
    }

    fn counted_services(&self) -> Vec<(SocketAddr, Protocol)> {
        [self.v4().counted(), self.v6().counted()].concat()
    }

    fn count_services(&mut self, frontends: &[(SocketAddr, Protocol)]) -> Result<(), Error> {
        self.v4_mut().count(frontends)?;
        self.v6_mut().count(frontends)
    }

    fn frontends_gone(&self) -> u64 {
        Self::frontends_gone(self)
    }

    fn none_lingers(&mut self) -> Result<(), Error> {
        Self::none_lingers(self)
    }

    fn serves_pods(&self) -> bool {
        Self::serves_pods(self)
    }

    fn take_events(&mut self) -> Option<Events> {
        Self::take_events(self)
    }

    fn report(&self) -> Report {
        Self::report(self)
    }
}
