//! The eBPF object files, built by `cargo xtask build` and embedded by this crate's build script.

use super::Error;

/// Aligned as the ELF parser needs it.
#[repr(C, align(32))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf.o")));
/// The same programs, which tell what they do.
static WITH_EVENTS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf-events.o")));

/// The bytes of the object, or of the one with events.
pub(super) fn bytes(events: bool) -> Result<&'static [u8], Error> {
    let object = if events { WITH_EVENTS } else { OBJECT };
    if object.0.is_empty() {
        Err(Error::NoObject)
    } else {
        Ok(&object.0)
    }
}
