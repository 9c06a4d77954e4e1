//! Which programs see it.

use std::path::Path;

use crate::{
    datapath::dump::{self, AttachedProgram},
    observe::api::Status,
};

/// What is attached on this node.
pub(super) struct Attached(Vec<AttachedProgram>);

impl Attached {
    /// By pinned links; filters of kernels without tcx are told by the agent.
    pub(super) fn find(bpffs_root: &Path, status: Option<&Status>) -> anyhow::Result<Self> {
        let mut all = dump::attachments(bpffs_root)?;
        let filters = status.iter().flat_map(|status| &status.attachments);
        all.extend(
            filters
                .filter(|attachment| attachment.hook == "clsact")
                .map(|filter| AttachedProgram {
                    program: filter.program.clone(),
                    device: nix::net::if_::if_nametoindex(filter.target.as_str()).ok(),
                }),
        );
        Ok(Self(all))
    }

    /// Whether sockets are led to backends.
    pub(super) fn leads_sockets(&self) -> bool {
        self.0.iter().any(|one| one.program == "kpr_connect4")
    }

    /// The devices at which packets from outside are looked at.
    pub(super) fn external(&self) -> Vec<u32> {
        self.devices("kpr_ingress")
    }

    /// The devices at which XDP sees packets first.
    pub(super) fn accelerated(&self) -> Vec<u32> {
        self.devices("kpr_xdp")
    }

    /// The devices at which packets of pods are looked at.
    pub(super) fn pod_facing(&self) -> Vec<u32> {
        self.devices("kpr_pod_ingress")
    }

    /// Those that have a program of this name, with or without link header.
    fn devices(&self, program: &str) -> Vec<u32> {
        let has_it = |one: &&AttachedProgram| one.program.strip_suffix("_l3").unwrap_or(&one.program) == program;
        let mut devices: Vec<_> = self.0.iter().filter(has_it).filter_map(|one| one.device).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }
}
