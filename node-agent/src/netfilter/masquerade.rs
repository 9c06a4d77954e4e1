//! Source ports of kube-proxy's masquerade, kept away from those of kpr.
//!
//! Both give packets to a backend the address of this node and a port that is free: free of one's own flows, since neither knows
//! the other's. Netfilter takes any from 1024 on and asks no `ip_local_reserved_ports`; two flows would share a tuple, and one
//! get the other's answers. And a masqueraded flow whose port is also a NodePort's would have its replies taken for requests. So
//! where rules of kube-proxy are, one rule before them takes the packets that they have marked and gives them ports of their own.
//! It is the only rule that kpr ever adds; it goes with kpr, or with kube-proxy's rules.

use std::{io, ops::RangeInclusive};

use super::{
    Error,
    message::{Attributes, NLM_F_CREATE, Nfnetlink, Order},
    nf_tables::{NEW_CHAIN, NEW_RULE, NEW_TABLE, delete_table, has_table},
};

/// The table, in `ip` and `ip6`.
const NAME: &str = "kpr";
const TABLE: &[u8] = b"kpr\0";
const CHAIN: &[u8] = b"masquerade\0";
/// `iptables.masqueradeBit` and `nftables.masqueradeBit`, their default.
const MARK: u32 = 1 << 14;
/// Just before those of iptables and of kube-proxy's own table (`NF_IP_PRI_NAT_SRC`).
const PRIORITY: i32 = 99;
const POST_ROUTING: u32 = 4;

const META_MARK: u32 = 3;
const CMP_EQ: u32 = 0;
/// `NF_NAT_RANGE_PROTO_SPECIFIED` and `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
const MASQUERADE_FLAGS: u32 = 1 << 1 | 1 << 4;
const NLM_F_APPEND: u16 = 0x800;
const FAMILIES: [i32; 2] = [libc::AF_INET, libc::AF_INET6];

/// Makes kube-proxy's masquerade use `ports` only. What there is already is replaced in one transaction.
pub fn keep_to(ports: &RangeInclusive<u16>) -> Result<(), Error> {
    change("keep kube-proxy's masquerade out of kpr's ports", |family| {
        delete_table(family, NAME)
            .into_iter()
            .chain(create(family, ports))
            .collect()
    })
}

/// Takes the rule away again. None is no error.
pub fn release() -> Result<(), Error> {
    if is_kept() {
        change(
            "take away the rule that keeps kube-proxy's masquerade out of kpr's ports",
            |family| delete_table(family, NAME).into(),
        )
    } else {
        Ok(())
    }
}

/// Whether the rule is there, in any family.
pub fn is_kept() -> bool {
    let Ok(netfilter) = Nfnetlink::open() else { return false };
    FAMILIES
        .iter()
        .any(|family| has_table(&netfilter, number(*family), NAME))
}

/// The longest row of ports from 1024 on that is in none of `taken`.
pub fn free_ports(taken: &[RangeInclusive<u16>]) -> Option<RangeInclusive<u16>> {
    let mut taken = taken.to_vec();
    taken.sort_by_key(|range| *range.start());
    let (mut next, mut free) = (1024_u32, Vec::new());
    for range in &taken {
        if u32::from(*range.start()) > next {
            free.push(next..=u32::from(*range.start()) - 1);
        }
        next = next.max(u32::from(*range.end()) + 1);
    }
    let last = u32::from(u16::MAX);
    if next < last {
        free.push(next..=last);
    }
    let longest = free.into_iter().max_by_key(|range| range.end() - range.start())?;
    Some(u16::try_from(*longest.start()).ok()?..=u16::try_from(*longest.end()).ok()?)
}

fn change(what: &'static str, orders: impl Fn(u8) -> Vec<Order>) -> Result<(), Error> {
    let all: Vec<Order> = FAMILIES.iter().flat_map(|family| orders(number(*family))).collect();
    let carried_out = || -> io::Result<()> { Nfnetlink::open()?.transaction(&all) };
    carried_out().map_err(|source| Error { what, source })
}

