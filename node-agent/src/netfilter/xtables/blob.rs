//! The rules of a table as they lie in the kernel (`include/uapi/linux/netfilter/x_tables.h`, `ip_tables.h`, `ip6_tables.h`).
//!
//! Each chain is a row of entries: a built-in one begins where the table's header says and ends with its policy; any other begins
//! with an `ERROR` entry that has its name, and ends with a `RETURN`. Jumps are offsets.

use std::collections::{BTreeMap, BTreeSet};

use crate::takeover::{Chain, Plan, Rule};

/// Hooks of netfilter, by number.
const HOOKS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
/// `XT_STANDARD_TARGET` has no name; `XT_ERROR_TARGET`.
const STANDARD: &[u8] = b"";
const ERROR: &[u8] = b"ERROR";
/// `struct xt_entry_target`: size, name and revision, before the target's own data.
const TARGET_HEADER: usize = 32;
const TARGET_NAME: usize = 29;
/// `struct xt_counters`.
const COUNTERS: usize = 16;

/// Where things are in `struct ipt_entry` and `struct ip6t_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Of `target_offset`; `next_offset` follows.
    pub(super) target_offset: usize,
    /// Of the whole structure, after which matches begin.
    pub(super) size: usize,
}

pub(super) const V4: Layout = Layout {
    target_offset: 88,
    size: 112,
};
pub(super) const V6: Layout = Layout {
    target_offset: 140,
    size: 168,
};

/// What the header of a table says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hooks {
    /// A bit for each hook that the table has.
    pub(super) valid: u32,
    /// Where the chain of a hook begins.
    pub(super) entry: [u32; 5],
    /// Where its policy is.
    pub(super) underflow: [u32; 5],
}

/// One entry: a rule, or the head or the end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    offset: u32,
    bytes: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Leads to the entry at this offset.
    Jump(u32),
    /// Goes on with the next entry: a rule without a target.
    Next,
    /// The head of a chain, or the end of the table, which is called `ERROR`.
    Head(String),
    Other,
}

/// A table that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    layout: Layout,
    hooks: Hooks,
    entries: Vec<Entry>,
}

/// A table without what was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) hooks: Hooks,
    pub(super) bytes: Vec<u8>,
    /// For each entry that is left, which one it was before.
    pub(super) from: Vec<usize>,
}

impl Rules {
    /// Reads a table. None if it is not built as expected.
    pub(super) fn read(layout: Layout, hooks: Hooks, bytes: &[u8]) -> Option<Self> {
        let mut entries = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = u32::try_from(bytes.len() - rest.len()).ok()?;
            let next = usize::from(number16(rest, layout.target_offset + 2)?);
            let (entry, after) = rest.split_at_checked(next)?;
            // An entry of no length would be read for ever.
            if next < layout.size + TARGET_HEADER {
                return None;
            }
            entries.push(Entry {
                offset,
                kind: kind(layout, offset, entry)?,
                bytes: entry.to_vec(),
            });
            rest = after;
        }
        let last = entries.last().map(|entry| &entry.kind);
        (last == Some(&Kind::Head("ERROR".to_owned()))).then_some(Self { layout, hooks, entries })
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The chains, without the entries that begin and end them. The id of a rule is its entry's number.
    pub(super) fn chains(&self) -> Vec<Chain> {
        self.rows()
            .into_iter()
            .map(|row| Chain {
                rules: row
                    .rules()
                    .map(|index| Rule {
                        id: index as u64,
                        to: self.led_to(index).into_iter().collect(),
                    })
                    .collect(),
                built_in: row.built_in,
                name: row.name,
            })
            .collect()
    }

    /// Each rule: its chain, its entry, and the chain that it leads to. Built-in chains, which are not kube-proxy's, are left out.
    pub(super) fn of_chains(&self) -> impl Iterator<Item = (String, &[u8], Option<String>)> {
        let rows = self.rows().into_iter().filter(|row| !row.built_in);
        rows.flat_map(move |row| {
            let name = row.name.clone();
            row.rules()
                .map(move |index| (name.clone(), self.entries[index].bytes.as_slice(), self.led_to(index)))
        })
    }

