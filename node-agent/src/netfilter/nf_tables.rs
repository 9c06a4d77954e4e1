//! Tables of nf_tables: those of nftables itself, and those that the newer iptables makes there
//! (`include/uapi/linux/netfilter/nf_tables.h`).

use std::{collections::BTreeMap, io};

use super::message::{Attributes, NLM_F_CREATE, Nfnetlink, Order, attribute, attributes};
use crate::takeover::{Chain, Plan, Rule};

/// Messages of the subsystem `NFNL_SUBSYS_NFTABLES`.
pub(super) const NEW_TABLE: u16 = 0xa00;
pub(super) const GET_TABLE: u16 = 0xa01;
pub(super) const DELETE_TABLE: u16 = 0xa02;
pub(super) const NEW_CHAIN: u16 = 0xa03;
pub(super) const GET_CHAIN: u16 = 0xa04;
const DELETE_CHAIN: u16 = 0xa05;
pub(super) const NEW_RULE: u16 = 0xa06;
pub(super) const GET_RULE: u16 = 0xa07;
const DELETE_RULE: u16 = 0xa08;

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;

/// Whether the family has a table of this name. A kernel without nf_tables has none.
pub(super) fn has_table(netfilter: &Nfnetlink, family: u8, name: &str) -> bool {
    let mut found = false;
    let _ = netfilter.list(GET_TABLE, family, &Attributes::default(), |table| {
        found |= attribute(table, TABLE_NAME).is_some_and(|table| is(table, name));
    });
    found
}

/// The same, as a question of its own.
pub fn has(family: u8, name: &str) -> bool {
    Nfnetlink::open().is_ok_and(|netfilter| has_table(&netfilter, family, name))
}

/// The chains of a table, with what their rules lead to. No chain where there is no such table, or no nf_tables at all.
pub fn chains(family: u8, table: &str) -> io::Result<Vec<Chain>> {
    let netfilter = Nfnetlink::open()?;
    if !has_table(&netfilter, family, table) {
        return Ok(Vec::new());
    }
    let mut chains: Vec<Chain> = Vec::new();
    netfilter.list(GET_CHAIN, family, &Attributes::default(), |chain| {
        if attribute(chain, CHAIN_TABLE).is_some_and(|of| is(of, table)) {
            chains.push(Chain {
                name: text(attribute(chain, CHAIN_NAME).unwrap_or_default()),
                built_in: attribute(chain, CHAIN_HOOK).is_some(),
                rules: Vec::new(),
            });
        }
    })?;
    let mut of_table = Attributes::default();
    of_table.put(RULE_TABLE, &terminated(table));
    let mut rules: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    netfilter.list(GET_RULE, family, &of_table, |rule| {
        // The attribute is but a hint to the kernel, which may list more.
        if attribute(rule, RULE_TABLE).is_some_and(|of| is(of, table))
            && let Some((chain, rule)) = read_rule(rule)
        {
            rules.entry(chain).or_default().push(rule);
        }
    })?;
    for chain in &mut chains {
        chain.rules = rules.remove(&chain.name).unwrap_or_default();
    }
    Ok(chains)
}

fn read_rule(rule: &[u8]) -> Option<(String, Rule)> {
    let chain = text(attribute(rule, RULE_CHAIN)?);
    let id = u64::from_be_bytes(attribute(rule, RULE_HANDLE)?.try_into().ok()?);
    let expressions = attribute(rule, RULE_EXPRESSIONS).unwrap_or_default();
    let to = attributes(expressions)
        .filter_map(|(_, expression)| jump(expression))
        .collect();
    Some((chain, Rule { id, to }))
}

/// The chain that an expression leads to: an immediate verdict, which jumps or goes there.
fn jump(expression: &[u8]) -> Option<String> {
    if !is(attribute(expression, EXPRESSION_NAME)?, "immediate") {
        return None;
    }
    let data = attribute(attribute(expression, EXPRESSION_DATA)?, IMMEDIATE_DATA)?;
    let chain = attribute(attribute(data, DATA_VERDICT)?, VERDICT_CHAIN)?;
    Some(text(chain))
}

