//! A range of ports, written `30000-32767`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Ports from `first` to `last`, both included, `first <= last`.
///
/// The API carries it as the string that kube-apiserver's `--service-node-port-range` takes: `30000-32767`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a string is not a port range.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PortRangeError {
    /// Not two numbers from 1 to 65535 with a dash between them.
    #[error("{0:?} is not a port range: write it as FIRST-LAST, for instance 30000-32767")]
    Malformed(String),
    /// The first port is above the last.
    #[error("port range {first}-{last} is reversed: the first port is above the last")]
    Reversed {
        /// What stands before the dash.
        first: u16,
        /// What stands behind it.
        last: u16,
    },
}

impl PortRange {
    /// The range from `first` to `last`.
    pub fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        if first > last {
            return Err(PortRangeError::Reversed { first, last });
        }
        Ok(Self { first, last })
    }

    /// Lowest port of the range.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Highest port of the range; it belongs to the range.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Is the port in the range?
    pub fn contains(self, port: u16) -> bool {
        self.ports().contains(&port)
    }

    /// Do the two ranges share a port?
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Every port of the range.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || PortRangeError::Malformed(text.to_owned());
        let port = |text: &str| -> Result<u16, PortRangeError> {
            // `parse` would take a sign, which the schema's pattern does not.
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse() {
                Ok(port) if digits && port > 0 => Ok(port),
                _ => Err(malformed()),
            }
        };
        let (first, last) = text.split_once('-').ok_or_else(malformed)?;
        Self::new(port(first)?, port(last)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_prints_as_it_was_written() {
        for text in ["30000-32767", "1-1", "1-65535"] {
            let range: PortRange = text.parse().expect(text);
            assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_range_is_refused_and_quoted() {
        for text in [
            "", "-", "30000", "30000-", "-32767", "a-b", "0-10", "1-65536", "1-2-3", "+1-2", " 1-2",
        ] {
            let error = text.parse::<PortRange>().expect_err(text);
            assert_eq!(error, PortRangeError::Malformed(text.to_owned()));
        }
    }

    #[test]
    fn a_reversed_range_is_refused() {
        let error = "32767-30000".parse::<PortRange>().expect_err("reversed");
        assert_eq!(
            error,
            PortRangeError::Reversed {
                first: 32767,
                last: 30000
            }
        );
    }

    #[test]
    fn overlap_includes_the_ends() {
        let range = |text: &str| text.parse::<PortRange>().expect("range");
        assert!(range("1-10").overlaps(range("10-20")));
        assert!(range("10-20").overlaps(range("1-10")));
        assert!(range("1-100").overlaps(range("50-60")));
        assert!(!range("1-10").overlaps(range("11-20")));
    }
}
