//! Answers to the byte.

use super::{family, now, serving};
use crate::{
    agent::{Progress, Snapshot},
    health::{Answer, Moment, ProxyHealth},
    model::NamespacedName,
};

/// As on the wire, without the headers of HTTP itself.
fn wire(answer: &Answer) -> String {
    let headers = answer.headers.iter();
    let headers: String = headers
        .flat_map(|(name, value)| [name.as_str(), ": ", value.to_str().unwrap(), "\n"])
        .collect();
    format!("{}\n{headers}\n{}", answer.status, answer.body)
}

const JSON: &str = "content-type: application/json\nx-content-type-options: nosniff\n";

fn health(now: Moment, families: Vec<Progress>) -> ProxyHealth {
    let snapshot = Snapshot { families, ..serving() };
    ProxyHealth::of(&snapshot, now)
}

#[test]
fn who_is_well_was_updated_just_now_and_each_family_when_it_was() {
    let now = now();
    let v6 = Progress {
        family: "IPv6",
        ..family(now, Some(20), None)
    };
    let health = health(now, vec![v6, family(now, Some(10), Some(5))]);
    let families = "\"status\":{\"IPv4\":{\"lastUpdated\":\"2026-01-02T03:03:55Z\",\"healthy\":true},\
                    \"IPv6\":{\"lastUpdated\":\"2026-01-02T03:03:45Z\",\"healthy\":true}}";
    let times = "\"lastUpdated\":\"2026-01-02T03:04:05Z\",\"currentTime\":\"2026-01-02T03:04:05Z\"";
    assert_eq!(
        wire(&Answer::healthz(&health, true, now)),
        format!("200 OK\n{JSON}\n{{{times},\"nodeEligible\":true,\"healthy\":true,{families}}}")
    );
    assert_eq!(
        wire(&Answer::livez(&health, now)),
        format!("200 OK\n{JSON}\n{{{times},\"healthy\":true,{families}}}")
    );
}

#[test]
fn who_is_late_is_unavailable_and_says_since_when() {
    let now = now();
    let health = health(now, vec![family(now, Some(300), Some(60))]);
    let body = "\"healthy\":false,\"status\":{\"IPv4\":{\"lastUpdated\":\"2026-01-02T02:59:05Z\",\"healthy\":false}}}";
    let times = "{\"lastUpdated\":\"2026-01-02T02:59:05Z\",\"currentTime\":\"2026-01-02T03:04:05Z\"";
    assert_eq!(
        wire(&Answer::healthz(&health, true, now)),
        format!("503 Service Unavailable\n{JSON}\n{times},\"nodeEligible\":true,{body}")
    );
    assert_eq!(
        wire(&Answer::livez(&health, now)),
        format!("503 Service Unavailable\n{JSON}\n{times},{body}")
    );
}

#[test]
fn a_node_that_is_to_go_is_unavailable_but_alive() {
    let now = now();
    let health = health(now, Vec::new());
    assert_eq!(
        wire(&Answer::healthz(&health, false, now)),
        format!(
            "503 Service Unavailable\n{JSON}\n{{\"lastUpdated\":\"0001-01-01T00:00:00Z\",\
             \"currentTime\":\"2026-01-02T03:04:05Z\",\"nodeEligible\":false,\"healthy\":true}}"
        )
    );
    assert_eq!(Answer::livez(&health, now).status, 200);
}

#[test]
fn a_health_check_counts_and_weighs_local_endpoints() {
    let web = NamespacedName::new("shop", "web");
    let show = |count, healthy| wire(&Answer::health_check(&web, count, healthy));
    let expect = |status, count, healthy| {
        format!(
            "{status}\n{JSON}x-load-balancing-endpoint-weight: {count}\n\n\
             {{\n\t\"service\": {{\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t}},\n\
             \t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
        )
    };
    assert_eq!(show(2, true), expect("200 OK", 2, true));
    assert_eq!(show(0, true), expect("503 Service Unavailable", 0, true));
    assert_eq!(show(2, false), expect("503 Service Unavailable", 2, false));
}

#[test]
fn texts_are_plain() {
    let text = "content-type: text/plain; charset=utf-8\nx-content-type-options: nosniff\n";
    for (answer, shown) in [
        (Answer::proxy_mode(), format!("200 OK\n{text}\nkpr")),
        (Answer::ping(), format!("200 OK\n{text}\nok")),
        (
            Answer::not_found(),
            format!("404 Not Found\n{text}\n404 page not found\n"),
        ),
    ] {
        assert_eq!(wire(&answer), shown);
    }
}
