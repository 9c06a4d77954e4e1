//! Cables that are like those between machines. By themselves, veths hand packets over as the sender's kernel has them: without checksums, and
//! longer than the MTU, both left to a network card that there is not. And what a program of XDP sends by one is lost unless the other end
//! has such a program, too (veth.c: `veth_xdp_xmit`).

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

use super::Netns;
use crate::load_balancer::LoadBalancerDefaults;

/// Has the kernel finish what `netns` sends by `device` before it leaves.
pub(super) fn finish_packets(netns: &Netns, device: &str) -> Result<()> {
    /// `ETHTOOL_STXCSUM` (include/uapi/linux/ethtool.h): segmentation goes with it.
    const SET_TX_CHECKSUM: u32 = 0x17;
    netns
        .run(|| ethtool(device, SET_TX_CHECKSUM, 0).with_context(|| format!("switch checksum offload of {device} off")))
}

/// Has `device` take packets in batches and merge what belongs together (generic receive offload), as network cards' drivers do. Only
/// then, or with a program of its own, a veth takes frames that a program of XDP sends to it.
pub fn merge_received(netns: &Netns, device: &str) -> Result<()> {
    /// `ETHTOOL_SGRO`.
    const SET_GRO: u32 = 0x2c;
    netns.run(|| ethtool(device, SET_GRO, 1).with_context(|| format!("switch receive offload of {device} on")))
}

/// A cable between two machines that was made while the cluster runs, if the environment asks for cables that are like real ones: it is one
/// for as long as this value lives.
#[derive(Debug)]
pub struct RealCable {
    _passing: Option<Passing>,
}

impl RealCable {
    /// Of a node, and of the machine at the other end, by the devices' names there.
    pub fn if_asked_for(node: (&Netns, &str), other: (&Netns, &str)) -> Result<Self> {
        if !LoadBalancerDefaults::of_environment()?.accelerates() {
            return Ok(Self { _passing: None });
        }
        for (netns, device) in [node, other] {
            finish_packets(netns, device)?;
        }
        let (netns, device) = other;
        Ok(Self {
            _passing: Some(Passing::attach(netns, device)?),
        })
    }
}

/// A program of XDP on a device, which lets everything pass. It goes with this value.
#[derive(Debug)]
pub(super) struct Passing {
    _link: OwnedFd,
}

impl Passing {
    pub(super) fn attach(netns: &Netns, device: &str) -> Result<Self> {
        netns.run(|| {
            let ifindex = nix::net::if_::if_nametoindex(device)?;
            let link = pass(ifindex).with_context(|| format!("attach a program of XDP to {device}"))?;
            Ok(Self { _link: link })
        })
    }
}

/// Sets a device's feature: `ethtool -K`.
fn ethtool(device: &str, command: u32, value: u32) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    // `struct ethtool_value`.
    let mut value = [command, value];
    // SAFETY: integers and unions of integers: all zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // An unsigned long with glibc, an int with musl, whose bits are meant.
    #[allow(clippy::cast_possible_truncation, reason = "the number has 16 bits")]
    let order = libc::SIOCETHTOOL as libc::Ioctl;
    // SAFETY: the call reads the name in `request` and the two words that it points to.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), order, &raw mut request) })?;
    Ok(())
}

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

/// The same for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

fn pass(ifindex: u32) -> io::Result<OwnedFd> {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_LINK_CREATE: libc::c_long = 28;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    const BPF_XDP: u32 = 37;
    const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
    /// `r0 = XDP_PASS; exit` (`struct bpf_insn`: code, registers, offset, number).
    const PROGRAM: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let mut load = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: 2,
        insns: PROGRAM.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    let program = bpf(BPF_PROG_LOAD, &mut load)?;
    let mut create = LinkCreate {
        prog_fd: program.as_raw_fd().unsigned_abs(),
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    bpf(BPF_LINK_CREATE, &mut create)
}

/// A command that makes a descriptor.
fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is the kernel's struct for this command, and what it points to lives until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    let fd = libc::c_int::try_from(Errno::result(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
