//! Read-only data that the agent sets before it loads the programs. The verifier knows its values and removes the branches
//! that they rule out.

use aya_ebpf::Global;
use kpr_abi::Be16;

#[unsafe(no_mangle)]
static NODE_PORT_MIN: Global<u16> = Global::new(30_000);
#[unsafe(no_mangle)]
static NODE_PORT_MAX: Global<u16> = Global::new(32_767);
#[unsafe(no_mangle)]
static SNAT_PORT_MIN: Global<u16> = Global::new(45_000);
#[unsafe(no_mangle)]
static SNAT_PORT_MAX: Global<u16> = Global::new(65_535);
#[unsafe(no_mangle)]
static HOST_NETNS_COOKIE: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static FEATURES: Global<u32> = Global::new(0);

/// Whether the port may be a NodePort.
#[inline(always)]
pub fn is_node_port(port: Be16) -> bool {
    let port = port.host();
    port >= NODE_PORT_MIN.load() && port <= NODE_PORT_MAX.load()
}

/// Whether the port may be a source port of SNAT.
#[inline(always)]
pub fn is_snat_port(port: Be16) -> bool {
    let port = port.host();
    port >= SNAT_PORT_MIN.load() && port <= SNAT_PORT_MAX.load()
}

/// The port of the SNAT range that is `offset` after its first one, counted round the range.
#[inline(always)]
pub fn snat_port(offset: u32) -> Be16 {
    let min = u32::from(SNAT_PORT_MIN.load());
    let count = u32::from(SNAT_PORT_MAX.load()).wrapping_sub(min) + 1;
    // Never 0, but the compiler can't know: a plain remainder would leave a panic in the program.
    let offset = offset.checked_rem(count).unwrap_or(0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "min + offset is at most the range's last port"
    )]
    Be16::new((min + offset) as u16)
}

/// A port of this node that nobody listens on: the last one of the SNAT range, which is reserved from automatic binding.
#[inline(always)]
pub fn refusing_port() -> Be16 {
    Be16::new(SNAT_PORT_MAX.load())
}

/// Cookie of the node's own network namespace; 0 if the kernel can't tell.
#[inline(always)]
pub fn host_netns_cookie() -> u64 {
    HOST_NETNS_COOKIE.load()
}

/// Whether a feature of [`kpr_abi::config::features`] is there.
#[inline(always)]
pub fn has(feature: u32) -> bool {
    FEATURES.load() & feature != 0
}
