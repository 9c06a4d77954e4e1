//! Nobody listens: nothing is told.

use crate::socket::address::{Addr, SocketAddress};
use kpr_abi::{Address, Be16, FlowKey, FlowValue, PeerValue, Reason, ServiceValue, Slice};

#[inline(always)]
pub fn began(_hook: u8, _device: impl FnOnce() -> u32) {}

#[inline(always)]
pub fn tuple<A: Address>(_key: &FlowKey<A>) {}

#[inline(always)]
pub fn encapsulated() {}

#[inline(always)]
pub fn frontend(_service: &ServiceValue, _exact: bool) {}

#[inline(always)]
pub fn candidates(_list: Slice) {}

#[inline(always)]
pub fn admitted() {}

#[inline(always)]
pub fn chosen<A: Address>(_value: &FlowValue<A>) {}

#[inline(always)]
pub fn flow<A: Address>(_key: &FlowKey<A>, _value: &FlowValue<A>) {}

#[inline(always)]
pub fn begins() {}

#[inline(always)]
pub fn leaves(_ifindex: u32) {}

#[inline(always)]
pub fn packet(_reason: Reason) {}

#[inline(always)]
pub fn call<S: SocketAddress>(
    _hook: u8,
    _ctx: &S::Call,
    _asked: (Addr<S>, Be16, u8),
    _service: &ServiceValue,
    outcome: Result<PeerValue<Addr<S>>, Reason>,
) -> Result<PeerValue<Addr<S>>, Reason> {
    outcome
}

#[inline(always)]
pub fn bind<A: Address>(_addr: A, _port: Be16, _proto: u8) {}
