//! Who reads the agents' metrics, and the dashboard that shows them.

use std::collections::BTreeSet;

use kpr_chart::{Helm, test_rules};
use serde_json::{Value, json};

/// Every metric that the agents have, as the documentation lists them; a test of the agent compares.
fn known() -> BTreeSet<String> {
    metrics_in(include_str!("../../../../docs/metrics.md"))
}

fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            ["kpr_", "kubeproxy_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn nothing_of_it_is_there_unless_asked_for() {
    let rendered = Helm::default().render().unwrap();
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        assert_eq!(rendered.of_kind(kind).count(), 0, "{kind}");
    }
    assert!(rendered.get("ConfigMap", "kpr-dashboard").is_err());
    assert!(rendered.get("Service", "kpr-agent").is_err());
}

#[test]
fn agents_learn_of_each_other_from_a_service_of_their_health_port() {
    let rendered = Helm::with(&["kubeProxyReplacementHealthzBindAddr=[::]:11256"])
        .render()
        .unwrap();
    let service = rendered.get("Service", "kpr-agent-health").unwrap();
    assert_eq!(
        service["spec"]["clusterIP"],
        Value::Null,
        "agents do not watch Services without an address"
    );
    assert_eq!(
        service["spec"]["ports"],
        json!([{"name": "healthz", "port": 11256, "protocol": "TCP"}])
    );
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    let container = &rendered.get("DaemonSet", "kpr-agent").unwrap()["spec"]["template"]["spec"]["containers"][0];
    let told = |env: &Value| env["name"] == "KPR_AGENTS_SERVICE" && env["value"] == "kube-system/kpr-agent-health";
    assert!(container["env"].as_array().unwrap().iter().any(told), "{container}");

    let closed = Helm::with(&["kubeProxyReplacementHealthzBindAddr="]).render().unwrap();
    assert!(
        closed.get("Service", "kpr-agent-health").is_err(),
        "nobody answers there"
    );
}

#[test]
fn a_monitor_finds_the_agents_port_by_a_service_without_an_address() {
    let values = [
        "prometheus.enabled=true",
        "prometheus.port=9900",
        "prometheus.serviceMonitor.enabled=true",
        "prometheus.serviceMonitor.labels.release=prometheus",
    ];
    let rendered = Helm::with(&values).render().unwrap();
    let service = rendered.get("Service", "kpr-agent").unwrap();
    assert_eq!(
        service["spec"]["clusterIP"], "None",
        "no proxy has anything to do with it"
    );
    let pods = &rendered.get("DaemonSet", "kpr-agent").unwrap()["spec"]["template"];
    let (labels, wanted) = (&pods["metadata"]["labels"], &service["spec"]["selector"]);
    for (label, value) in wanted.as_object().unwrap() {
        assert_eq!(labels[label], *value, "{label}");
    }
    let agent = &pods["spec"]["containers"][0];
    assert_eq!(
        agent["ports"],
        json!([{"name": "metrics", "containerPort": 9900, "protocol": "TCP"}])
    );
    let arguments: Vec<&str> = agent["args"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        arguments.contains(&"--metrics-bind-address=0.0.0.0:9900"),
        "{arguments:?}"
    );

    let monitor = rendered.get("ServiceMonitor", "kpr-agent").unwrap();
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(
        monitor["spec"]["endpoints"][0]["port"],
        service["spec"]["ports"][0]["name"]
    );
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(service["metadata"]["labels"][label], *value, "{label}");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let rendered = Helm::with(&["dashboards.enabled=true", "dashboards.namespace=monitoring"])
        .render()
        .unwrap();
    let map = rendered.get("ConfigMap", "kpr-dashboard").unwrap();
    assert_eq!(map["metadata"]["namespace"], "monitoring");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let dashboard: Value = serde_json::from_str(map["data"]["kpr.json"].as_str().unwrap()).unwrap();
    let known = known();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 10, "{}", panels.len());
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let shown = metrics_in(expression);
            assert!(!shown.is_empty(), "{}: {expression}", panel["title"]);
            for metric in shown {
                let family = metric.strip_suffix("_bucket").unwrap_or(&metric);
                assert!(known.contains(family), "{}: there is no {metric}", panel["title"]);
            }
        }
    }
}

#[test]
fn every_alert_fires_for_its_reason_and_none_for_a_node_that_is_well() {
    let rendered = Helm::with(&[
        "prometheus.rules.enabled=true",
        "prometheus.rules.labels.release=prometheus",
    ])
    .render()
    .unwrap();
    let rule = rendered.get("PrometheusRule", "kpr").unwrap();
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    // JSON is YAML, too.
    let rules = rule["spec"].to_string();
    test_rules(&rules, include_str!("../alerts.yaml")).unwrap();

    let known = known();
    let documentation = include_str!("../../../../docs/metrics.md");
    for alert in rule["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let name = alert["alert"].as_str().unwrap();
        assert!(
            documentation.contains(&format!("| `{name}` |")),
            "docs/metrics.md says nothing of {name}"
        );
        for metric in metrics_in(alert["expr"].as_str().unwrap()) {
            assert!(known.contains(&metric), "{name}: there is no {metric}");
        }
        for part in ["summary", "description"] {
            assert!(alert["annotations"][part].is_string(), "{name} has no {part}");
        }
    }
}
