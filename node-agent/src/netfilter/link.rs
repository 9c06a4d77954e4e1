//! The device that kube-proxy's ipvs mode makes, and whether ipvs is in use.

use std::{fs, io};

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::net::if_::if_nametoindex;

const DELETE_LINK: u16 = 17;
const NLM_F_REQUEST_ACK: u16 = 0x5;
/// `struct nlmsghdr` and `struct ifinfomsg`.
const LENGTH: u32 = 32;
const HEADER: usize = 16;

/// Whether there is a device of this name.
pub fn exists(name: &str) -> bool {
    if_nametoindex(name).is_ok()
}

/// Deletes the device of this name.
pub fn delete(name: &str) -> io::Result<()> {
    let index = if_nametoindex(name)?;
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend(LENGTH.to_ne_bytes());
    message.extend(DELETE_LINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    // Sequence number and sender; family and type of the device.
    message.extend([0; 12]);
    message.extend(index.to_ne_bytes());
    // Flags, and which of them to change.
    message.extend([0; 8]);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.send(&message, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let number = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
    match number.map_or(-libc::EPROTO, i32::from_ne_bytes) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(-number)),
    }
}

/// Whether ipvs balances for anybody in this network namespace. A kernel without ipvs has no such file.
pub fn has_ipvs_services() -> bool {
    fs::read_to_string("/proc/thread-self/net/ip_vs").is_ok_and(|table| lists_services(&table))
}

fn lists_services(table: &str) -> bool {
    let kinds = ["TCP ", "UDP ", "SCTP ", "FWM "];
    table
        .lines()
        .any(|line| kinds.iter().any(|kind| line.starts_with(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_services_are_told_from_the_tables_head() {
        let head = "IP Virtual Server version 1.2.1 (size=4096)\n\
                    Prot LocalAddress:Port Scheduler Flags\n  \
                    -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
        assert!(!lists_services(head));
        let with_one = format!("{head}TCP  0A600001:01BB rr \n  -> C0A83102:192B      Masq    1      0          0\n");
        assert!(lists_services(&with_one));
    }
}
