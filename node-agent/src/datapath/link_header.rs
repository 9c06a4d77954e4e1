//! What packets of a device begin with, and the device's own address there.

use crate::devices::Device;
use std::{mem::size_of, os::fd::AsRawFd};

/// `ARPHRD_ETHER` (include/uapi/linux/if_arp.h).
const ETHERNET: u16 = 1;

/// Whether packets of the device have an Ethernet header. A device that can't be asked is taken to have one, as nearly all do.
pub(super) fn has_ethernet(device: &Device) -> bool {
    hardware(&device.name).is_none_or(|address| address.sa_family == ETHERNET)
}

/// The device's address in Ethernet headers; none if it has no such header, or can't be asked.
pub(super) fn ethernet_address(device: &Device) -> Option<[u8; 6]> {
    ethernet_address_of(&device.name)
}

/// The same of the device of this index.
pub(super) fn ethernet_address_at(ifindex: u32) -> Option<[u8; 6]> {
    ethernet_address_of(nix::net::if_::if_indextoname(ifindex).ok()?.to_str().ok()?)
}

fn ethernet_address_of(name: &str) -> Option<[u8; 6]> {
    let address = hardware(name).filter(|address| address.sa_family == ETHERNET)?;
    let bytes = address.sa_data.first_chunk::<6>()?;
    debug_assert_eq!(size_of::<libc::c_char>(), 1);
    Some(bytes.map(|byte| byte.to_ne_bytes()[0]))
}

/// The device's `ARPHRD_*` number and hardware address, by `SIOCGIFHWADDR` (netdevice(7)): /sys would show the devices of another
/// namespace.
fn hardware(name: &str) -> Option<libc::sockaddr> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).ok()?;
    // SAFETY: integers and unions of integers: all zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    debug_assert_eq!(size_of::<libc::c_char>(), 1);
    // The last byte stays 0.
    let room = request.ifr_name.len() - 1;
    if name.len() > room {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // An unsigned long with glibc, an int with musl, whose bits are meant.
    #[allow(clippy::cast_possible_truncation, reason = "the number has 16 bits")]
    let order = libc::SIOCGIFHWADDR as libc::Ioctl;
    // SAFETY: the call reads the name and writes an address, both inside `request`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), order, &raw mut request) };
    if result != 0 {
        return None;
    }
    // SAFETY: the call has written the address.
    Some(unsafe { request.ifr_ifru.ifru_hwaddr })
}
