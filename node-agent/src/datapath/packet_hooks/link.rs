//! What packets of a device begin with.

use crate::devices::Device;
use std::{mem::size_of, os::fd::AsRawFd};

/// `ARPHRD_ETHER` (include/uapi/linux/if_arp.h).
const ETHERNET: u16 = 1;

/// Whether packets of the device have an Ethernet header. A device that can't be asked is taken to have one, as nearly all do.
pub(super) fn has_ethernet(device: &Device) -> bool {
    hardware_type(&device.name).is_none_or(|kind| kind == ETHERNET)
}

/// The device's `ARPHRD_*` number, by `SIOCGIFHWADDR` (netdevice(7)): /sys would show the devices of another namespace.
fn hardware_type(name: &str) -> Option<u16> {
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
    Some(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}
