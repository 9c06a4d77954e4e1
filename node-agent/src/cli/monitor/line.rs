//! An event as one line for people.

use std::fmt::Write as _;

use kpr_abi::Reason;

use crate::events::{Line, Told, dies};

/// The line; none, if there is nothing to show.
pub(super) fn text(line: &Line) -> Option<String> {
    match line {
        Line::Listening => Some("listening: flows that begin, and what goes no further".to_owned()),
        Line::Event(told) => Some(event(told)),
        Line::Lost { datapath, listener } => Some(format!(
            "LOST {} events: {datapath} for which the programs had no room, {listener} that came faster than they were read",
            datapath + listener
        )),
        Line::Alive | Line::Failed { .. } => None,
    }
}

/// `12:00:00.123456 eth0 ingress flow_to_remote TCP 192.168.49.100:40000 -> 192.168.49.2:30086 (default/web:http) => 10.244.1.2:80 as
/// 192.168.49.2:45123 by eth0`
fn event(told: &Told) -> String {
    let mut line = format!("{} ", told.time.strftime("%H:%M:%S.%6f"));
    if let Some(device) = &told.device {
        line += device;
        line.push(' ');
    }
    let (on, off) = if is_end(&told.reason) {
        ("\x1b[31m", "\x1b[0m")
    } else {
        ("", "")
    };
    // Writing to a String cannot fail.
    let _ = write!(line, "{} {on}{}{off} {} ", told.hook, told.reason, told.protocol);
    match (&told.process, &told.client) {
        (Some(process), _) => drop(write!(line, "{}[{}]", process.name, process.pid)),
        (None, Some(client)) => drop(write!(line, "{client}")),
        (None, None) => line += "?",
    }
    let _ = write!(line, " -> {}", told.frontend);
    if let Some(service) = &told.service {
        let _ = write!(line, " ({service})");
    }
    if let Some(backend) = &told.backend {
        let _ = write!(line, " => {backend}");
    }
    if let Some(source) = &told.source {
        let _ = write!(line, " as {source}");
    }
    if let Some(out) = &told.out {
        let _ = write!(line, " by {out}");
    }
    if told.sample > 1 {
        let _ = write!(line, " (one in {})", told.sample);
    }
    line
}

fn is_end(name: &str) -> bool {
    Reason::ALL
        .into_iter()
        .any(|reason| reason.name() == name && dies(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Process;

    fn told() -> Told {
        Told {
            time: "2026-01-02T12:00:00.123456Z".parse().unwrap(),
            hook: "ingress".into(),
            reason: "flow_to_remote".into(),
            device: Some("eth0".into()),
            out: Some("eth1".into()),
            protocol: "TCP".into(),
            client: Some("192.168.49.100:40000".parse().unwrap()),
            frontend: "192.168.49.2:30086".parse().unwrap(),
            service: Some("default/web:http".into()),
            backend: Some("10.244.1.2:80".parse().unwrap()),
            source: Some("192.168.49.2:45123".parse().unwrap()),
            process: None,
            sample: 1,
        }
    }

    #[test]
    fn a_flow_is_one_line_from_client_to_backend() {
        assert_eq!(
            event(&told()),
            "12:00:00.123456 eth0 ingress flow_to_remote TCP 192.168.49.100:40000 -> 192.168.49.2:30086 (default/web:http) \
             => 10.244.1.2:80 as 192.168.49.2:45123 by eth1"
        );
    }

    #[test]
    fn a_socket_is_shown_by_its_process_and_an_end_in_colour() {
        let denied = Told {
            hook: "connect".into(),
            reason: "socket_no_endpoint".into(),
            device: None,
            out: None,
            client: None,
            backend: None,
            source: None,
            process: Some(Process {
                pid: 42,
                name: "curl".into(),
                cgroup: 7,
            }),
            sample: 10,
            ..told()
        };
        assert_eq!(
            event(&denied),
            "12:00:00.123456 connect \x1b[31msocket_no_endpoint\x1b[0m TCP curl[42] -> 192.168.49.2:30086 (default/web:http) (one in 10)"
        );
    }

    #[test]
    fn what_was_lost_is_shown_by_where_it_was() {
        let lost = Line::Lost {
            datapath: 3,
            listener: 4,
        };
        let shown = text(&lost).unwrap();
        assert!(shown.starts_with("LOST 7 events: 3 "), "{shown}");
    }
}
