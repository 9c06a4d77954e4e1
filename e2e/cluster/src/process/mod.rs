//! Commands and daemons in the cluster's namespaces and cgroups.

mod binaries;
mod launch;
pub mod limits;
mod running;
mod spawner;

pub use self::{
    binaries::{Binaries, on_path, repository, tool},
    launch::Launch,
    running::{Output, Process, Session, log_tail},
};
