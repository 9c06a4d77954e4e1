//! One look at all sockets of the node, and the end of those that are stale.

use std::{path::Path, sync::Arc};

use tracing::{debug, info};

use super::{
    Error, Kept, Led,
    diag::{Connected, Destroyed, Diag},
    namespaces::{Namespace, of_cgroup},
};

/// Where to look. A pass changes the namespace of its thread, and puts the thread back into `own` at its end.
pub struct Pass<'a, L> {
    /// Whose processes' namespaces are looked into.
    pub cgroup_root: &'a Path,
    /// The node's namespace.
    pub own: &'a Namespace,
    /// Where sockets were led.
    pub led: L,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Sockets that were closed.
    pub closed: u64,
    /// The kernel cannot close sockets.
    pub unsupported: bool,
    /// The first thing that went wrong. What else could be done was done.
    pub failure: Option<Error>,
}

impl<L: Led> Pass<'_, L> {
    /// Closes every socket that is stale. `kept` is asked anew for each namespace, after its sockets have been listed: a
    /// socket can only have been led to a backend that was kept by then, unless the backend is gone. None: stop.
    pub fn run(&self, kept: impl Fn() -> Option<Arc<Kept>>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut namespaces = of_cgroup(self.cgroup_root).unwrap_or_else(|error| {
            outcome.failure = Some(error);
            Vec::new()
        });
        if namespaces.iter().all(|namespace| namespace.inode() != self.own.inode()) {
            namespaces.push(self.own.clone());
        }
        debug!(namespaces = namespaces.len(), "looking for stale sockets");
        for namespace in &namespaces {
            if let Err(error) = self.look_into(namespace, &kept, &mut outcome) {
                outcome.failure.get_or_insert(error);
            }
            if outcome.unsupported {
                break;
            }
        }
        if let Err(error) = self.own.enter() {
            outcome.failure.get_or_insert(error);
        }
        outcome
    }

    fn look_into(
        &self,
        namespace: &Namespace,
        kept: &impl Fn() -> Option<Arc<Kept>>,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        if !namespace.enter()? {
            return Ok(());
        }
        let diag = Diag::open()?;
        let Some(wanted) = kept() else { return Ok(()) };
        let mut sockets = Vec::new();
        for &protocol in wanted.protocols() {
            sockets.extend(diag.connected(protocol)?);
        }
        let Some(kept) = kept() else { return Ok(()) };
        for socket in &sockets {
            if kept.is_stale(socket, &self.led)? {
                match diag.destroy(socket)? {
                    Destroyed::Closed => {
                        log_closed(socket, namespace);
                        outcome.closed += 1;
                    }
                    Destroyed::Gone => {}
                    Destroyed::Unsupported => {
                        outcome.unsupported = true;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

fn log_closed(socket: &Connected, namespace: &Namespace) {
    info!(
        backend = %socket.peer(),
        netns = namespace.inode(),
        "closed a {} socket whose backend is gone",
        socket.protocol()
    );
}
