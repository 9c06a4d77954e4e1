//! The eBPF object files, built by `cargo xtask build` and embedded by this crate's build script.

use super::Error;

/// Aligned as the ELF parser needs it.
#[repr(C, align(32))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf.o")));
/// The same programs, which tell what they do.
static WITH_EVENTS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf-events.o")));
/// The same programs, which count what Services are asked and answer.
static WITH_COUNTS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf-counts.o")));
/// The same programs, which do both.
static WITH_BOTH: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kpr-bpf-counts-events.o")));

/// What programs do beside their work. Each is objects of its own, so that whoever does not ask for it does not pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extras {
    /// They tell what they do.
    pub(super) events: bool,
    /// They count what Services are asked and answer.
    pub(super) counts: bool,
}

/// The bytes of the object with these extras.
pub(super) fn bytes(extras: Extras) -> Result<&'static [u8], Error> {
    let object = match (extras.counts, extras.events) {
        (false, false) => OBJECT,
        (false, true) => WITH_EVENTS,
        (true, false) => WITH_COUNTS,
        (true, true) => WITH_BOTH,
    };
    if object.0.is_empty() {
        Err(Error::NoObject)
    } else {
        Ok(&object.0)
    }
}
