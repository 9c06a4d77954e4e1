//! Rules of a kube-proxy that runs here, or ran and left them.

use std::{fs, io, mem::size_of};

use super::message::{Attributes, Nfnetlink, attribute};

/// Subsystem `NFNL_SUBSYS_NFTABLES`, messages `NFT_MSG_GETTABLE` and `NFT_MSG_GETCHAIN`.
const GET_TABLE: u16 = 0xa01;
const GET_CHAIN: u16 = 0xa04;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;

/// The table of kube-proxy's nftables mode.
const TABLE: &[u8] = b"kube-proxy\0";
/// A chain of its iptables mode, in the table `nat`: the one that all Service traffic passes.
const CHAIN: &[u8] = b"KUBE-SERVICES\0";
const NAT: &[u8] = b"nat\0";

/// Which rules of kube-proxy are on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of its iptables mode, by either kind of iptables.
    pub iptables: bool,
    /// Of its nftables mode.
    pub nftables: bool,
}

impl Found {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self.iptables || self.nftables
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.iptables, self.nftables) {
            (false, false) => "no rules",
            (true, false) => "iptables rules",
            (false, true) => "nftables rules",
            (true, true) => "iptables and nftables rules",
        })
    }
}

/// Looks for rules, in the network namespace that this thread is in. Changes nothing: a table of the older iptables that isn't in
/// use is not asked for, since the question would make it. What can't be read is taken for absent.
pub fn rules() -> Found {
    let mut found = Found {
        iptables: has_legacy_chain(),
        nftables: false,
    };
    if let Ok(netfilter) = Nfnetlink::open() {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let family = u8::try_from(family).unwrap_or_default();
            let list = |kind, take: &mut dyn FnMut(&[u8])| netfilter.list(kind, family, &Attributes::default(), take);
            // A kernel without nf_tables refuses.
            let _ = list(GET_TABLE, &mut |table| {
                found.nftables |= attribute(table, NFTA_TABLE_NAME) == Some(TABLE);
            });
            let _ = list(GET_CHAIN, &mut |chain| {
                let in_nat = attribute(chain, NFTA_CHAIN_TABLE) == Some(NAT);
                found.iptables |= in_nat && attribute(chain, NFTA_CHAIN_NAME) == Some(CHAIN);
            });
        }
    }
    found
}

/// `struct ipt_getinfo` and `struct ip6t_getinfo`.
#[repr(C)]
struct GetInfo {
    name: [u8; 32],
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    num_entries: u32,
    size: u32,
}

/// What precedes the rules in `struct ipt_get_entries`: the table's name, and the size of the rules, aligned for 64-bit counters.
const ENTRIES_HEADER: usize = 40;
/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, and those of IPv6, which have the same numbers.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;

/// Whether the chain is in a `nat` table of the older iptables (`x_tables`).
fn has_legacy_chain() -> bool {
    let tables = [
        ("/proc/thread-self/net/ip_tables_names", libc::AF_INET, libc::IPPROTO_IP),
        (
            "/proc/thread-self/net/ip6_tables_names",
            libc::AF_INET6,
            libc::IPPROTO_IPV6,
        ),
    ];
    tables.into_iter().any(|(names, family, level)| {
        let in_use = fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "nat"));
        in_use && entries(family, level).is_ok_and(|rules| rules.windows(CHAIN.len()).any(|window| window == CHAIN))
    })
}

/// The rules of the table `nat`, as they lie in the kernel: names of chains are in them as they are written.
fn entries(family: libc::c_int, level: libc::c_int) -> io::Result<Vec<u8>> {
    let socket = nix::sys::socket::socket(
        if family == libc::AF_INET {
            nix::sys::socket::AddressFamily::Inet
        } else {
            nix::sys::socket::AddressFamily::Inet6
        },
        nix::sys::socket::SockType::Raw,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        nix::sys::socket::SockProtocol::Raw,
    )?;
    let mut name = [0; 32];
    name[..NAT.len()].copy_from_slice(NAT);
    let mut info = GetInfo {
        name,
        valid_hooks: 0,
        hook_entry: [0; 5],
        underflow: [0; 5],
        num_entries: 0,
        size: 0,
    };
    // SAFETY: the kernel reads and writes within the size given, which is that of `info`.
    unsafe { get(&socket, level, GET_INFO, (&raw mut info).cast(), size_of::<GetInfo>())? };
    let size = info.size as usize;
    let mut buffer = vec![0; ENTRIES_HEADER + size];
    buffer[..32].copy_from_slice(&name);
    buffer[32..36].copy_from_slice(&info.size.to_ne_bytes());
    let length = buffer.len();
    // SAFETY: the kernel reads and writes within the size given, which is that of `buffer`.
    unsafe { get(&socket, level, GET_ENTRIES, buffer.as_mut_ptr().cast(), length)? };
    Ok(buffer)
}

/// `getsockopt(2)`.
///
/// # Safety
///
/// `value` points to `length` bytes that may be written.
unsafe fn get(
    socket: &impl std::os::fd::AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: *mut libc::c_void,
    length: usize,
) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(length).map_err(io::Error::other)?;
    // SAFETY: as the caller promises; the length is a variable of this function.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value, &raw mut length) };
    nix::errno::Errno::result(result).map(|_zero| ()).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn names_end_as_the_kernel_ends_them() {
        for name in [TABLE, CHAIN, NAT] {
            assert!(CStr::from_bytes_with_nul(name).is_ok());
        }
    }

    #[test]
    fn rules_are_named_by_their_kind() {
        let both = Found {
            iptables: true,
            nftables: true,
        };
        assert_eq!(both.to_string(), "iptables and nftables rules");
        assert!(both.any() && !Found::default().any());
    }
}
