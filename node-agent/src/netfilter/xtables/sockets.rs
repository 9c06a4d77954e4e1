//! Reading and replacing a table, by socket options.

use std::{
    fs, io,
    mem::size_of,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{
    blob::{self, Hooks, Layout, Rules},
    entry,
};
use crate::{
    netfilter::rule::Rule,
    takeover::{Chain, Plan},
};

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, and those of IPv6, which have the same numbers.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// `IPT_SO_SET_REPLACE` and `IPT_SO_SET_ADD_COUNTERS`.
const REPLACE: libc::c_int = 64;
const ADD_COUNTERS: libc::c_int = 65;

const NAME: usize = 32;
/// What precedes the rules in `struct ipt_get_entries`, and the counters in `struct xt_counters_info`: a name and a number,
/// aligned for 64-bit counters.
const ENTRIES_HEADER: usize = 40;

/// `struct ipt_getinfo` and `struct ip6t_getinfo`.
#[repr(C)]
struct GetInfo {
    name: [u8; NAME],
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    num_entries: u32,
    size: u32,
}

/// `struct ipt_replace` and `struct ip6t_replace`, before the rules.
#[repr(C)]
struct Replace {
    name: [u8; NAME],
    valid_hooks: u32,
    num_entries: u32,
    size: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    num_counters: u32,
    counters: *mut u8,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `iptables`.
    V4,
    /// `ip6tables`.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Which tables this network namespace has: asking for another one would make it.
    fn tables_in_use(self) -> io::Result<String> {
        fs::read_to_string(match self {
            Self::V4 => "/proc/thread-self/net/ip_tables_names",
            Self::V6 => "/proc/thread-self/net/ip6_tables_names",
        })
    }

    fn level(self) -> libc::c_int {
        match self {
            Self::V4 => libc::IPPROTO_IP,
            Self::V6 => libc::IPPROTO_IPV6,
        }
    }

    fn layout(self) -> Layout {
        match self {
            Self::V4 => blob::V4,
            Self::V6 => blob::V6,
        }
    }
}

/// A table of the older iptables.
pub struct Table {
    family: Family,
    name: [u8; NAME],
    hooks: Hooks,
    /// The rules, as they lie in the kernel.
    bytes: Vec<u8>,
    entries: u32,
    socket: OwnedFd,
}

impl Table {
    /// Reads the table of this name; none if it isn't in use. Changes nothing.
    pub fn read(family: Family, table: &str) -> io::Result<Option<Self>> {
        // A kernel without the older iptables has no such file.
        let in_use = family
            .tables_in_use()
            .is_ok_and(|names| names.lines().any(|name| name == table));
        if !in_use {
            return Ok(None);
        }
        // Any socket of the family answers; a raw one would need another capability.
        let domain = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        let socket = socket(domain, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        let mut name = [0; NAME];
        name[..table.len()].copy_from_slice(table.as_bytes());
        let mut info = GetInfo {
            name,
            valid_hooks: 0,
            hook_entry: [0; 5],
            underflow: [0; 5],
            num_entries: 0,
            size: 0,
        };
        // SAFETY: the kernel reads and writes within the size given, which is that of `info`.
        unsafe {
            get(
                &socket,
                family.level(),
                GET_INFO,
                (&raw mut info).cast(),
                size_of::<GetInfo>(),
            )?;
        }
        let mut buffer = vec![0; ENTRIES_HEADER + info.size as usize];
        buffer[..NAME].copy_from_slice(&name);
        buffer[NAME..NAME + 4].copy_from_slice(&info.size.to_ne_bytes());
        let length = buffer.len();
        // SAFETY: the kernel reads and writes within the size given, which is that of `buffer`.
        unsafe {
            get(&socket, family.level(), GET_ENTRIES, buffer.as_mut_ptr().cast(), length)?;
        }
        Ok(Some(Self {
            family,
            name,
            hooks: Hooks {
                valid: info.valid_hooks,
                entry: info.hook_entry,
                underflow: info.underflow,
            },
            bytes: buffer.split_off(ENTRIES_HEADER),
            entries: info.num_entries,
            socket,
        }))
    }

    /// Whether a chain of this name is in it, in a moment: names are in the rules as they are written.
    pub fn mentions(&self, chain: &str) -> bool {
        let name = [chain.as_bytes(), b"\0"].concat();
        self.bytes.windows(name.len()).any(|window| window == name)
    }

    /// The chains, and what their rules lead to.
    pub fn chains(&self) -> io::Result<Vec<Chain>> {
        Ok(self.rules()?.chains())
    }

    /// The rules of the chains that `wanted` names, in order. A rule that is not understood is an error.
    pub fn listed(&self, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Rule>> {
        let rules = self.rules()?;
        let of_chains = rules.of_chains().filter(|(chain, ..)| wanted(chain));
        let listed = of_chains.map(|(chain, entry, jump)| entry::rule(self.family.layout(), &chain, entry, jump));
        listed
            .collect::<Result<_, _>>()
            .map_err(|what| io::Error::new(io::ErrorKind::Unsupported, what))
    }

    /// Carries a plan out, at once and as a whole. Fails with `EAGAIN` if the table has another size by now.
    pub fn carry_out(&self, plan: &Plan) -> io::Result<()> {
        let rules = self.rules()?;
        let replacement = rules.without(plan);
        let left = u32::try_from(replacement.from.len()).map_err(io::Error::other)?;
        let mut counters = vec![0; blob::counters_size(rules.len())];
        let head = Replace {
            name: self.name,
            valid_hooks: replacement.hooks.valid,
            num_entries: left,
            size: u32::try_from(replacement.bytes.len()).map_err(io::Error::other)?,
            hook_entry: replacement.hooks.entry,
            underflow: replacement.hooks.underflow,
            num_counters: self.entries,
            counters: counters.as_mut_ptr(),
        };
        // SAFETY: a structure of numbers and a pointer, without padding: its bytes are all there.
        let head = unsafe { std::slice::from_raw_parts((&raw const head).cast::<u8>(), size_of::<Replace>()) };
        let message = [head, &replacement.bytes].concat();
        // SAFETY: the message is whole; the kernel writes the counters of the old table's entries to `counters`, which has
        // room for so many and lives until the end of this function.
        unsafe { set(&self.socket, self.family.level(), REPLACE, &message)? };

        let mut add = vec![0; ENTRIES_HEADER];
        add[..NAME].copy_from_slice(&self.name);
        add[NAME..NAME + 4].copy_from_slice(&left.to_ne_bytes());
        add.extend(blob::counters_of(&replacement.from, &counters));
        // Somebody else may have replaced the table in between; then it is theirs to count.
        // SAFETY: the message is whole, and holds no pointer.
        let _ = unsafe { set(&self.socket, self.family.level(), ADD_COUNTERS, &add) };
        Ok(())
    }

    fn rules(&self) -> io::Result<Rules> {
        let rules = Rules::read(self.family.layout(), self.hooks, &self.bytes);
        rules
            .filter(|rules| rules.len() == self.entries as usize)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the table is not built as those of iptables are",
                )
            })
    }
}

