//! What a check found, for people and for programs. Pure.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{ask::Asked, judge::seen, nodes::Node, row::Verdict};

/// How to print an answer, as `kpr` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// For people, with every question.
    Wide,
    /// For programs.
    Json,
    /// The same as YAML.
    Yaml,
}

/// What a check found.
pub(super) struct Report {
    nodes: Vec<String>,
    asked: Vec<Asked>,
}

const GAP: usize = 3;

impl Report {
    pub(super) fn new(nodes: &[Node], asked: Vec<Asked>) -> Self {
        Self {
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            asked,
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.asked
            .iter()
            .any(|asked| matches!(asked.verdict, Verdict::Failed(_)))
    }

    pub(super) fn print(&self, format: Format) -> Result<String> {
        Ok(match format {
            Format::Text => self.table() + &self.summary() + &self.failures(),
            Format::Wide => self.wide() + &self.summary(),
            Format::Json => serde_json::to_string_pretty(&self.json())? + "\n",
            Format::Yaml => serde_saphyr::to_string(&self.json())?,
        })
    }

    /// A line for the questions of one kind from one kind of place.
    fn table(&self) -> String {
        let mut rows = vec![
            ["Check", "Protocol", "Family", "From", "Questions", "Result"]
                .map(str::to_owned)
                .to_vec(),
        ];
        let kind = |asked: &Asked| {
            (
                asked.row.check,
                asked.row.protocol,
                asked.row.family(),
                asked.row.from.vantage,
            )
        };
        for alike in self.asked.chunk_by(|one, next| kind(one) == kind(next)) {
            let (check, protocol, family, vantage) = kind(&alike[0]);
            rows.push(vec![
                check.to_string(),
                protocol.to_string(),
                family.to_owned(),
                vantage.to_string(),
                alike.len().to_string(),
                result(alike),
            ]);
        }
        table(&rows)
    }

    fn wide(&self) -> String {
        let mut rows = vec![
            ["Check", "Protocol", "From", "To", "Expected", "Seen", "Result"]
                .map(str::to_owned)
                .to_vec(),
        ];
        for Asked { row, answers, verdict } in &self.asked {
            rows.push(vec![
                row.check.to_string(),
                row.protocol.to_string(),
                row.from.to_string(),
                row.to(),
                row.expected.to_string(),
                seen(answers),
                verdict_text(verdict),
            ]);
        }
        table(&rows)
    }

    fn summary(&self) -> String {
        let (ok, failed, skipped) = self.counts();
        let mut parts = vec![format!("{ok} ok")];
        for (count, what) in [(failed, "failed"), (skipped, "skipped")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        format!(
            "\n{} questions on {}: {}.\n",
            self.asked.len(),
            self.nodes.join(", "),
            parts.join(", ")
        )
    }

    fn failures(&self) -> String {
        let mut lines = String::new();
        for Asked { row, verdict, .. } in &self.asked {
            if let Verdict::Failed(fault) = verdict {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    lines,
                    "FAILED: {}, {}, from {} to {}: expected {}; {fault}",
                    row.check,
                    row.protocol,
                    row.from,
                    row.to(),
                    row.expected
                );
            }
        }
        lines
    }

    fn counts(&self) -> (usize, usize, usize) {
        count(&self.asked)
    }

    fn json(&self) -> Value {
        let checks = self.asked.iter().map(|Asked { row, answers, verdict }| {
            let (result, reason) = match verdict {
                Verdict::Ok => ("ok", None),
                Verdict::Failed(reason) => ("failed", Some(reason)),
                Verdict::Skipped(reason) => ("skipped", Some(reason)),
            };
            let mut check = json!({
                "check": row.check.to_string(),
                "protocol": row.protocol,
                "family": row.family(),
                "from": {"place": row.from.vantage.to_string(), "node": row.from.node},
                "to": {"address": row.target, "node": row.via},
                "expected": row.expected.to_string(),
                "seen": answers,
                "result": result,
            });
            if let Some(reason) = reason {
                check["reason"] = json!(reason);
            }
            check
        });
        let (ok, failed, skipped) = self.counts();
        json!({
            "nodes": self.nodes,
            "ok": ok,
            "failed": failed,
            "skipped": skipped,
            "checks": checks.collect::<Vec<_>>(),
        })
    }
}

/// How many are ok, failed, skipped.
fn count(asked: &[Asked]) -> (usize, usize, usize) {
    let of = |is: fn(&Verdict) -> bool| asked.iter().filter(|asked| is(&asked.verdict)).count();
    (
        of(|verdict| *verdict == Verdict::Ok),
        of(|verdict| matches!(verdict, Verdict::Failed(_))),
        of(|verdict| matches!(verdict, Verdict::Skipped(_))),
    )
}

/// The result of several, and why some were skipped.
fn result(alike: &[Asked]) -> String {
    let reasons: BTreeSet<&str> = alike
        .iter()
        .filter_map(|asked| match &asked.verdict {
            Verdict::Skipped(reason) => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
    match count(alike) {
        (_, 0, 0) => "ok".to_owned(),
        (0, 0, _) => format!("skipped: {reasons}"),
        (_, 0, skipped) => format!("ok, {skipped} skipped: {reasons}"),
        (_, failed, 0) => format!("FAILED: {failed}"),
        (_, failed, skipped) => format!("FAILED: {failed}, {skipped} skipped: {reasons}"),
    }
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ok => "ok".to_owned(),
        Verdict::Failed(reason) => format!("FAILED: {reason}"),
        Verdict::Skipped(reason) => format!("skipped: {reason}"),
    }
}

/// Left-aligned columns, as `kpr` prints them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let (mut text, mut line) = (String::new(), String::new());
    for row in rows {
        line.clear();
        for (cell, &width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:0$}", width + GAP);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use kpr_check::{Answers, Protocol};

    use super::{
        super::row::{Check, Client, Expected, From, Row, Vantage},
        *,
    };

    fn asked(vantage: Vantage, node: Option<&str>, verdict: Verdict) -> Asked {
        Asked {
            row: Row {
                check: Check::NodePort,
                protocol: Protocol::Udp,
                from: From {
                    vantage,
                    node: node.map(str::to_owned),
                    client: Client::Here,
                },
                target: "192.168.49.3:30080".parse().unwrap(),
                via: Some("node-b".to_owned()),
                expected: Expected::Each(["server-0".to_owned(), "server-1".to_owned()].into()),
                not_behind: Vec::new(),
            },
            answers: Answers {
                servers: [("server-0".to_owned(), 21)].into(),
                ..Answers::default()
            },
            verdict,
        }
    }

    fn report() -> Report {
        let never = Verdict::Failed("server-1 never answered".to_owned());
        let far = Verdict::Skipped("not reachable from here".to_owned());
        Report {
            nodes: vec!["node-a".to_owned(), "node-b".to_owned()],
            asked: vec![
                asked(Vantage::Pods, Some("node-a"), Verdict::Ok),
                asked(Vantage::Pods, Some("node-b"), Verdict::Ok),
                asked(Vantage::Nodes, Some("node-a"), Verdict::Ok),
                asked(Vantage::Nodes, Some("node-b"), never),
                asked(Vantage::Outside, None, far),
            ],
        }
    }

    #[test]
    fn questions_of_a_kind_share_a_line_and_failures_are_told_one_by_one() {
        let expected = "\
Check      Protocol   Family   From      Questions   Result
NodePort   UDP        IPv4     pods      2           ok
NodePort   UDP        IPv4     nodes     2           FAILED: 1
NodePort   UDP        IPv4     outside   1           skipped: not reachable from here

5 questions on node-a, node-b: 3 ok, 1 failed, 1 skipped.
FAILED: NodePort, UDP, from node-b to 192.168.49.3:30080 (node-b): expected each of server-0, server-1; server-1 never answered
";
        assert_eq!(report().print(Format::Text).unwrap(), expected);
    }

    #[test]
    fn a_wide_table_has_every_question() {
        let text = report().print(Format::Wide).unwrap();
        let line = text.lines().nth(4).unwrap();
        assert_eq!(
            line.split("   ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>(),
            [
                "NodePort",
                "UDP",
                "node-b",
                "192.168.49.3:30080 (node-b)",
                "each of server-0, server-1",
                "server-0 ×21",
                "FAILED: server-1 never answered"
            ]
        );
    }

    #[test]
    fn json_and_yaml_have_what_was_seen() {
        let json: Value = serde_json::from_str(&report().print(Format::Json).unwrap()).unwrap();
        let yaml: Value = serde_saphyr::from_str(&report().print(Format::Yaml).unwrap()).unwrap();
        assert_eq!(json, yaml);
        assert_eq!(
            (&json["ok"], &json["failed"], &json["skipped"]),
            (&json!(3), &json!(1), &json!(1))
        );
        let failed = &json["checks"][3];
        assert_eq!(failed["seen"]["servers"], json!({"server-0": 21}));
        assert_eq!(
            (&failed["result"], &failed["reason"]),
            (&json!("failed"), &json!("server-1 never answered"))
        );
    }
}