    /// The table without what the plan takes away.
    pub(super) fn without(&self, plan: &Plan) -> Replacement {
        let mut gone = vec![false; self.entries.len()];
        let chains: BTreeSet<&str> = plan.chains.iter().map(String::as_str).collect();
        for row in self.rows().iter().filter(|row| chains.contains(row.name.as_str())) {
            gone[row.head..=row.last].fill(true);
        }
        for (_, id) in &plan.rules {
            if let Some(gone) = usize::try_from(*id).ok().and_then(|index| gone.get_mut(index)) {
                *gone = true;
            }
        }
        // What led to an entry that is gone leads to the next one that is left.
        let mut moved: BTreeMap<u32, u32> = BTreeMap::new();
        let mut size = 0;
        for (entry, gone) in self.entries.iter().zip(&gone) {
            moved.insert(entry.offset, size);
            if !gone {
                size += length(&entry.bytes);
            }
        }
        let at = |offset: u32| moved.get(&offset).copied().unwrap_or(offset);
        let mut replacement = Replacement {
            hooks: Hooks {
                valid: self.hooks.valid,
                entry: self.hooks.entry.map(at),
                underflow: self.hooks.underflow.map(at),
            },
            bytes: Vec::with_capacity(size as usize),
            from: Vec::new(),
        };
        for (index, entry) in self.entries.iter().enumerate().filter(|(index, _)| !gone[*index]) {
            let start = replacement.bytes.len();
            replacement.bytes.extend(&entry.bytes);
            replacement.from.push(index);
            let verdict = match entry.kind {
                Kind::Jump(to) => at(to),
                Kind::Next => at(entry.offset) + length(&entry.bytes),
                Kind::Head(_) | Kind::Other => continue,
            };
            if let Some(target) = number16(&entry.bytes, self.layout.target_offset) {
                let at = start + usize::from(target) + TARGET_HEADER;
                replacement.bytes[at..at + 4].copy_from_slice(&verdict.to_ne_bytes());
            }
        }
        replacement
    }

    #[cfg(test)]
    fn head(&self, chain: &str) -> Option<u32> {
        self.rows()
            .iter()
            .find(|row| row.name == chain)
            .map(|row| self.entries[row.first].offset)
    }

