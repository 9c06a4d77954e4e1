//! The table of `kpr service list`, in the columns of `cilium service list`.

use std::mem;

use super::entry::{Backend, Entry, TERMINATING};
use crate::cli::{style::notable, table::Table};

/// One line for each backend; a frontend's own columns stand on its first line only. Where both families are served, which
/// count their ids apart, a column says which one an id is of.
pub(super) fn render(entries: &[Entry], is_wide: bool) -> String {
    let both = entries.iter().any(|entry| entry.family != entries[0].family);
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .filter(|column| match column.0 {
            "Family" => both,
            "Service" | "Traffic Policy" | "Affinity" => is_wide,
            _ => true,
        })
        .collect();
    let header = columns.iter().map(|column| column.0);
    let mut table = Table::new(header.chain(["Backend"]));
    for entry in entries {
        let mut own: Vec<_> = columns.iter().map(|column| column.1(entry)).collect();
        let backends = entry
            .backends
            .iter()
            .zip(1..)
            .map(|(backend, n)| line(n, backend, is_wide));
        let none = entry.backends.is_empty().then(|| "none".to_owned());
        for backend in backends.chain(none) {
            let empty = vec![String::new(); own.len()];
            let cells = mem::replace(&mut own, empty);
            table.row(cells.into_iter().chain([backend]));
        }
    }
    table.to_string()
}

