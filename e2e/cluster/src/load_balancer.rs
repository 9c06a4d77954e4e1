//! How kpr is to balance in scenarios that do not say: the environment can have all of them run with another load balancer.

use std::env::{self, VarError};

use anyhow::{Context as _, Result, ensure};
use kpr_crds::ForwardingMode;
use serde::Deserialize as _;
use serde_json::{Map, Value};

/// The environment variable: fields of `spec.loadBalancer` and their values, such as `acceleration=Native,algorithm=Maglev,mode=DSR`.
pub const VARIABLE: &str = "KPR_LOAD_BALANCER";

/// Fields of `spec.loadBalancer` for policies that do not have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancerDefaults(Map<String, Value>);

impl LoadBalancerDefaults {
    /// What [`VARIABLE`] says.
    pub fn of_environment() -> Result<Self> {
        match env::var(VARIABLE) {
            Ok(text) => Self::parse(&text).context(VARIABLE),
            Err(VarError::NotPresent) => Ok(Self::default()),
            Err(error) => Err(error).context(VARIABLE),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut fields = Map::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, value) = part
                .split_once('=')
                .with_context(|| format!("{part:?} is no FIELD=VALUE"))?;
            ensure!(!field.is_empty() && !value.is_empty(), "{part:?} is no FIELD=VALUE");
            // Numbers are numbers; all else is a word.
            let value = value.parse::<u32>().map_or_else(|_| value.into(), Value::from);
            fields.insert(field.to_owned(), value);
        }
        Ok(Self(fields))
    }

    /// Whether XDP is asked for.
    pub fn accelerates(&self) -> bool {
        self.0.get("acceleration").is_some_and(|value| value != "Disabled")
    }

    /// How packets reach backends on other nodes, in policies that do not say.
    pub fn mode(&self) -> Result<ForwardingMode> {
        let Some(mode) = self.0.get("mode") else {
            return Ok(ForwardingMode::default());
        };
        ForwardingMode::deserialize(mode).with_context(|| format!("mode {mode}"))
    }

    /// Adds them to a policy's spec.
    pub fn add_to(&self, spec: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        let wanted = &mut spec["loadBalancer"];
        for (field, value) in &self.0 {
            if wanted[field].is_null() {
                wanted[field] = value.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_policy_says_itself_stays() {
        let defaults = LoadBalancerDefaults::parse("acceleration=Native, mode=DSR,maglevTableSize=1021").unwrap();
        assert!(defaults.accelerates());
        assert_eq!(defaults.mode().unwrap(), ForwardingMode::Dsr);
        for (spec, expected) in [
            (
                json!({"mode": "Strict"}),
                json!({"mode": "Strict", "loadBalancer": {"acceleration": "Native", "mode": "DSR", "maglevTableSize": 1021}}),
            ),
            (
                json!({"loadBalancer": {"mode": "SNAT", "algorithm": "Maglev"}}),
                json!({"loadBalancer": {"acceleration": "Native", "mode": "SNAT", "algorithm": "Maglev", "maglevTableSize": 1021}}),
            ),
        ] {
            let mut spec = spec;
            defaults.add_to(&mut spec);
            assert_eq!(spec, expected);
        }
    }

    #[test]
    fn without_any_a_policy_is_as_it_was() {
        let mut spec = json!({"mode": "Strict"});
        let defaults = LoadBalancerDefaults::parse("").unwrap();
        defaults.add_to(&mut spec);
        assert_eq!((spec, defaults.accelerates()), (json!({"mode": "Strict"}), false));
        assert_eq!(defaults.mode().unwrap(), ForwardingMode::Snat);
    }

    #[test]
    fn what_is_no_field_and_value_is_refused() {
        for text in ["Native", "acceleration=", "=Native"] {
            assert!(LoadBalancerDefaults::parse(text).is_err(), "{text}");
        }
        assert!(LoadBalancerDefaults::parse("mode=dsr").unwrap().mode().is_err());
    }
}
