//! One line of `iptables-save`.

use std::iter::Peekable;

use ipnet::IpNet;

use crate::{
    model::Protocol,
    netfilter::{Rule, Source},
};

/// None of other lines: names of chains, comments.
pub(super) fn parse(line: &str) -> Option<Rule> {
    // With --counters, packets and bytes stand in front.
    let rule = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    let mut words = words(rule.strip_prefix("-A ")?).peekable();
    let mut rule = Rule {
        chain: words.next()?,
        ..Rule::default()
    };
    let mut is_not = false;
    while let Some(word) = words.next() {
        if word == "!" {
            is_not = true;
            continue;
        }
        option(&mut rule, &word, std::mem::take(&mut is_not), &mut words);
    }
    Some(rule)
}

fn option(rule: &mut Rule, option: &str, is_not: bool, words: &mut Peekable<impl Iterator<Item = String>>) {
    // Values of options that are not known here are words that are no option either.
    let value = match option {
        "-s" | "-d" | "-p" | "-j" | "-g" | "--dport" | "--comment" | "--src-type" | "--seconds"
        | "--to-destination" => words.next().unwrap_or_default(),
        _ => return,
    };
    match option {
        "-s" => rule.source = range(&value).map(|range| Source { range, is_not }),
        "-d" if !is_not => rule.destination = range(&value),
        "-p" if !is_not => rule.protocol = Protocol::parse(Some(&value.to_ascii_uppercase())),
        "-j" | "-g" => rule.target = value,
        "--dport" if !is_not => rule.port = value.parse().ok(),
        "--comment" => rule.comment = Some(value),
        "--src-type" => rule.from_node = !is_not && value == "LOCAL",
        "--seconds" => rule.seconds = value.parse().ok(),
        "--to-destination" => rule.to_destination = value.parse().ok(),
        _ => {}
    }
}

/// Whether the rule's addresses are IPv6's; none if it has none.
pub(super) fn is_v6(rule: &Rule) -> Option<bool> {
    let of = |range: IpNet| range.addr().is_ipv6();
    let source = rule.source.map(|source| of(source.range));
    let to = || Some(rule.to_destination?.is_ipv6());
    source.or(rule.destination.map(of)).or_else(to)
}

fn range(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
}

/// Splits at blanks, but for those between quotes; in there a backslash takes the next character as it is.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text.chars().peekable();
    std::iter::from_fn(move || {
        while rest.next_if_eq(&' ').is_some() {}
        rest.peek()?;
        let (mut word, mut is_quoted) = (String::new(), false);
        while let Some(character) = rest.next() {
            match character {
                '"' => is_quoted = !is_quoted,
                '\\' if is_quoted => word.extend(rest.next()),
                ' ' if !is_quoted => break,
                _ => word.push(character),
            }
        }
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_its_words() {
        let rule = parse(
            "[7:420] -A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.20/32 -p tcp -m comment --comment \"default/web:http \\\"x\\\" cluster IP\" \
             -m tcp --dport 80 -m addrtype ! --src-type LOCAL -j KUBE-MARK-MASQ",
        )
        .unwrap();
        assert_eq!(
            rule,
            Rule {
                chain: "KUBE-SVC-A".into(),
                target: "KUBE-MARK-MASQ".into(),
                comment: Some("default/web:http \"x\" cluster IP".into()),
                source: Some(Source {
                    range: "10.244.0.0/16".parse().unwrap(),
                    is_not: true
                }),
                destination: Some("10.96.0.20/32".parse().unwrap()),
                protocol: Some(Protocol::Tcp),
                port: Some(80),
                ..Rule::default()
            }
        );
        assert_eq!(parse(":KUBE-SVC-A - [0:0]"), None);
        assert_eq!(parse("# Completed on Thu"), None);
    }
}
