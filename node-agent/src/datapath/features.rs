//! What this kernel can do, found by trying, and what was chosen because of it.

use super::{Dsr, DsrDispatch, Settings, SocketLb, TcChoice, sys};
use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
    util::KernelVersion,
};
use kpr_abi::config::features;
use std::fmt;

/// Features that programs or attachment depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// Refused socket calls can say ECONNREFUSED.
    pub(super) set_retval: bool,
    /// Processes of this network namespace can be told from pods' when they bind.
    pub(super) bind_protection: bool,
    /// tcx links (Linux 6.6); else clsact filters.
    pub(super) tcx: bool,
    /// Cookie of this network namespace, 0 if unknown.
    pub(super) host_netns_cookie: u64,
}

impl Features {
    /// Asks the kernel.
    pub(super) fn probe() -> Self {
        let host_netns_cookie = sys::netns_cookie().unwrap_or(0);
        let has_retval = |program| helper(program, BpfHelper::BPF_FUNC_set_retval);
        Self {
            // The kernel got it for both kinds of hooks at once.
            set_retval: has_retval(ProgramType::CgroupSockAddr) && has_retval(ProgramType::CgroupSock),
            bind_protection: host_netns_cookie != 0
                && helper(ProgramType::CgroupSock, BpfHelper::BPF_FUNC_get_netns_cookie),
            tcx: KernelVersion::current().is_ok_and(|now| now >= KernelVersion::new(6, 6, 0)),
            host_netns_cookie,
        }
    }

    /// Every combination of those that the programs are specialised for: as on a kernel that lacks some of them.
    pub(super) fn subsets(&self) -> Vec<Self> {
        // A new feature must be thought of here.
        let &Self {
            set_retval,
            // Its programs are not specialised: they are attached or not.
            bind_protection,
            tcx,
            host_netns_cookie,
        } = self;
        let retvals = if set_retval { vec![true, false] } else { vec![false] };
        let cookies = if host_netns_cookie == 0 {
            vec![0]
        } else {
            vec![host_netns_cookie, 0]
        };
        let mut subsets = Vec::new();
        for set_retval in retvals {
            for &host_netns_cookie in &cookies {
                subsets.push(Self {
                    set_retval,
                    bind_protection,
                    tcx,
                    host_netns_cookie,
                });
            }
        }
        subsets
    }

    /// As the programs read it.
    pub(super) fn mask(&self, settings: &Settings) -> u32 {
        let set = |bit, on| if on { bit } else { 0 };
        set(features::SET_RETVAL, self.set_retval)
            | set(
                features::HOST_NAMESPACE_ONLY,
                settings.socket_lb == SocketLb::HostNamespaceOnly,
            )
            | set(features::TUNNELS, settings.dsr != Dsr::Off)
            | set(features::DSR_TCP, matches!(settings.dsr, Dsr::Tcp | Dsr::All))
            | set(features::DSR_OTHERS, settings.dsr == Dsr::All)
            | set(features::IPIP, settings.dsr_dispatch == DsrDispatch::Ipip)
            | set(features::LEAST_CONNECTIONS, settings.least_connections)
    }

    /// As users read it.
    pub(super) fn describe(&self, tc: TcChoice, bind_protection: bool) -> Vec<String> {
        let choose = |has: bool, yes: &str, no: &str| if has { yes.to_owned() } else { no.to_owned() };
        let attachment = match (tc, self.tcx) {
            (TcChoice::Auto, true) => "tc attachment: tcx links",
            (TcChoice::Auto, false) => "tc attachment: clsact filters (tcx needs Linux 6.6)",
            (TcChoice::Clsact, _) => "tc attachment: clsact filters (as asked for)",
        };
        let bind_protection = match (bind_protection, self.bind_protection, self.set_retval) {
            (false, ..) => "bind protection: off (as asked for)",
            (true, false, _) => "bind protection: off (netns cookie needs Linux 5.14)",
            (true, true, true) => "bind protection: EADDRINUSE (bpf_set_retval)",
            (true, true, false) => "bind protection: EPERM (bpf_set_retval needs Linux 6.1)",
        };
        vec![
            attachment.to_owned(),
            choose(
                self.set_retval,
                "refused connects: ECONNREFUSED (bpf_set_retval)",
                "refused connects: EPERM (bpf_set_retval needs Linux 5.18)",
            ),
            choose(
                self.host_netns_cookie != 0,
                "NodePort on loopback: node's namespace only (netns cookie)",
                "NodePort on loopback: off (SO_NETNS_COOKIE needs Linux 5.14)",
            ),
            bind_protection.to_owned(),
        ]
    }
}

/// The features that the programs are specialised for, as one phrase.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |has: bool| if has { "with" } else { "without" };
        write!(
            f,
            "{} bpf_set_retval, {} netns cookie",
            with(self.set_retval),
            with(self.host_netns_cookie != 0)
        )
    }
}

/// Whether programs of this type may call the helper. A kernel that can't be asked is taken not to have it.
fn helper(program: ProgramType, id: BpfHelper) -> bool {
    is_helper_supported(program, id).unwrap_or(false)
}
