//! Commands and daemons in the cluster's namespaces and cgroups.

mod binaries;
mod launch;
pub mod limits;
mod running;
mod script;
mod spawner;

pub(crate) use self::script::write_script;
pub use self::{
    binaries::{Binaries, on_path, repository, tool},
    launch::Launch,
    running::{Output, Process, Session, log_tail},
};
