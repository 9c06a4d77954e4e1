//! What the agent needs of a datapath: the real one writes eBPF maps, the tests' one remembers what it was told.

use kpr_abi::{Family, V4};

use super::devices::Placement;
use crate::{
    datapath::{self, Contents, Error, Options, Report, Settings, Sweep, Timeouts},
    plan::{Limits, Op},
};

/// Makes a datapath, and takes it away.
pub trait Loader: Send + 'static {
    /// What it makes.
    type Datapath: Datapath;

    /// Loads the programs, adopts maps and links that are pinned, makes those that are not. Programs that an earlier
    /// start left attached are swapped without a gap.
    fn start(&mut self, settings: &Settings) -> Result<Self::Datapath, Error>;

    /// Removes programs, pins and sysctls, whoever left them.
    fn remove(&mut self) -> Result<(), Error>;
}

/// The tables of one address family.
pub trait Tables<F: Family> {
    /// How many entries they hold.
    fn limits(&self) -> Limits;

    /// What frontends, and what they lead to, are in them.
    fn contents(&mut self) -> Result<Contents<F>, Error>;

    /// Carries out one operation of a plan.
    fn apply(&mut self, op: &Op<F>) -> Result<(), Error>;
}

/// A running datapath. Dropping it changes nothing: its pins go on.
pub trait Datapath: Tables<V4> + Send + 'static {
    /// Attaches to exactly these devices, and serves NodePorts on exactly these addresses.
    fn place(&mut self, placement: &Placement) -> Result<(), Error>;

    /// Forgets flows that have been idle for too long.
    fn sweep(&mut self) -> Sweep;

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

    fn remove(&mut self) -> Result<(), Error> {
        datapath::Datapath::remove(&self.options)
    }
}

impl Tables<V4> for datapath::Datapath {
    fn limits(&self) -> Limits {
        self.v4().limits()
    }

    fn contents(&mut self) -> Result<Contents<V4>, Error> {
        self.v4_mut().restore()
    }

    fn apply(&mut self, op: &Op<V4>) -> Result<(), Error> {
        self.v4_mut().apply(op)
    }
}

impl Datapath for datapath::Datapath {
    fn place(&mut self, placement: &Placement) -> Result<(), Error> {
        let Placement {
            selection,
            local,
            snat_default,
            snat_by_device,
        } = placement;
        // Addresses first: a program that is attached finds them.
        self.v4_mut().set_local(local)?;
        self.v4_mut().set_snat_source(*snat_default, snat_by_device)?;
        self.attach(&selection.devices)
    }

    fn sweep(&mut self) -> Sweep {
        self.v4_mut().sweep(&Timeouts::default())
    }

    fn report(&self) -> Report {
        Self::report(self)
    }
}
