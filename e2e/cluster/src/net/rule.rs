//! Routing rules, which `ip` knows by family and takes no hint of in a batch.

use std::{fmt, net::IpAddr};

use anyhow::Result;

use super::Netns;
use crate::address::Family;

/// A routing rule, as `ip rule add` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    family: Family,
    line: String,
}

impl Rule {
    /// A rule of the family of `address`.
    pub fn new(address: IpAddr, line: String) -> Self {
        Self {
            family: Family::of(address),
            line,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line)
    }
}

impl Netns {
    /// Adds routing rules.
    pub fn add_rules(&self, rules: &[Rule]) -> Result<()> {
        self.change_rules("add", rules)
    }

    /// Takes routing rules away.
    pub fn delete_rules(&self, rules: &[Rule]) -> Result<()> {
        self.change_rules("del", rules)
    }

    fn change_rules(&self, verb: &str, rules: &[Rule]) -> Result<()> {
        for family in [Family::V4, Family::V6] {
            let of_family = rules.iter().filter(|rule| rule.family == family);
            let commands: Vec<String> = of_family.map(|rule| format!("rule {verb} {rule}")).collect();
            self.ip_of(family, &commands)?;
        }
        Ok(())
    }
}
