//! Firewall rules of a node, as its CNI has them.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::Netns;
use crate::address::Family;

impl Netns {
    /// Adds rules, written as `iptables-save` writes them, to those that there are.
    pub fn add_firewall(&self, family: Family, rules: &str) -> Result<()> {
        let program = match family {
            Family::V4 => "iptables-restore",
            Family::V6 => "ip6tables-restore",
        };
        self.run(|| {
            let mut child = Command::new(program)
                .arg("--noflush")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("run {program} (package iptables; `cargo xtask setup` installs it)"))?;
            let mut stdin = child.stdin.take().with_context(|| format!("stdin of {program}"))?;
            stdin.write_all(rules.as_bytes())?;
            drop(stdin);
            let output = child.wait_with_output()?;
            if !output.status.success() {
                let message = String::from_utf8_lossy(&output.stderr);
                bail!("{program} in {}: {}\n{rules}", self.name(), message.trim());
            }
            Ok(())
        })
    }
}
