//! Sets of addresses (`include/uapi/linux/netfilter/ipset/ip_set.h`).

use std::{io, time::Duration};

use super::{
    message::{Attributes, NLM_F_EXCL, Nfnetlink},
    nf_tables::terminated,
};

/// Subsystem `NFNL_SUBSYS_IPSET`, message `IPSET_CMD_DESTROY`.
const DESTROY: u16 = 0x603;
const PROTOCOL: u16 = 1;
const NAME: u16 = 2;
/// `IPSET_PROTOCOL_MIN`: what every kernel with sets speaks.
const VERSION: u8 = 6;
/// `IPSET_ERR_BUSY`: a rule refers to it.
const BUSY: i32 = 4100;

/// A rule that is deleted is taken apart a moment later, and refers to its sets until then.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Destroys a set. False: there is none of this name, or the kernel has no sets.
pub fn destroy(name: &str) -> io::Result<bool> {
    let netfilter = Nfnetlink::open()?;
    let mut attributes = Attributes::default();
    attributes.put(PROTOCOL, &[VERSION]).put(NAME, &terminated(name));
    let family = u8::try_from(libc::AF_INET).unwrap_or_default();
    let mut attempt = 1;
    loop {
        // Without the flag, it is no error that there is none.
        let outcome = netfilter.order(DESTROY, NLM_F_EXCL, family, &attributes);
        let code = outcome.as_ref().err().and_then(io::Error::raw_os_error);
        match code {
            // No such set; no such subsystem.
            Some(libc::ENOENT | libc::EINVAL | libc::EOPNOTSUPP) => return Ok(false),
            Some(BUSY) if attempt < ATTEMPTS => attempt += 1,
            Some(BUSY) => return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a rule refers to it")),
            _ => return outcome.map(|()| true),
        }
        std::thread::sleep(PAUSE);
    }
}