    fn led_to(&self, index: usize) -> Option<String> {
        let Kind::Jump(to) = self.entries[index].kind else {
            return None;
        };
        // A chain is led to at its first rule, behind its head.
        let first = self.entries.binary_search_by_key(&to, |entry| entry.offset).ok()?;
        match &self.entries.get(first.checked_sub(1)?)?.kind {
            Kind::Head(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn rows(&self) -> Vec<Row> {
        let index = |offset: u32| self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok();
        let built_in = (0..HOOKS.len()).filter(|hook| self.hooks.valid & 1 << hook != 0);
        let mut rows: Vec<Row> = built_in
            .filter_map(|hook| {
                let (first, last) = (index(self.hooks.entry[hook])?, index(self.hooks.underflow[hook])?);
                Some(Row {
                    name: HOOKS[hook].to_owned(),
                    built_in: true,
                    head: first,
                    first,
                    last,
                })
            })
            .collect();
        let heads: Vec<(usize, &String)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| match &entry.kind {
                Kind::Head(name) => Some((index, name)),
                _ => None,
            })
            .collect();
        // The last head is the table's end.
        for pair in heads.windows(2) {
            let [(head, name), (next, _)] = pair else { continue };
            rows.push(Row {
                name: (*name).clone(),
                built_in: false,
                head: *head,
                first: head + 1,
                last: next - 1,
            });
        }
        rows
    }
}

/// The entries of a chain: its head (a built-in one has none of its own), its rules, and the one that ends it.
struct Row {
    name: String,
    built_in: bool,
    head: usize,
    first: usize,
    last: usize,
}

impl Row {
    fn rules(&self) -> std::ops::Range<usize> {
        self.first..self.last
    }
}

fn kind(layout: Layout, offset: u32, entry: &[u8]) -> Option<Kind> {
    let target = usize::from(number16(entry, layout.target_offset)?);
    let name = name(entry.get(target + 2..target + 2 + TARGET_NAME)?);
    let data = entry.get(target + TARGET_HEADER..)?;
    if name == ERROR {
        let chain = data.get(..30)?;
        return Some(Kind::Head(String::from_utf8_lossy(self::name(chain)).into_owned()));
    }
    if name != STANDARD {
        return Some(Kind::Other);
    }
    let verdict = i32::from_ne_bytes(data.get(..4)?.try_into().ok()?);
    Some(match u32::try_from(verdict) {
        Ok(to) if to == offset + length(entry) => Kind::Next,
        Ok(to) => Kind::Jump(to),
        // ACCEPT, DROP, RETURN.
        Err(_) => Kind::Other,
    })
}

/// Up to the first zero.
fn name(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The counters of the entries that are left, in their order, out of those of all that there were.
pub(super) fn counters_of(from: &[usize], before: &[u8]) -> Vec<u8> {
    let counters = from
        .iter()
        .filter_map(|index| before.get(index * COUNTERS..(index + 1) * COUNTERS));
    counters.flatten().copied().collect()
}

/// How much room counters of so many entries need.
pub(super) fn counters_size(entries: usize) -> usize {
    entries * COUNTERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::takeover::plan;

    /// A table in the making: entries whose jumps name a chain, which is put in its place at the end.
    struct Making {
        layout: Layout,
        entries: Vec<(Vec<u8>, Option<&'static str>)>,
    }

    impl Making {
        fn entry(&mut self, matches: usize, target: &[u8], data: &[u8], to: Option<&'static str>) -> &mut Self {
            let at = self.layout.size + matches;
            let data_size = data.len().next_multiple_of(8);
            let next = at + TARGET_HEADER + data_size;
            let mut bytes = vec![0; next];
            let word = |number: usize| u16::try_from(number).unwrap().to_ne_bytes();
            bytes[self.layout.target_offset..self.layout.target_offset + 2].copy_from_slice(&word(at));
            bytes[self.layout.target_offset + 2..self.layout.target_offset + 4].copy_from_slice(&word(next));
            bytes[at..at + 2].copy_from_slice(&word(TARGET_HEADER + data_size));
            bytes[at + 2..at + 2 + target.len()].copy_from_slice(target);
            bytes[at + TARGET_HEADER..at + TARGET_HEADER + data.len()].copy_from_slice(data);
            self.entries.push((bytes, to));
            self
        }

        fn head(&mut self, chain: &str) -> &mut Self {
            let mut data = [0; 30];
            data[..chain.len()].copy_from_slice(chain.as_bytes());
            self.entry(0, ERROR, &data, None)
        }

        fn verdict(&mut self, verdict: i32) -> &mut Self {
            self.entry(0, STANDARD, &verdict.to_ne_bytes(), None)
        }

        fn jump(&mut self, matches: usize, to: &'static str) -> &mut Self {
            self.entry(matches, STANDARD, &0_i32.to_ne_bytes(), Some(to))
        }

        fn mark(&mut self) -> &mut Self {
            self.entry(0, b"MARK", &[0, 0x40, 0, 0, 0, 0x40, 0, 0], None)
        }

        /// `hooks`: of each built-in chain, the numbers of its first entry and of its policy.
        fn rules(&self, hooks: &[(usize, usize, usize)]) -> Rules {
            let mut bytes: Vec<u8> = Vec::new();
            let mut offsets = Vec::new();
            for (entry, _) in &self.entries {
                offsets.push(length(&bytes));
                bytes.extend(entry);
            }
            let heads: Vec<_> = offsets
                .iter()
                .zip(&self.entries)
                .map(|(offset, (entry, _))| (kind(self.layout, *offset, entry).unwrap(), *offset, length(entry)))
                .collect();
            for (offset, (entry, to)) in offsets.iter().zip(&self.entries) {
                let verdict = match to {
                    Some("next") => offset + length(entry),
                    Some(to) => {
                        let is_head = |(kind, ..): &&(Kind, u32, u32)| *kind == Kind::Head((*to).to_owned());
                        let (_, head, size) = heads.iter().find(is_head).unwrap();
                        head + size
                    }
                    None => continue,
                };
                let target = usize::from(number16(entry, self.layout.target_offset).unwrap());
                let at = *offset as usize + target + TARGET_HEADER;
                bytes[at..at + 4].copy_from_slice(&verdict.to_ne_bytes());
            }
            let mut table = Hooks::default();
            for (hook, first, policy) in hooks {
                table.valid |= 1 << hook;
                table.entry[*hook] = offsets[*first];
                table.underflow[*hook] = offsets[*policy];
            }
            Rules::read(self.layout, table, &bytes).unwrap()
        }
    }

    const ACCEPT: i32 = -2;
    const RETURN: i32 = -5;

    /// PREROUTING jumps to KUBE-SERVICES, then to a foreign chain, then has a rule without a target.
    fn nat(layout: Layout) -> Rules {
        let mut making = Making {
            layout,
            entries: Vec::new(),
        };
        making
            .jump(40, "KUBE-SERVICES")
            .jump(0, "CNI-DN")
            .jump(48, "next")
            .verdict(ACCEPT);
        making.jump(0, "KUBE-SERVICES").verdict(ACCEPT);
        making.head("KUBE-SERVICES").jump(96, "KUBE-SVC-A").verdict(RETURN);
        making.head("CNI-DN").mark().verdict(RETURN);
        making.head("KUBE-SVC-A").mark().verdict(RETURN);
        making.head("ERROR");
        making.rules(&[(0, 0, 3), (3, 4, 5)])
    }

    #[test]
    fn chains_are_read_with_what_their_rules_lead_to() {
        for layout in [V4, V6] {
            let chains = nat(layout).chains();
            let shown: Vec<_> = chains
                .iter()
                .map(|chain| {
                    let to: Vec<_> = chain.rules.iter().map(|rule| rule.to.join(",")).collect();
                    format!(
                        "{}{} [{}]",
                        chain.name,
                        if chain.built_in { "*" } else { "" },
                        to.join(" ")
                    )
                })
                .collect();
            assert_eq!(
                shown,
                [
                    "PREROUTING* [KUBE-SERVICES CNI-DN ]",
                    "OUTPUT* [KUBE-SERVICES]",
                    "KUBE-SERVICES [KUBE-SVC-A]",
                    "CNI-DN []",
                    "KUBE-SVC-A []",
                ]
            );
        }
    }

    #[test]
    fn what_is_left_leads_where_it_led_before() {
        for layout in [V4, V6] {
            let before = nat(layout);
            let plan = plan("nat", &before.chains());
            let replacement = before.without(&plan);
            let after = Rules::read(layout, replacement.hooks, &replacement.bytes).unwrap();
            let chains = after.chains();
            let names: Vec<_> = chains.iter().map(|chain| chain.name.as_str()).collect();
            assert_eq!(names, ["PREROUTING", "OUTPUT", "CNI-DN"]);
            assert_eq!(chains[0].rules[0].to, ["CNI-DN"]);
            assert_eq!(
                after.entries[1].kind,
                Kind::Next,
                "a rule without a target goes on as before"
            );
            assert_eq!(chains[1].rules, [], "OUTPUT has its policy only");
            assert_eq!(after.head("OUTPUT"), Some(replacement.hooks.underflow[3]));
            assert_eq!(replacement.from, [1, 2, 3, 5, 9, 10, 11, 15]);
        }
    }

    #[test]
    fn counters_stay_with_their_rules() {
        let before: Vec<u8> = (0..3_u8).flat_map(|index| [index; COUNTERS]).collect();
        assert_eq!(counters_of(&[0, 2], &before), [[0; COUNTERS], [2; COUNTERS]].concat());
    }

    #[test]
    fn what_is_not_a_table_is_not_read() {
        let rules = nat(V4);
        let bytes: Vec<u8> = rules.entries.iter().flat_map(|entry| entry.bytes.clone()).collect();
        assert_eq!(Rules::read(V4, rules.hooks, &bytes[..bytes.len() - 1]), None);
        assert_eq!(Rules::read(V4, rules.hooks, &[0; 400]), None);
        assert_eq!(Rules::read(V6, rules.hooks, &bytes), None);
    }
}
