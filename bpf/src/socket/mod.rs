//! East-west: a socket call to a service is led to one of its backends; its packets never carry the service's address.

pub mod address;
pub mod bind;
pub mod forward;
pub mod release;
pub mod reverse;

use crate::{config, counters};
use aya_ebpf::{bindings::bpf_sock_addr, helpers::bpf_set_retval, programs::SockAddrContext};
use kpr_abi::{Reason, config::features};

/// Let the call go on.
pub const ALLOW: i32 = 1;
/// Fail the call, with EPERM if nothing else was set.
const DENY: i32 = 0;

const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;

/// What a call's outcome means to the hook.
#[inline(always)]
pub fn verdict(outcome: Result<(), Reason>) -> i32 {
    match outcome {
        Ok(()) => ALLOW,
        Err(reason) => {
            counters::count(reason);
            // kube-proxy rejects where no endpoint is usable and drops where only other nodes have one. A socket call can't be
            // dropped: it fails in a way that can be told from a refusal.
            let errno = if matches!(reason, Reason::SocketNoEndpoint) {
                ECONNREFUSED
            } else {
                EHOSTUNREACH
            };
            if config::has(features::SET_RETVAL) {
                // SAFETY: a helper without pointers; the feature says that this kernel has it on this hook.
                unsafe { bpf_set_retval(-errno) };
            }
            DENY
        }
    }
}

#[inline(always)]
fn raw(ctx: &SockAddrContext) -> *mut bpf_sock_addr {
    ctx.sock_addr
}