/// A column's name, and what stands in it.
type Column = (&'static str, fn(&Entry) -> String);

const COLUMNS: [Column; 7] = [
    ("ID", |entry| entry.id.to_string()),
    ("Family", |entry| entry.family.to_owned()),
    ("Service", |entry| entry.name().unwrap_or_else(|| "unknown".to_owned())),
    ("Frontend", |entry| format!("{}/{}", entry.frontend, entry.protocol)),
    ("Service Type", |entry| entry.service_type.to_owned()),
    ("Traffic Policy", policy),
    ("Affinity", |entry| {
        let seconds = entry.affinity_seconds;
        seconds.map_or_else(|| "none".to_owned(), |seconds| format!("{seconds}s"))
    }),
];

fn policy(entry: &Entry) -> String {
    let policy = match (entry.external_traffic_policy_local, entry.internal_traffic_policy_local) {
        (false, false) => "Cluster",
        (true, false) => "Local (external)",
        (false, true) => "Local (internal)",
        (true, true) => "Local",
    };
    policy.to_owned()
}

fn line(number: usize, backend: &Backend, is_wide: bool) -> String {
    let here = if is_wide && backend.local { ", on this node" } else { "" };
    let line = format!(
        "{number} => {}/{} ({}{here})",
        backend.address, backend.protocol, backend.state
    );
    if backend.state == TERMINATING {
        notable(&line)
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        net::{Ipv4Addr, Ipv6Addr},
    };

    use kpr_abi::{
        Addr4, BackendValue, Be16, ServiceKey, ServiceValue, Slice, V4, V6, backend,
        proto::{TCP, UDP},
        service::flags::{CLUSTER_IP, EXTERNAL_LOCAL, NODE_PORT, SOURCE_RANGES},
    };

    use super::{super::entry::entries, *};
    use crate::{cli::style::plain, datapath::Contents, plan::AdmittedRange};

    fn backend(ip: [u8; 4], port: u16, proto: u8, flags: u8) -> BackendValue<Addr4> {
        BackendValue {
            addr: Ipv4Addr::from(ip).into(),
            port: Be16::new(port),
            proto,
            flags,
        }
    }

    fn frontend(ip: [u8; 4], port: u16, proto: u8) -> ServiceKey<Addr4> {
        ServiceKey::new(Ipv4Addr::from(ip).into(), Be16::new(port), proto)
    }

    fn service(id: u32, flags: u32, cluster: (u32, u32), local: (u32, u32)) -> ServiceValue {
        let slice = |(base, len)| Slice { base, len };
        ServiceValue {
            id,
            flags,
            cluster: slice(cluster),
            local: slice(local),
            ..ServiceValue::default()
        }
    }

    /// A DNS service with one backend, a NodePort with a backend here and one elsewhere, and a service with none.
    fn node() -> Contents<V4> {
        Contents {
            services: vec![
                (
                    frontend([0, 0, 0, 0], 31683, TCP),
                    service(6, NODE_PORT | EXTERNAL_LOCAL | SOURCE_RANGES, (1, 2), (2, 1)),
                ),
                (
                    frontend([10, 96, 0, 10], 53, UDP),
                    service(2, CLUSTER_IP, (0, 1), (0, 0)),
                ),
                (
                    frontend([10, 96, 7, 7], 80, TCP),
                    service(7, CLUSTER_IP, (0, 0), (0, 0)),
                ),
            ],
            slots: vec![3, 8, 7],
            backends: BTreeMap::from([
                (3, backend([10, 244, 0, 2], 53, UDP, backend::flags::TERMINATING)),
                (7, backend([10, 244, 0, 3], 80, TCP, backend::flags::LOCAL)),
                (8, backend([10, 244, 1, 2], 80, TCP, 0)),
            ]),
            source_ranges: vec![AdmittedRange {
                service: 6,
                addr: Ipv4Addr::new(192, 0, 2, 0).into(),
                bits: 24,
            }],
        }
    }

    #[test]
    fn the_table_has_the_shape_of_the_reference() {
        let expected = "\
ID   Frontend            Service Type   Backend
2    10.96.0.10:53/UDP   ClusterIP      1 => 10.244.0.2:53/UDP (terminating)
6    0.0.0.0:31683/TCP   NodePort       1 => 10.244.0.3:80/TCP (active)
                                        2 => 10.244.1.2:80/TCP (active)
7    10.96.7.7:80/TCP    ClusterIP      none
";
        assert_eq!(plain(&render(&entries(&node()), false)), expected);
    }

    /// The same DNS service in IPv6, with an id that IPv4 has too, and the NodePort.
    fn node6() -> Contents<V6> {
        let addr = |text: &str| text.parse::<Ipv6Addr>().unwrap().into();
        let backend = |text, port, proto| BackendValue {
            addr: addr(text),
            port: Be16::new(port),
            proto,
            flags: 0,
        };
        Contents {
            services: vec![
                (
                    ServiceKey::new(addr("::"), Be16::new(31683), TCP),
                    service(3, NODE_PORT, (1, 1), (0, 0)),
                ),
                (
                    ServiceKey::new(addr("fd00:10:96::a"), Be16::new(53), UDP),
                    service(2, CLUSTER_IP, (0, 1), (0, 0)),
                ),
            ],
            slots: vec![1, 2],
            backends: BTreeMap::from([
                (1, backend("fd00:244::2", 53, UDP)),
                (2, backend("fd00:244:1::2", 80, TCP)),
            ]),
            source_ranges: Vec::new(),
        }
    }

    #[test]
    fn where_both_families_are_served_each_id_says_of_which_it_is() {
        let expected = "\
ID   Family   Frontend                 Service Type   Backend
2    IPv4     10.96.0.10:53/UDP        ClusterIP      1 => 10.244.0.2:53/UDP (terminating)
6    IPv4     0.0.0.0:31683/TCP        NodePort       1 => 10.244.0.3:80/TCP (active)
                                                      2 => 10.244.1.2:80/TCP (active)
7    IPv4     10.96.7.7:80/TCP         ClusterIP      none
2    IPv6     [fd00:10:96::a]:53/UDP   ClusterIP      1 => [fd00:244::2]:53/UDP (active)
3    IPv6     [::]:31683/TCP           NodePort       1 => [fd00:244:1::2]:80/TCP (active)
";
        let all = [entries(&node()), entries(&node6())].concat();
        assert_eq!(plain(&render(&all, false)), expected);
    }

    #[test]
    fn where_one_family_is_served_there_is_no_column_for_it() {
        for entries in [entries(&node()), entries(&node6())] {
            let table = render(&entries, false);
            assert!(table.starts_with("ID   Frontend"), "{table}");
        }
        assert_eq!(render(&[], false), "ID   Frontend   Service Type   Backend\n");
    }

    #[test]
    fn the_wide_table_has_names_as_far_as_they_are_known() {
        let mut all = entries(&node());
        all[1].service = Some("default/web".into());
        all[1].port_name = Some("http".into());
        all[1].affinity_seconds = Some(10_800);
        let expected = "\
ID   Service            Frontend            Service Type   Traffic Policy     Affinity   Backend
2    unknown            10.96.0.10:53/UDP   ClusterIP      Cluster            none       1 => 10.244.0.2:53/UDP (terminating)
6    default/web:http   0.0.0.0:31683/TCP   NodePort       Local (external)   10800s     1 => 10.244.0.3:80/TCP (active, on this node)
                                                                                         2 => 10.244.1.2:80/TCP (active)
7    unknown            10.96.7.7:80/TCP    ClusterIP      Cluster            none       none
";
        assert_eq!(plain(&render(&all, true)), expected);
    }

    #[test]
    fn json_tells_what_the_table_has_no_room_for() {
        let json = serde_json::to_value(entries(&node())).unwrap();
        assert_eq!(json[1]["family"], "IPv4");
        assert_eq!(json[1]["externalTrafficPolicyLocal"], true);
        assert_eq!(json[1]["frontend"], "0.0.0.0:31683");
        assert_eq!(json[1]["backends"][0]["local"], true);
        assert_eq!(json[1]["backends"][1]["local"], false);
        assert_eq!(json[2]["backends"], serde_json::json!([]));
        assert_eq!(json[1]["sourceRanges"], serde_json::json!(["192.0.2.0/24"]));
        assert_eq!(json[2]["sourceRanges"], serde_json::json!([]), "for everyone");
    }

    #[test]
    fn a_backend_in_both_slices_is_shown_once_and_maglev_tables_are_not() {
        let mut contents = node();
        contents.slots = vec![7, 8, 8, 8, 7];
        contents.services.truncate(1);
        let flags = NODE_PORT | kpr_abi::TableSize::ALL[0].flags();
        contents.services[0].1 = service(1, flags, (0, 2), (1, 1));
        let ids: Vec<_> = entries(&contents)[0].backends.iter().map(|b| b.id).collect();
        assert_eq!(ids, [7, 8]);
    }
}
