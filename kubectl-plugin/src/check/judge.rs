//! Whether what was seen is what was expected. Pure.

use std::{collections::BTreeSet, fmt::Display};

use kpr_check::Answers;

use super::row::{Expected, Row, Verdict};

/// The verdict on a row whose client has met this.
pub(super) fn judge(row: &Row, answers: &Answers) -> Verdict {
    match fault(row, answers) {
        None => Verdict::Ok,
        Some(fault) => Verdict::Failed(fault),
    }
}

fn fault(row: &Row, answers: &Answers) -> Option<String> {
    if row.expected == Expected::Refused {
        return not_refused(answers);
    }
    if answers.failed() > 0 {
        let failures: Vec<_> = answers.failures.iter().map(times).collect();
        let tries = answers.failed() + answers.answered();
        return Some(format!("{} of {tries} tries", failures.join(", ")));
    }
    let met: BTreeSet<&String> = answers.servers.keys().collect();
    let (servers, all_must_answer) = match &row.expected {
        Expected::Each(servers) => (servers, true),
        Expected::OneOf(servers, _) | Expected::Same(servers) => (servers, false),
        Expected::Refused => return None,
    };
    if let Some(other) = met.iter().find(|met| !servers.contains(**met)) {
        return Some(format!("{other} has answered"));
    }
    let silent: Vec<&str> = servers
        .iter()
        .filter(|server| !met.contains(server))
        .map(String::as_str)
        .collect();
    if all_must_answer && !silent.is_empty() {
        return Some(format!("{} never answered", silent.join(", ")));
    }
    if matches!(row.expected, Expected::Same(_)) && met.len() > 1 {
        let servers: Vec<_> = answers.servers.iter().map(times).collect();
        return Some(format!("answers of {}", servers.join(" and ")));
    }
    let mut hidden = answers.clients.keys().filter(|client| row.not_behind.contains(client));
    hidden
        .next()
        .map(|address| format!("the server sees {address} in place of the client's own address"))
}

fn not_refused(answers: &Answers) -> Option<String> {
    if answers.answered() > 0 {
        let servers: Vec<_> = answers.servers.keys().cloned().collect();
        return Some(format!("{} answered", servers.join(", ")));
    }
    let others: Vec<_> = answers
        .failures
        .iter()
        .filter(|(failure, _)| *failure != Answers::REFUSED)
        .map(times)
        .collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// What was seen, in a few words.
pub(super) fn seen(answers: &Answers) -> String {
    let all: Vec<_> = answers
        .servers
        .iter()
        .map(times)
        .chain(answers.failures.iter().map(times))
        .collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn times((what, count): (impl Display, &u32)) -> String {
    format!("{what} ×{count}")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use kpr_check::Protocol;

    use super::{
        super::row::{Check, Client, From, Vantage},
        *,
    };

    fn row(expected: Expected) -> Row {
        Row {
            check: Check::ClusterIp,
            protocol: Protocol::Tcp,
            from: From {
                vantage: Vantage::Pods,
                node: Some("node-a".to_owned()),
                client: Client::Pod("client-0".to_owned()),
            },
            target: "10.96.0.9:80".parse().unwrap(),
            via: None,
            expected,
            not_behind: vec!["192.168.49.3".parse().unwrap()],
        }
    }

    fn answers(servers: &[(&str, u32)], failures: &[(&str, u32)], client: &str) -> Answers {
        let named = |all: &[(&str, u32)]| all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let client: IpAddr = client.parse().unwrap();
        Answers {
            servers: named(servers),
            clients: [(client, 1)].into(),
            failures: named(failures),
        }
    }

    fn set(servers: &[&str]) -> BTreeSet<String> {
        servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn answers_are_held_against_what_was_expected() {
        let both = set(&["server-0", "server-1"]);
        let each = Expected::Each(both.clone());
        let local = Expected::OneOf(set(&["server-0"]), 2);
        let same = Expected::Same(both);
        for (expected, servers, failures, fault) in [
            (&each, &[("server-0", 3), ("server-1", 1)][..], &[][..], None),
            (&each, &[("server-0", 21)], &[], Some("server-1 never answered")),
            (
                &each,
                &[("server-0", 1), ("server-1", 1), ("other", 1)],
                &[],
                Some("other has answered"),
            ),
            (&each, &[], &[("timed out", 3)], Some("timed out ×3 of 3 tries")),
            (
                &each,
                &[("server-0", 5), ("server-1", 4)],
                &[("refused", 1), ("timed out", 2)],
                Some("refused ×1, timed out ×2 of 12 tries"),
            ),
            (&local, &[("server-0", 20)], &[], None),
            (
                &local,
                &[("server-0", 10), ("server-1", 10)],
                &[],
                Some("server-1 has answered"),
            ),
            (&same, &[("server-1", 21)], &[], None),
            (
                &same,
                &[("server-0", 1), ("server-1", 20)],
                &[],
                Some("answers of server-0 ×1 and server-1 ×20"),
            ),
            (&Expected::Refused, &[], &[("refused", 3)], None),
            (&Expected::Refused, &[], &[("timed out", 3)], Some("timed out ×3")),
            (&Expected::Refused, &[("server-0", 3)], &[], Some("server-0 answered")),
        ] {
            let verdict = judge(&row(expected.clone()), &answers(servers, failures, "10.244.0.5"));
            let expected_verdict = fault.map_or(Verdict::Ok, |fault| Verdict::Failed(fault.to_owned()));
            assert_eq!(verdict, expected_verdict, "{expected}: {servers:?} {failures:?}");
        }
    }

    #[test]
    fn a_client_behind_the_node_that_it_asked_is_hidden() {
        let row = row(Expected::OneOf(set(&["server-0"]), 2));
        let behind = answers(&[("server-0", 20)], &[], "192.168.49.3");
        assert_eq!(
            judge(&row, &behind),
            Verdict::Failed("the server sees 192.168.49.3 in place of the client's own address".to_owned())
        );
    }

    #[test]
    fn nothing_asked_is_nothing_seen() {
        assert_eq!(seen(&Answers::default()), "-");
        assert_eq!(
            seen(&answers(&[("server-0", 2)], &[("refused", 1)], "10.244.0.5")),
            "server-0 ×2, refused ×1"
        );
    }
}
