//! Where a pod of this node is: its network namespace, and its device.

use std::{net::IpAddr, path::Path, thread};

use crate::{
    datapath::dump,
    devices::holder,
    sockets::namespaces::{Namespace, of_cgroup},
};

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// The namespace (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// The node's end of its device.
    pub device: Option<u32>,
}

/// The network namespace of a process below `cgroup_root` that has this address; none: no process is in such a one.
pub(super) fn find(address: IpAddr, cgroup_root: &Path) -> anyhow::Result<Option<Home>> {
    let own = Namespace::own()?.inode();
    for namespace in of_cgroup(cgroup_root)?.into_iter().filter(|other| other.inode() != own) {
        // Entering one changes the thread that does it.
        let look = || look_into(&namespace, address);
        let found = thread::scope(|scope| scope.spawn(look).join());
        let Ok(found) = found else {
            anyhow::bail!("a thread that looked into a network namespace has ended");
        };
        if let Some(home) = found? {
            return Ok(Some(home));
        }
    }
    Ok(None)
}

fn look_into(namespace: &Namespace, address: IpAddr) -> anyhow::Result<Option<Home>> {
    if !namespace.enter()? {
        return Ok(None);
    }
    let Some(found) = holder(address)? else {
        return Ok(None);
    };
    Ok(Some(Home {
        netns: dump::own_netns().unwrap_or_default(),
        device: found.peer,
    }))
}
