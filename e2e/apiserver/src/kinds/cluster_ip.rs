//! Cluster IPs of a Service and their families: one, or dual-stack one of each (KEP-563).

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::alloc::ip::{Family, IpRange};
use crate::field::FieldError;
use crate::object::{at, child_mut, list, text};
use crate::state::State;

/// What this module fills in.
pub(super) const FIELDS: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

const HEADLESS: &str = "None";

/// Gives the Service its families and an address of each. An update that leaves fields out has them from the old object.
pub(super) fn assign(
    state: &mut State,
    new: &mut Value,
    old: Option<&Value>,
    used: &BTreeSet<IpAddr>,
) -> Result<(), FieldError> {
    let ranges: Vec<IpRange> = state.options.service_cidrs.iter().copied().map(IpRange::new).collect();
    let mut wish = Wish::read(new)?;
    wish.release(old)?;
    let mut configured: Vec<Family> = Vec::new();
    for range in &ranges {
        if !configured.contains(&range.family()) {
            configured.push(range.family());
        }
    }
    let families = wish.families(&configured)?;
    let ips = if wish.is_headless() {
        vec![HEADLESS.to_owned()]
    } else {
        let before: Vec<String> = old.map(|old| texts(old, "clusterIPs")).unwrap_or_default();
        let mut ips = Vec::new();
        for (index, family) in families.iter().enumerate() {
            let shown = json!(wish.ips);
            let refused = |why: String| FieldError::invalid("spec.clusterIPs", shown, why);
            // Every family was checked to be configured. Whoever names no address gets one of the first range.
            let mut own = ranges.iter().filter(|range| range.family() == *family);
            let Some(first) = own.next() else {
                continue;
            };
            let ip = match wish.ips.get(index) {
                Some(kept) if before.contains(kept) => kept.clone(),
                Some(asked) => {
                    let ip = parse(index, asked)?;
                    let claimed = first.claim(ip, used);
                    if let Err(error) = claimed
                        && !own.any(|range| range.claim(ip, used).is_ok())
                    {
                        return Err(refused(error.to_string()));
                    }
                    asked.clone()
                }
                None => first
                    .next(used, state.cursors.ip(*family))
                    .map_err(|error| refused(format!("failed to allocate a serviceIP: {error}")))?
                    .to_string(),
            };
            ips.push(ip);
        }
        ips
    };
    let spec = child_mut(new, "spec");
    spec.insert("clusterIP".into(), json!(ips.first()));
    spec.insert("clusterIPs".into(), json!(ips));
    let families: Vec<_> = families.iter().map(|family| family.name()).collect();
    spec.insert("ipFamilies".into(), json!(families));
    spec.insert("ipFamilyPolicy".into(), json!(wish.policy.name()));
    Ok(())
}

/// `spec.ipFamilyPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Single,
    Prefer,
    Require,
}

impl Policy {
    const ALL: [Self; 3] = [Self::Prefer, Self::Require, Self::Single];

    const fn name(self) -> &'static str {
        match self {
            Self::Single => "SingleStack",
            Self::Prefer => "PreferDualStack",
            Self::Require => "RequireDualStack",
        }
    }
}

/// What the Service asks for.
#[derive(Debug)]
struct Wish {
    policy: Policy,
    /// One address for each family, as far as they are chosen; or "None".
    ips: Vec<String>,
    families: Vec<Family>,
    has_selector: bool,
}

impl Wish {
    fn read(service: &Value) -> Result<Self, FieldError> {
        let mut ips = texts(service, "clusterIPs");
        // Older clients know `clusterIP` only: it stands for the first.
        match (text(service, &["spec", "clusterIP"]), ips.first_mut()) {
            ("", _) => {}
            (first, Some(slot)) => first.clone_into(slot),
            (first, None) => ips.push(first.to_owned()),
        }
        let mut families = Vec::new();
        for (index, name) in texts(service, "ipFamilies").iter().enumerate() {
            let path = format!("spec.ipFamilies[{index}]");
            let supported = ["IPv4", "IPv6"];
            let family =
                Family::parse(name).ok_or_else(|| FieldError::not_supported(&path, name.as_str(), &supported))?;
            if families.contains(&family) {
                return Err(FieldError::duplicate(path, name.as_str()));
            }
            families.push(family);
        }
        let has_selector = at(service, &["spec", "selector"])
            .and_then(Value::as_object)
            .is_some_and(|selector| !selector.is_empty());
        let headless = ips.first().is_some_and(|ip| ip == HEADLESS);
        let policy = match text(service, &["spec", "ipFamilyPolicy"]) {
            // Its endpoints are written by hand, so they may be of any family.
            "" if headless && !has_selector => Policy::Require,
            "" => Policy::Single,
            name => Policy::ALL
                .into_iter()
                .find(|policy| policy.name() == name)
                .ok_or_else(|| {
                    FieldError::not_supported("spec.ipFamilyPolicy", name, &Policy::ALL.map(Policy::name))
                })?,
        };
        let wish = Self {
            policy,
            ips,
            families,
            has_selector,
        };
        wish.check_ips()?;
        Ok(wish)
    }

    fn is_headless(&self) -> bool {
        self.ips.first().is_some_and(|ip| ip == HEADLESS)
    }

