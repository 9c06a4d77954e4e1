//! The toolchain of the eBPF programs: a Rust compiler that may use unstable features, the source of `core`, and a
//! bpf-linker whose LLVM can read what that compiler writes.

mod choose;
mod environment;
mod linker;
mod rust;

use anyhow::Result;

pub(crate) use self::{choose::ToolchainChoice, environment::cargo, rust::BpfRust};
use crate::layout::Layout;

/// Find the toolchain, or install it.
pub(crate) fn ready(layout: &Layout, choice: ToolchainChoice) -> Result<BpfRust> {
    let rust = rust::ready(choice)?;
    linker::ready(layout, &rust)?;
    Ok(rust)
}
