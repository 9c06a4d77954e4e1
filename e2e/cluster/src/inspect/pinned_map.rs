//! Tampering with a pinned eBPF map, as a person with `bpftool` might.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

/// `enum bpf_cmd` in include/uapi/linux/bpf.h.
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_OBJ_GET: libc::c_long = 7;

/// No map of kpr's has longer keys, in bytes.
const LONGEST_KEY: usize = 64;

/// The head of `union bpf_attr` for the commands about elements.
#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    next_key_or_value: u64,
    flags: u64,
}

/// The head of `union bpf_attr` for opening a pin.
#[repr(C)]
#[derive(Default)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Deletes every entry of the hash map that is pinned at `pin`, and says how many there were.
pub fn clear(pin: &Path) -> Result<u32> {
    let map = open(pin).with_context(|| format!("open {}", pin.display()))?;
    let mut count = 0;
    let mut key = [0_u8; LONGEST_KEY];
    // Always the first key: the one before it is gone by then.
    loop {
        let mut attribute = Element {
            map_fd: map.as_raw_fd().unsigned_abs(),
            next_key_or_value: key.as_mut_ptr() as u64,
            ..Element::default()
        };
        match call(BPF_MAP_GET_NEXT_KEY, &mut attribute) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(count),
            found => found.context("read a key")?,
        };
        let mut attribute = Element {
            map_fd: map.as_raw_fd().unsigned_abs(),
            key: key.as_ptr() as u64,
            ..Element::default()
        };
        call(BPF_MAP_DELETE_ELEM, &mut attribute).context("delete an entry")?;
        count += 1;
    }
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut attribute = ObjGet {
        pathname: path.as_ptr() as u64,
        ..ObjGet::default()
    };
    let descriptor = call(BPF_OBJ_GET, &mut attribute)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor).map_err(io::Error::other)?) })
}

fn call<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attribute` is the head of the kernel's struct for this command, its size is given, and what it points to outlives
    // the call: a path, or a key that is as long as any.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<T>()) };
    Ok(Errno::result(result)?)
}
