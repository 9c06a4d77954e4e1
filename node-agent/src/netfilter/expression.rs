//! Expressions of rules of nf_tables, one by one (`include/uapi/linux/netfilter/nf_tables.h`).

use super::message::{attribute, attributes};

/// What an expression does, as far as it can matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads something of the packet into a register.
    Load {
        /// The register.
        register: u32,
        /// What.
        field: Field,
    },
    /// Keeps only these bits of a register.
    Mask {
        /// The register.
        register: u32,
        /// The bits.
        mask: Vec<u8>,
    },
    /// Goes on only if a register is, or is not, this.
    Compare {
        /// The register.
        register: u32,
        /// Only if it is not.
        is_not: bool,
        /// What it is compared with.
        value: Vec<u8>,
    },
    /// Goes on only if a register is, or is not, in a set.
    InSet {
        /// The register.
        register: u32,
        /// The set's name.
        set: String,
        /// Only if it is not.
        is_not: bool,
    },
    /// Does what a map says of a register.
    Choose {
        /// The map's name.
        map: String,
    },
    /// Puts a value into a register.
    Value {
        /// The register.
        register: u32,
        /// The value.
        value: Vec<u8>,
    },
    /// Ends the rule.
    Verdict(Verdict),
    /// Gives the packet a new destination.
    Destination {
        /// The register that has the address.
        address: u32,
        /// The one that has the port, if it is new, too.
        port: Option<u32>,
    },
    /// Adds something to a set.
    Remember {
        /// The set's name.
        set: String,
    },
    /// Answers that nobody is there.
    Reject,
    /// A match of iptables.
    Match {
        /// Its name.
        name: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// A target of iptables.
    Target {
        /// Its name.
        name: String,
        /// Which of its shapes the data have.
        revision: u8,
        /// Its data.
        data: Vec<u8>,
    },
    /// Only counts.
    Count,
    /// Something else: its name.
    Other(String),
}

/// Something of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The IP protocol.
    Protocol,
    /// Bytes of the network header: the first one, and how many.
    Network(u32, u32),
    /// Bytes of the transport header.
    Transport(u32, u32),
    /// Of which kind the source address is (`RTN_*`).
    SourceKind,
    /// Anything else.
    Other,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on in another chain.
    Chain(String),
    /// It goes nowhere.
    Drop,
    /// Anything else.
    Other,
}

const META_PROTOCOL: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const FIB_ADDRESS_KIND: u32 = 3;
const FIB_SOURCE: u32 = 1;
const NAT_DESTINATION: u32 = 1;

impl Expression {
    /// Reads one; none if it is not built as expected.
    pub(super) fn read(expression: &[u8]) -> Option<Self> {
        let name = text(attribute(expression, 1)?);
        let data = attribute(expression, 2).unwrap_or_default();
        Some(match name.as_str() {
            "meta" | "payload" | "fib" => load(&name, data),
            "bitwise" => Self::Mask {
                register: number(data, 2)?,
                mask: attribute(attribute(data, 4)?, 1)?.to_vec(),
            },
            "cmp" => Self::Compare {
                register: number(data, 1)?,
                is_not: match number(data, 2)? {
                    0 => false,
                    1 => true,
                    _ => return Some(Self::Other("an inequality".to_owned())),
                },
                value: attribute(attribute(data, 3)?, 1)?.to_vec(),
            },
            "lookup" => lookup(data)?,
            "immediate" => match read_verdict(attribute(data, 2)?) {
                Some(verdict) => Self::Verdict(verdict),
                None => Self::Value {
                    register: number(data, 1)?,
                    value: attribute(attribute(data, 2)?, 1)?.to_vec(),
                },
            },
            "nat" if number(data, 1)? == NAT_DESTINATION => Self::Destination {
                address: number(data, 3)?,
                port: number(data, 5),
            },
            "dynset" => Self::Remember {
                set: text(attribute(data, 1)?),
            },
            "reject" => Self::Reject,
            "match" => Self::Match {
                name: text(attribute(data, 1)?),
                data: attribute(data, 3)?.to_vec(),
            },
            "target" => Self::Target {
                name: text(attribute(data, 1)?),
                revision: u8::try_from(number(data, 2)?).ok()?,
                data: attribute(data, 3)?.to_vec(),
            },
            "counter" | "numgen" => Self::Count,
            _ => Self::Other(format!("an expression `{name}`")),
        })
    }
}

/// A match may store what it loads elsewhere, in a form that writes a register: then there is no register to load.
fn load(name: &str, data: &[u8]) -> Expression {
    let (register, field) = match name {
        "meta" => (
            number(data, 1),
            match number(data, 2) {
                Some(META_PROTOCOL) => Field::Protocol,
                _ => Field::Other,
            },
        ),
        "payload" => {
            let at = (number(data, 3).unwrap_or_default(), number(data, 4).unwrap_or_default());
            let field = match number(data, 2) {
                Some(NETWORK_HEADER) => Field::Network(at.0, at.1),
                Some(TRANSPORT_HEADER) => Field::Transport(at.0, at.1),
                _ => Field::Other,
            };
            (number(data, 1), field)
        }
        _ => {
            let is_source_kind = number(data, 2) == Some(FIB_ADDRESS_KIND) && number(data, 3) == Some(FIB_SOURCE);
            let field = if is_source_kind {
                Field::SourceKind
            } else {
                Field::Other
            };
            (number(data, 1), field)
        }
    };
    match register {
        Some(register) => Expression::Load { register, field },
        None => Expression::Count,
    }
}

fn lookup(data: &[u8]) -> Option<Expression> {
    let set = text(attribute(data, 1)?);
    Some(match number(data, 3) {
        Some(0) => Expression::Choose { map: set },
        Some(_) => Expression::Other("a map of values".to_owned()),
        None => Expression::InSet {
            register: number(data, 2)?,
            set,
            is_not: number(data, 5).is_some_and(|flags| flags & 1 != 0),
        },
    })
}

/// None if the data is a value.
pub(super) fn read_verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = attribute(data, 2)?;
    if let Some(chain) = attribute(verdict, 2) {
        return Some(Verdict::Chain(text(chain)));
    }
    Some(match number(verdict, 1)? {
        0 => Verdict::Drop,
        _ => Verdict::Other,
    })
}

/// A number in network byte order.
pub(super) fn number(data: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(attribute(data, kind)?.try_into().ok()?))
}

/// A name, without the zero that ends it.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

/// The expressions of a rule.
pub(super) fn all(list: &[u8]) -> Vec<Expression> {
    let read = attributes(list).map(|(_, expression)| Expression::read(expression));
    let unknown = || Expression::Other("an expression of an unknown shape".to_owned());
    read.map(|expression| expression.unwrap_or_else(unknown)).collect()
}