/// Carries a plan out, whole or not at all. A rule or chain that is gone meanwhile makes it fail: plan again.
pub fn carry_out(family: u8, table: &str, plan: &Plan) -> io::Result<()> {
    let named = |chain: &str, table_kind: u16, chain_kind: u16| {
        let mut attributes = Attributes::default();
        attributes.put(table_kind, &terminated(table));
        attributes.put(chain_kind, &terminated(chain));
        attributes
    };
    let mut orders: Vec<Order> = Vec::new();
    for (chain, handle) in &plan.rules {
        let mut rule = named(chain, RULE_TABLE, RULE_CHAIN);
        rule.put(RULE_HANDLE, &handle.to_be_bytes());
        orders.push(Order::new(DELETE_RULE, 0, family, rule));
    }
    // Chains lead to each other: all are emptied before the first one goes.
    for chain in &plan.chains {
        orders.push(Order::new(DELETE_RULE, 0, family, named(chain, RULE_TABLE, RULE_CHAIN)));
    }
    for chain in &plan.chains {
        orders.push(Order::new(
            DELETE_CHAIN,
            0,
            family,
            named(chain, CHAIN_TABLE, CHAIN_NAME),
        ));
    }
    Nfnetlink::open()?.transaction(&orders)
}

/// Deletes tables of this name from the families, all in one transaction.
pub fn delete_tables(families: &[u8], name: &str) -> io::Result<()> {
    let orders: Vec<Order> = families.iter().flat_map(|family| delete_table(*family, name)).collect();
    Nfnetlink::open()?.transaction(&orders)
}

/// Adding first makes deleting succeed where there is none.
pub(super) fn delete_table(family: u8, name: &str) -> [Order; 2] {
    let named = || {
        let mut table = Attributes::default();
        table.put(TABLE_NAME, &terminated(name));
        table
    };
    [
        Order::new(NEW_TABLE, NLM_F_CREATE, family, named()),
        Order::new(DELETE_TABLE, 0, family, named()),
    ]
}

/// As the kernel ends a name.
pub(super) fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn is(value: &[u8], name: &str) -> bool {
    value.strip_suffix(b"\0") == Some(name.as_bytes())
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(fill: impl FnOnce(&mut Attributes)) -> Option<(String, Rule)> {
        let mut rule = Attributes::default();
        rule.put(RULE_TABLE, b"nat\0")
            .put(RULE_CHAIN, b"OUTPUT\0")
            .put(RULE_HANDLE, &7_u64.to_be_bytes())
            .nest(RULE_EXPRESSIONS, fill);
        rule.with(read_rule)
    }

    #[test]
    fn a_jump_is_told_from_other_expressions() {
        let read = rule(|list| {
            list.nest(1, |counter| {
                counter.put(EXPRESSION_NAME, b"counter\0").nest(EXPRESSION_DATA, |_| {});
            });
            list.nest(1, |immediate| {
                immediate
                    .put(EXPRESSION_NAME, b"immediate\0")
                    .nest(EXPRESSION_DATA, |data| {
                        data.put(1, &0_u32.to_be_bytes()).nest(IMMEDIATE_DATA, |data| {
                            data.nest(DATA_VERDICT, |verdict| {
                                verdict
                                    .put(1, &(-3_i32).to_be_bytes())
                                    .put(VERDICT_CHAIN, b"KUBE-SERVICES\0");
                            });
                        });
                    });
            });
        });
        let jump = Rule {
            id: 7,
            to: vec!["KUBE-SERVICES".to_owned()],
        };
        assert_eq!(read, Some(("OUTPUT".to_owned(), jump)));
        let none = Rule { id: 7, to: Vec::new() };
        assert_eq!(rule(|_| {}), Some(("OUTPUT".to_owned(), none)));
    }
}
