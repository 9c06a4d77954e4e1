//! Addresses and ports in network byte order, and the address families that maps and code are generic over.

use crate::layout::layout;

/// A 16-bit number in network byte order, such as a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Be16(pub u16);

impl Be16 {
    /// From the machine's byte order.
    #[inline(always)]
    pub const fn new(host: u16) -> Self {
        Self(host.to_be())
    }

    /// To the machine's byte order.
    #[inline(always)]
    pub const fn host(self) -> u16 {
        u16::from_be(self.0)
    }
}

/// An IPv4 address in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Addr4(pub u32);

/// An IPv6 address in network byte order, as four words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Addr6(pub [u32; 4]);

impl From<core::net::Ipv4Addr> for Addr4 {
    fn from(addr: core::net::Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(addr.octets()))
    }
}

impl From<Addr4> for core::net::Ipv4Addr {
    fn from(addr: Addr4) -> Self {
        Self::from(addr.0.to_ne_bytes())
    }
}

impl From<core::net::Ipv6Addr> for Addr6 {
    fn from(addr: core::net::Ipv6Addr) -> Self {
        let o = addr.octets();
        let word = |i: usize| u32::from_ne_bytes([o[i], o[i + 1], o[i + 2], o[i + 3]]);
        Self([word(0), word(4), word(8), word(12)])
    }
}

impl From<Addr6> for core::net::Ipv6Addr {
    fn from(addr: Addr6) -> Self {
        let mut octets = [0; 16];
        for (chunk, word) in octets.chunks_exact_mut(4).zip(addr.0) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        Self::from(octets)
    }
}

/// An address as it stands in map keys and values.
pub trait Address: Copy + Eq + Ord + core::hash::Hash + core::fmt::Debug + Default + 'static {
    /// The unspecified address; in a service key it stands for "any address of this node" (NodePort, HostPort).
    const ANY: Self;

    /// All of it in one word, for checks.
    fn fold(self) -> u32;

    /// As it stands in an [`Event`](crate::Event): where the family has fewer, the other words are 0.
    fn words(self) -> [u32; 4];

    /// Adds it to the state of a hash, of which the last two words get more afterwards. `round` mixes the state in between, where an
    /// address has more words than the state. Words count as numbers, in the machine's byte order.
    fn mix(self, state: [u32; 3], round: impl Fn([u32; 3]) -> [u32; 3]) -> [u32; 3];
}

impl Address for Addr4 {
    const ANY: Self = Self(0);

    #[inline(always)]
    fn fold(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        [self.0, 0, 0, 0]
    }

    #[inline(always)]
    fn mix(self, [a, b, c]: [u32; 3], _round: impl Fn([u32; 3]) -> [u32; 3]) -> [u32; 3] {
        [a.wrapping_add(u32::from_be(self.0)), b, c]
    }
}

impl Address for Addr6 {
    const ANY: Self = Self([0; 4]);

    #[inline(always)]
    fn fold(self) -> u32 {
        let [a, b, c, d] = self.0;
        a ^ b.rotate_left(8) ^ c.rotate_left(16) ^ d.rotate_left(24)
    }

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        self.0
    }

    #[inline(always)]
    fn mix(self, [a, b, c]: [u32; 3], round: impl Fn([u32; 3]) -> [u32; 3]) -> [u32; 3] {
        let [first, second, third, fourth] = self.0;
        let [a, b, c] = round([
            a.wrapping_add(u32::from_be(first)),
            b.wrapping_add(u32::from_be(second)),
            c.wrapping_add(u32::from_be(third)),
        ]);
        [a.wrapping_add(u32::from_be(fourth)), b, c]
    }
}

/// An address family: each has its own maps, all code is shared.
pub trait Family: Copy + core::fmt::Debug + 'static {
    /// Addresses in map keys and values.
    type Addr: Address + From<Self::Ip> + Into<Self::Ip>;
    /// The same address in the standard library's form.
    type Ip: Copy
        + Eq
        + Ord
        + core::hash::Hash
        + core::fmt::Debug
        + core::fmt::Display
        + Into<core::net::IpAddr>
        + 'static;
    /// As Kubernetes writes it in `ipFamilies` and `addressType`.
    const NAME: &'static str;
}

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V6;

impl Family for V4 {
    type Addr = Addr4;
    type Ip = core::net::Ipv4Addr;
    const NAME: &'static str = "IPv4";
}

impl Family for V6 {
    type Addr = Addr6;
    type Ip = core::net::Ipv6Addr;
    const NAME: &'static str = "IPv6";
}

layout!(Be16, size 2, align 2, fields [u16]);
layout!(Addr4, size 4, align 4, fields [u32]);
layout!(Addr6, size 16, align 4, fields [[u32; 4]]);