/// What programs of the older iptables hold while they change a table.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held")] Option<Flock<fs::File>>);

impl Lock {
    const PATH: &str = "/run/xtables.lock";
    const ATTEMPTS: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(100);

    /// Takes it. Where the file can't be reached, as in a container that does not have it, only the kernel's own check is left.
    pub fn take() -> io::Result<Self> {
        let Ok(mut file) = fs::File::options().read(true).open(Self::PATH) else {
            return Ok(Self(None));
        };
        for _ in 0..Self::ATTEMPTS {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self(Some(lock))),
                Err((back, nix::errno::Errno::EAGAIN)) => file = back,
                Err((_, error)) => return Err(error.into()),
            }
            std::thread::sleep(Self::PAUSE);
        }
        let what = format!("another program holds {} for long", Self::PATH);
        Err(io::Error::new(io::ErrorKind::WouldBlock, what))
    }
}

/// `getsockopt(2)`.
///
/// # Safety
///
/// `value` points to `length` bytes that may be written.
unsafe fn get(
    socket: &impl AsRawFd,
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

/// `setsockopt(2)`.
///
/// # Safety
///
/// Pointers in `value` point to what the option says.
unsafe fn set(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: as the caller promises; the kernel reads `length` bytes.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    nix::errno::Errno::result(result).map(|_zero| ()).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn structures_are_the_kernels() {
        assert_eq!(size_of::<GetInfo>(), 84);
        assert_eq!((size_of::<Replace>(), offset_of!(Replace, counters)), (96, 88));
    }
}
