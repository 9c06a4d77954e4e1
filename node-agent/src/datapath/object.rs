//! The eBPF object file, built by `cargo xtask build` and embedded by this crate's build script.

use super::Error;

/// Aligned as the ELF parser needs it.
#[repr(C, align(32))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf.o")));

/// The object's bytes.
pub(super) fn bytes() -> Result<&'static [u8], Error> {
    if OBJECT.0.is_empty() {
        Err(Error::NoObject)
    } else {
        Ok(&OBJECT.0)
    }
}