    fn check_ips(&self) -> Result<(), FieldError> {
        if self.is_headless() {
            return if self.ips.len() == 1 {
                Ok(())
            } else {
                let why = "'None' must be the first and only value";
                Err(FieldError::invalid("spec.clusterIPs", json!(self.ips), why))
            };
        }
        if self.ips.len() > 2 {
            return Err(FieldError::invalid(
                "spec.clusterIPs",
                json!(self.ips),
                "may only hold up to 2 values",
            ));
        }
        let mut seen = Vec::new();
        for (index, text) in self.ips.iter().enumerate() {
            let family = Family::of(parse(index, text)?);
            if let Some(named) = self.families.get(index).filter(|named| **named != family) {
                let why = format!(
                    "expected an {} value as indicated by `ipFamilies[{index}]`",
                    named.name()
                );
                return Err(FieldError::invalid(
                    format!("spec.clusterIPs[{index}]"),
                    text.as_str(),
                    why,
                ));
            }
            if seen.contains(&family) {
                let why = "may specify no more than one IP for each IP family";
                return Err(FieldError::invalid("spec.clusterIPs", json!(self.ips), why));
            }
            seen.push(family);
        }
        Ok(())
    }

    /// An update to `SingleStack` gives the second address back; nothing else does.
    fn release(&mut self, old: Option<&Value>) -> Result<(), FieldError> {
        let Some(old) = old else { return Ok(()) };
        let (ips, families) = (texts(old, "clusterIPs"), texts(old, "ipFamilies"));
        if self.policy == Policy::Single {
            if self.ips == ips {
                self.ips.truncate(1);
            }
            if self.families.iter().map(|family| family.name()).eq(families.iter()) {
                self.families.truncate(1);
            }
            return Ok(());
        }
        for (before, now, what) in [
            (ips.len(), self.ips.len(), "cluster IP"),
            (families.len(), self.families.len(), "IP family"),
        ] {
            if before == 2 && now == 1 {
                let why = format!("must be 'SingleStack' to release the secondary {what}");
                return Err(FieldError::invalid("spec.ipFamilyPolicy", self.policy.name(), why));
            }
        }
        Ok(())
    }

    /// The families that the Service gets, in the order of its addresses. `configured`: the families of the ranges, the
    /// primary one first.
    fn families(&self, configured: &[Family]) -> Result<Vec<Family>, FieldError> {
        if self.policy == Policy::Single {
            for (count, what) in [(self.ips.len(), "cluster IPs"), (self.families.len(), "IP families")] {
                if count > 1 {
                    let why =
                        format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                    return Err(FieldError::invalid("spec.ipFamilyPolicy", self.policy.name(), why));
                }
            }
        }
        let mut families = self.families.clone();
        if !self.is_headless() {
            for (index, text) in self.ips.iter().enumerate().skip(families.len()) {
                let family = Family::of(parse(index, text)?);
                if !configured.contains(&family) {
                    let why = format!("{} is not configured on this cluster", family.name());
                    return Err(FieldError::invalid(
                        format!("spec.clusterIPs[{index}]"),
                        json!(self.ips),
                        why,
                    ));
                }
                families.push(family);
            }
        }
        let free_choice = self.is_headless() && !self.has_selector;
        if !free_choice {
            if self.policy == Policy::Require && configured.len() < 2 {
                let why = "this cluster is not configured for dual-stack services";
                return Err(FieldError::invalid("spec.ipFamilyPolicy", self.policy.name(), why));
            }
            if let Some(index) = families.iter().position(|family| !configured.contains(family)) {
                let path = format!("spec.ipFamilies[{index}]");
                return Err(FieldError::invalid(
                    path,
                    families[index].name(),
                    "not configured on this cluster",
                ));
            }
        }
        if families.is_empty() {
            families.extend(configured.first());
        }
        if let [only] = families[..]
            && self.policy != Policy::Single
            && (free_choice || configured.len() == 2)
        {
            families.push(only.other());
        }
        Ok(families)
    }
}

fn parse(index: usize, text: &str) -> Result<IpAddr, FieldError> {
    sloppy(text).ok_or_else(|| {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        FieldError::invalid(format!("spec.clusterIPs[{index}]"), text, why)
    })
}

/// An address as Kubernetes reads it: numbers of IPv4 may have leading zeros, and are decimal nevertheless
/// (`ParseIPSloppy`). It is kept as it was written.
pub(super) fn sloppy(text: &str) -> Option<IpAddr> {
    let number = |number: &str| match number.trim_start_matches('0') {
        "" if !number.is_empty() => "0".to_owned(),
        digits => digits.to_owned(),
    };
    let plain = text.split('.').map(number).collect::<Vec<_>>().join(".");
    text.parse().or_else(|_| plain.parse()).ok()
}

fn texts(service: &Value, field: &str) -> Vec<String> {
    let values = list(service, &["spec", field]).iter();
    // An empty first entry asks for an address, like none.
    values
        .filter_map(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_decimal() {
        for (text, address) in [
            ("10.96.0.021", Some("10.96.0.21")),
            ("010.096.000.1", Some("10.96.0.1")),
            ("10.96.0.1", Some("10.96.0.1")),
            ("fd00::1", Some("fd00::1")),
            ("10.96..1", None),
            ("10.96.0.0256", None),
            ("0", None),
        ] {
            assert_eq!(sloppy(text), address.and_then(|address| address.parse().ok()), "{text}");
        }
    }
}
