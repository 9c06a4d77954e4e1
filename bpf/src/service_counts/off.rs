//! Nothing is counted.

use super::Size;
use crate::maps::Tables;
use kpr_abi::{Be16, FlowKey, FlowValue};

/// Any family.
pub trait Counted: Tables {}

impl<F: Tables> Counted for F {}

#[inline(always)]
pub fn packet<F: Counted>(
    _key: &FlowKey<F::Addr>,
    _value: &FlowValue<F::Addr>,
    _begins: bool,
    _size: impl FnOnce() -> Size,
) {
}

#[inline(always)]
pub fn socket<F: Counted>(_addr: F::Addr, _port: Be16, _proto: u8) {}
