//! The string formats that a CRD schema can ask for and the API server checks.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `value` has the form `format`; unknown formats are not checked (as on the real server).
pub(super) fn matches(format: &str, value: &str) -> bool {
    match format {
        "date-time" => value.parse::<jiff::Timestamp>().is_ok(),
        "date" => value.parse::<jiff::civil::Date>().is_ok() && value.len() == 10,
        "duration" => is_go_duration(value),
        "ipv4" => value.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => value.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(value),
        "mac" => {
            let parts: Vec<&str> = value.split([':', '-']).collect();
            parts.len() == 6
                && parts
                    .iter()
                    .all(|p| p.len() == 2 && p.chars().all(|c| c.is_ascii_hexdigit()))
        }
        "uuid" | "uuid4" => {
            let parts: Vec<usize> = value.split('-').map(str::len).collect();
            parts == [8, 4, 4, 4, 12] && value.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
        }
        "byte" => {
            value.len().is_multiple_of(4)
                && value
                    .trim_end_matches('=')
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
        }
        "hostname" => {
            value.len() <= 253
                && value.split('.').all(|l| {
                    !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                })
        }
        _ => true,
    }
}

fn is_cidr(value: &str) -> bool {
    let Some((address, prefix)) = value.split_once('/') else {
        return false;
    };
    let Ok(prefix) = prefix.parse::<u8>() else { return false };
    (address.parse::<Ipv4Addr>().is_ok() && prefix <= 32) || (address.parse::<Ipv6Addr>().is_ok() && prefix <= 128)
}

/// Go's `time.ParseDuration`: `1h30m`, `-1.5s`, `0`.
fn is_go_duration(value: &str) -> bool {
    let mut rest = value.strip_prefix(['+', '-']).unwrap_or(value);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        if digits == 0 || rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        rest = &rest[digits..];
        let Some(unit) = ["ns", "us", "µs", "ms", "s", "m", "h"].iter().find(|u| {
            rest.strip_prefix(**u)
                .is_some_and(|r| r.is_empty() || r.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        }) else {
            return false;
        };
        rest = &rest[unit.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn formats_accept_what_the_real_server_accepts() {
        let cases = [
            ("date-time", "2026-01-02T03:04:05Z", true),
            ("date-time", "yesterday", false),
            ("duration", "1h30m", true),
            ("duration", "-1.5s", true),
            ("duration", "30", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv4", "10.0.0.256", false),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("cidr", "fd00::/64", true),
            ("uuid", "5b1b2d3c-0000-4000-8000-000000000000", true),
            ("made-up", "anything", true),
        ];
        for (format, value, want) in cases {
            assert_eq!(matches(format, value), want, "{format} {value}");
        }
    }
}
