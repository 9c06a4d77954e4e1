//! Fragments: the first one has the ports, the others borrow them.

use crate::maps::Tables;
use kpr_abi::{FragmentKey, FragmentValue, Reason};
use kpr_packet::{Parsed, Part};

/// Remembers the ports of a first fragment, or gives a later one its ports. `false`: a later fragment of a packet whose first
/// fragment was not seen.
#[inline(always)]
pub fn track<F: Tables>(parsed: &mut Parsed<F::Addr>) -> Result<bool, Reason> {
    match parsed.part {
        Part::Whole => Ok(true),
        Part::First => {
            let ports = FragmentValue {
                sport: parsed.key.sport,
                dport: parsed.key.dport,
            };
            F::fragments()
                .insert(key(parsed), ports, 0)
                .map_err(|_| Reason::DropFragment)?;
            Ok(true)
        }
        Part::Later => match F::fragments().get_ptr(key(parsed)) {
            Some(ports) => {
                // SAFETY: a map value that was just looked up.
                let ports = unsafe { *ports };
                parsed.key.sport = ports.sport;
                parsed.key.dport = ports.dport;
                Ok(true)
            }
            None => Ok(false),
        },
    }
}

#[inline(always)]
fn key<A: Copy>(parsed: &Parsed<A>) -> FragmentKey<A> {
    FragmentKey {
        src: parsed.key.src,
        dst: parsed.key.dst,
        id: parsed.id,
        proto: parsed.key.proto,
        zero: [0; 3],
    }
}