fn create(family: u8, ports: &RangeInclusive<u16>) -> [Order; 3] {
    let mut table = Attributes::default();
    table.put(1, TABLE);
    let mut chain = Attributes::default();
    chain.put(1, TABLE).put(3, CHAIN).put(7, b"nat\0").nest(4, |hook| {
        hook.put(1, &POST_ROUTING.to_be_bytes());
        hook.put(2, &PRIORITY.to_be_bytes());
    });
    let mut rule = Attributes::default();
    rule.put(1, TABLE)
        .put(2, CHAIN)
        .nest(4, |list| expressions(list, ports));
    [
        Order::new(NEW_TABLE, NLM_F_CREATE, family, table),
        Order::new(NEW_CHAIN, NLM_F_CREATE, family, chain),
        Order::new(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, family, rule),
    ]
}

/// `meta mark & MARK == MARK meta mark set mark & ~MARK masquerade to :PORTS fully-random`.
fn expressions(list: &mut Attributes, ports: &RangeInclusive<u16>) {
    const MARK_REGISTER: u32 = 1;
    const FIRST_PORT: u32 = 2;
    const LAST_PORT: u32 = 3;
    let load = |meta: &mut Attributes| {
        meta.put(1, &MARK_REGISTER.to_be_bytes())
            .put(2, &META_MARK.to_be_bytes());
    };
    // The mark is in the machine's byte order; numbers of the message are in the network's.
    let mask = |bits: u32| {
        move |bitwise: &mut Attributes| {
            bitwise
                .put(1, &MARK_REGISTER.to_be_bytes())
                .put(2, &MARK_REGISTER.to_be_bytes());
            bitwise.put(3, &4_u32.to_be_bytes());
            value(bitwise, 4, &bits.to_ne_bytes());
            value(bitwise, 5, &[0; 4]);
        }
    };
    expression(list, b"meta\0", load);
    expression(list, b"bitwise\0", mask(MARK));
    expression(list, b"cmp\0", |cmp| {
        cmp.put(1, &MARK_REGISTER.to_be_bytes()).put(2, &CMP_EQ.to_be_bytes());
        value(cmp, 3, &MARK.to_ne_bytes());
    });
    // kube-proxy's own rules are not asked any more: the mark must go here, or a tunnel's outer packet would have it, too.
    expression(list, b"meta\0", load);
    expression(list, b"bitwise\0", mask(!MARK));
    expression(list, b"meta\0", |meta| {
        meta.put(2, &META_MARK.to_be_bytes())
            .put(3, &MARK_REGISTER.to_be_bytes());
    });
    for (register, port) in [(FIRST_PORT, ports.start()), (LAST_PORT, ports.end())] {
        expression(list, b"immediate\0", |immediate| {
            immediate.put(1, &register.to_be_bytes());
            value(immediate, 2, &port.to_be_bytes());
        });
    }
    expression(list, b"masq\0", |masq| {
        masq.put(1, &MASQUERADE_FLAGS.to_be_bytes());
        masq.put(2, &FIRST_PORT.to_be_bytes()).put(3, &LAST_PORT.to_be_bytes());
    });
}

fn expression(list: &mut Attributes, name: &[u8], data: impl FnOnce(&mut Attributes)) {
    list.nest(1, |element| {
        element.put(1, name).nest(2, data);
    });
}

/// `NFTA_DATA_VALUE`.
fn value(to: &mut Attributes, kind: u16, bytes: &[u8]) {
    to.nest(kind, |data| {
        data.put(1, bytes);
    });
}

fn number(family: i32) -> u8 {
    u8::try_from(family).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_row_of_free_ports_is_taken() {
        for (taken, free) in [
            (vec![45_000..=65_535, 30_000..=32_767], Some(1_024..=29_999)),
            (vec![1_024..=40_000, 30_000..=50_000], Some(50_001..=65_535)),
            (vec![10_000..=20_000], Some(20_001..=65_535)),
            (vec![1..=65_535], None),
            (Vec::new(), Some(1_024..=65_535)),
        ] {
            assert_eq!(free_ports(&taken), free, "{taken:?}");
        }
    }
}
