//! What `kpr diff kube-proxy` says.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::Serialize;

use super::{
    difference::{Difference, differences},
    frontend::Frontends,
};
use crate::cli::{style::notable, table::Table};

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// "iptables", "nftables", "ipvs": which rules of kube-proxy were there.
    rules: Vec<&'static str>,
    /// Services that have a name.
    services: usize,
    frontends: usize,
    /// Frontends of kpr's that are none of kube-proxy's.
    host_ports_left_out: usize,
    /// What these rules do not show of all frontends.
    not_compared: Vec<&'static str>,
    pub(super) differences: Vec<Difference>,
}

impl Report {
    pub(super) fn new(rules: Vec<&'static str>, kube_proxy: &Frontends, kpr: &Frontends, host_ports: usize) -> Self {
        let both = || kube_proxy.iter().chain(kpr);
        let service = |name: &str| name.split(':').next().map(str::to_owned);
        let services: BTreeSet<_> = both()
            .filter_map(|(_, frontend)| service(frontend.name.as_ref()?))
            .collect();
        let frontends: BTreeSet<_> = both().map(|(key, _)| key).collect();
        Self {
            not_compared: if rules.contains(&"ipvs") {
                vec!["traffic policies", "source ranges"]
            } else {
                Vec::new()
            },
            rules,
            services: services.len(),
            frontends: frontends.len(),
            host_ports_left_out: host_ports,
            differences: differences(kube_proxy, kpr),
        }
    }

    /// For people.
    pub(super) fn page(&self, is_wide: bool) -> String {
        let mut page = String::new();
        if !self.differences.is_empty() {
            let header = ["Difference", "Service", "Frontend", "Type", "kube-proxy", "kpr"];
            let shown = |column: &&str| is_wide || *column != "Type";
            let mut table = Table::new(header.into_iter().filter(&shown));
            for difference in &self.differences {
                let unknown = || "unknown".to_owned();
                let cells = [
                    ("Difference", difference.what.name().to_owned()),
                    ("Service", difference.service.clone().unwrap_or_else(unknown)),
                    ("Frontend", format!("{}/{}", difference.frontend, difference.protocol)),
                    ("Type", difference.service_type.clone().unwrap_or_else(unknown)),
                    ("kube-proxy", difference.kube_proxy.text(&difference.kpr, is_wide)),
                    ("kpr", difference.kpr.text(&difference.kube_proxy, is_wide)),
                ];
                table.row(
                    cells
                        .into_iter()
                        .filter(|(column, _)| shown(column))
                        .map(|(_, cell)| cell),
                );
            }
            page = format!("{table}\n");
        }
        // Writing to a string can't fail.
        let _ = self.close(&mut page);
        page
    }

    fn close(&self, page: &mut String) -> std::fmt::Result {
        match self.services {
            0 => write!(page, "{}", some(self.frontends, "frontend"))?,
            services => write!(
                page,
                "{} ({})",
                some(services, "Service"),
                some(self.frontends, "frontend")
            )?,
        }
        let verdict = match self.differences.len() {
            0 => "no difference".to_owned(),
            count => notable(&some(count, "difference")),
        };
        writeln!(page, " compared: {verdict}.")?;
        if self.host_ports_left_out > 0 {
            let left_out = some(self.host_ports_left_out, "hostPort");
            writeln!(
                page,
                "{left_out} of kpr's left out: the CNI serves them beside kube-proxy."
            )?;
        }
        if !self.not_compared.is_empty() {
            let what = self.not_compared.join(" and ");
            writeln!(
                page,
                "Not compared, since {} does not show it: {what}.",
                self.rules.join(" and ")
            )?;
        }
        Ok(())
    }
}

fn some(count: usize, of: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {of}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{
            diff::frontend::{Frontend, Key},
            style::plain,
        },
        model::{Kind, Protocol},
    };

    fn frontends(all: &[(&str, u16, &[&str])]) -> Frontends {
        let frontend = |(name, port, backends): &(&str, u16, &[&str])| {
            let frontend = Frontend {
                name: Some((*name).to_owned()),
                kind: Some(Kind::NodePort),
                backends: backends.iter().map(|backend| backend.parse().unwrap()).collect(),
                ..Frontend::default()
            };
            (Key::node_port(false, *port, Protocol::Tcp), frontend)
        };
        all.iter().map(frontend).collect()
    }

    #[test]
    fn the_same_on_both_sides_is_one_sentence() {
        let both = frontends(&[
            ("default/web:http", 30_080, &["10.244.0.2:80"]),
            ("default/web:https", 30_443, &["10.244.0.2:443"]),
            ("default/api", 30_081, &[]),
        ]);
        let page = Report::new(vec!["iptables"], &both, &both, 0).page(false);
        assert_eq!(page, "2 Services (3 frontends) compared: no difference.\n");
    }

    #[test]
    fn each_difference_is_a_line_and_what_was_not_compared_is_said() {
        let kube_proxy = frontends(&[
            ("default/web:http", 30_080, &["10.244.0.2:80", "10.244.1.2:80"]),
            ("default/old", 30_081, &["10.244.0.9:80"]),
        ]);
        let kpr = frontends(&[("default/web:http", 30_080, &["10.244.0.2:80"])]);
        let report = Report::new(vec!["ipvs"], &kube_proxy, &kpr, 2);
        let expected = "\
Difference   Service            Frontend            Type       kube-proxy              kpr
backends     default/web:http   0.0.0.0:30080/TCP   NodePort   2, with 10.244.1.2:80   1
frontend     default/old        0.0.0.0:30081/TCP   NodePort   1 backend               not there

2 Services (2 frontends) compared: 2 differences.
2 hostPorts of kpr's left out: the CNI serves them beside kube-proxy.
Not compared, since ipvs does not show it: traffic policies and source ranges.
";
        assert_eq!(plain(&report.page(true)), expected);
        assert!(!report.page(false).contains("NodePort"));
    }
}
