//! The few `bpf(2)` calls that aya does not offer: <https://docs.kernel.org/userspace-api/ebpf/syscall.html>.
//!
//! aya 0.14 can swap the program behind a pinned tcx link but not behind a cgroup link; both are the same call, `BPF_OBJ_GET` and
//! `BPF_LINK_UPDATE`. And it reads and writes maps entry by entry, not many at once (`BPF_MAP_LOOKUP_BATCH`, `BPF_MAP_UPDATE_BATCH`).

use aya::Pod;
use std::{
    ffi::CString,
    io,
    mem::size_of,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_MAP_GET_FD_BY_ID: libc::c_int = 14;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_int = 26;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;

#[repr(C)]
#[derive(Default)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Entry {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct InfoByFd {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct { /* struct used by BPF_MAP_*_BATCH commands */ }` of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct Entries {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// What a call read.
pub(super) struct Read {
    /// How many entries.
    pub(super) count: usize,
    /// There are no more.
    pub(super) last: bool,
}

/// Reads entries of a hash map into `keys` and `values`, which are equally long, from `bucket` on (none: from the first one), and
/// leaves there the bucket to go on with. `ENOSPC`: one bucket has more entries than there is room. For an array, `bucket` is the index
/// of the last entry that was read.
pub(super) fn lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    bucket: &mut Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<Read> {
    let (from, mut next) = (bucket.unwrap_or_default(), 0_u32);
    let mut attr = Entries {
        in_batch: bucket.map_or(0, |_| std::ptr::from_ref(&from) as u64),
        out_batch: std::ptr::from_mut(&mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(keys.len().min(values.len())).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd().unsigned_abs(),
        ..Entries::default()
    };
    // It writes no more than `count` entries, of the sizes of `K` and `V`, and one word to `next`.
    let last = match call(BPF_MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => false,
        // The end of the map; what was read before it counts.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    *bucket = Some(next);
    Ok(Read {
        count: attr.count as usize,
        last,
    })
}

/// Writes entries: `values[i]` under `keys[i]`, in this order until one fails. Returns how many were written.
pub(super) fn update_batch<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> (usize, io::Result<()>) {
    let wanted = keys.len().min(values.len());
    let mut attr = Entries {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: u32::try_from(wanted).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd().unsigned_abs(),
        ..Entries::default()
    };
    // It reads `count` keys and values, of the sizes of `K` and `V`.
    match call(BPF_MAP_UPDATE_BATCH, &mut attr) {
        Ok(_) => (wanted, Ok(())),
        // What is refused before the first entry leaves the count as it was.
        Err(error) => (
            Some(attr.count as usize).filter(|&done| done < wanted).unwrap_or(0),
            Err(error),
        ),
    }
}

/// Reads an entry of an array whose values have as many bytes as `value`.
pub(super) fn lookup_bytes(map: BorrowedFd<'_>, index: u32, value: &mut [u8]) -> io::Result<()> {
    let mut attr = Entry {
        map_fd: map.as_raw_fd().unsigned_abs(),
        key: (&raw const index) as u64,
        value: value.as_mut_ptr() as u64,
        ..Entry::default()
    };
    call(BPF_MAP_LOOKUP_ELEM, &mut attr).map(drop)
}

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjGet {
        pathname: path.as_ptr() as u64,
        ..ObjGet::default()
    };
    let fd = call(BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins a map or a link at `path`.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjGet {
        pathname: path.as_ptr() as u64,
        bpf_fd: object.as_raw_fd().unsigned_abs(),
        ..ObjGet::default()
    };
    call(BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Opens the map that the kernel knows by this id.
pub(super) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = ById { id, ..ById::default() };
    let fd = call(BPF_MAP_GET_FD_BY_ID, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of a link.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attr = InfoByFd {
        bpf_fd: link.as_raw_fd().unsigned_abs(),
        info_len: u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?,
        info: (&raw mut info) as u64,
    };
    call(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// The head of `struct bpf_link_info`, with what it says of cgroup and tcx links.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    /// The cgroup's id (64 bits), or the device's index in the first half.
    target: [u32; 2],
    /// More of what it says of other kinds.
    rest: [u64; 4],
}

/// `BPF_LINK_TYPE_CGROUP`.
const LINK_CGROUP: u32 = 3;

impl LinkInfo {
    /// Id of the program that the link runs.
    pub(super) fn program(&self) -> u32 {
        self.program
    }

    /// Number of the cgroup that it is on, if it is one of a cgroup's.
    pub(super) fn cgroup(&self) -> Option<u64> {
        let [low, high] = self.target;
        let number = u64::from(low) | u64::from(high) << 32;
        (self.kind == LINK_CGROUP && number != 0).then_some(number)
    }

    /// Whether its cgroup or device is still there and the link on it.
    pub(super) fn is_attached(&self) -> bool {
        match self.kind {
            LINK_CGROUP => self.target != [0, 0],
            _ => self.target[0] != 0,
        }
    }
}

/// Attaches an XDP program to a device by a link; `flags` are `XDP_FLAGS_*` (include/uapi/linux/if_link.h). aya's own call would make an
/// attachment without a link where the kernel refuses one with `EINVAL`, as drivers do.
pub(super) fn create_xdp_link(program: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    const BPF_XDP: u32 = 37;
    let mut attr = LinkCreate {
        prog_fd: program.as_raw_fd().unsigned_abs(),
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags,
    };
    let fd = call(BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts `program` in the place of the one that the link runs, without a gap. `ENOLINK`: the link's cgroup or device is gone.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate {
        link_fd: link.as_raw_fd().unsigned_abs(),
        new_prog_fd: program.as_raw_fd().unsigned_abs(),
        ..LinkUpdate::default()
    };
    call(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// `attr` is where some commands leave an answer.
fn call<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: `attr` is the kernel's struct for this command, and what it points to lives until the call returns and has room for what
    // the command writes there.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        libc::c_int::try_from(result).map_err(io::Error::other)
    }
}

/// Cookie of the network namespace that this process is in (`SO_NETNS_COOKIE`, Linux 5.14).
pub(super) fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let mut cookie: u64 = 0;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the option writes eight bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(cookie)
    }
}
