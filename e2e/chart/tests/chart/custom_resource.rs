//! The `KubeProxyReplacement` that is made of the values, as an API server with the chart's own CRDs takes it.

use kpr_apiserver::ApiServer;
use kpr_chart::Helm;
use serde_json::{Value, json};

/// The spec, as the API server stores it: with all defaults.
fn stored(values: &[&str]) -> Value {
    let rendered = Helm::with(values).render().unwrap();
    let server = ApiServer::new();
    for crd in rendered.of_kind("CustomResourceDefinition") {
        server.create(crd.clone()).unwrap();
    }
    let object = rendered
        .of_kind("KubeProxyReplacement")
        .next()
        .expect("one is made")
        .clone();
    let created = server
        .create(object)
        .unwrap_or_else(|error| panic!("{values:?}: {}", error.message));
    created["spec"].clone()
}

#[test]
fn without_further_values_it_is_what_an_empty_spec_is() {
    let defaults = kpr_crds::KubeProxyReplacementSpec::default();
    assert_eq!(stored(&[]), serde_json::to_value(defaults).unwrap());
}

/// A value, the field that it sets, and what is there then, as JSON.
const TABLE: [(&str, &str, &str); 35] = [
    ("kubeProxyReplacement=strict", "/mode", r#""Strict""#),
    (
        "pool.nodeSelector.matchLabels.zone=a",
        "/nodeSelector/matchLabels/zone",
        r#""a""#,
    ),
    (
        "pool.updateStrategy.maxUnavailable=3",
        "/updateStrategy/maxUnavailable",
        "3",
    ),
    (
        "pool.updateStrategy.maxUnavailable=10%",
        "/updateStrategy/maxUnavailable",
        r#""10%""#,
    ),
    (
        "pool.updateStrategy.onFailure=Rollback",
        "/updateStrategy/onFailure",
        r#""Rollback""#,
    ),
    (
        "pool.updateStrategy.progressDeadlineSeconds=60",
        "/updateStrategy/progressDeadlineSeconds",
        "60",
    ),
    ("kubeProxy.policy=Disable", "/kubeProxy/policy", r#""Disable""#),
    ("nodePort.range=20000-21000", "/nodePort/range", r#""20000-21000""#),
    (r"nodePort.range=20000\,21000", "/nodePort/range", r#""20000-21000""#),
    (
        "nodePort.addresses={10.0.0.0/8,localhost}",
        "/nodePort/addresses",
        r#"["10.0.0.0/8", "localhost"]"#,
    ),
    ("nodePort.bindProtection=false", "/nodePort/bindProtection", "false"),
    ("nodePort.directRoutingDevice=eth1", "/directRoutingDevice", r#""eth1""#),
    (
        "loadBalancer.algorithm=maglev",
        "/loadBalancer/algorithm",
        r#""Maglev""#,
    ),
    (
        "loadBalancer.algorithm=least-connections",
        "/loadBalancer/algorithm",
        r#""LeastConnections""#,
    ),
    ("loadBalancer.mode=dsr", "/loadBalancer/mode", r#""DSR""#),
    ("loadBalancer.mode=hybrid", "/loadBalancer/mode", r#""Hybrid""#),
    (
        "loadBalancer.dsrDispatch=ipip",
        "/loadBalancer/dsrDispatch",
        r#""IPIP""#,
    ),
    (
        "loadBalancer.acceleration=best-effort",
        "/loadBalancer/acceleration",
        r#""BestEffort""#,
    ),
    (
        "loadBalancer.snatPorts=50000-60000",
        "/loadBalancer/snatPorts",
        r#""50000-60000""#,
    ),
    ("maglev.tableSize=131071", "/loadBalancer/maglevTableSize", "131071"),
    ("sessionAffinity.enabled=false", "/sessionAffinity/enabled", "false"),
    (
        "sessionAffinity.defaultTimeoutSeconds=60",
        "/sessionAffinity/defaultTimeoutSeconds",
        "60",
    ),
    (
        "socketLB.terminateStaleSockets=false",
        "/socketLB/terminateStaleSockets",
        "false",
    ),
    ("socketLB.terminateStaleTCP=true", "/socketLB/terminateStaleTCP", "true"),
    ("socketLB.packetFallback=true", "/socketLB/packetFallback", "true"),
    ("metrics.perService.enabled=true", "/metrics/perService/enabled", "true"),
    (
        "metrics.perService.maxServicePorts=50",
        "/metrics/perService/maxServicePorts",
        "50",
    ),
    ("devices={eth0,bond*}", "/devices", r#"["eth0", "bond*"]"#),
    ("bpf.mapDynamicSizeRatio=0.01", "/maps/dynamicSizeRatio", "0.01"),
    ("bpf.lbMapMax=131072", "/maps/services", "131072"),
    ("bpf.lbMapMax=131072", "/maps/backends", "131072"),
    ("bpf.lbMapMax=131072", "/maps/affinity", "131072"),
    ("bpf.maps.slots=16777216", "/maps/slots", "16777216"),
    ("bpf.maps.flows=16777216", "/maps/flows", "16777216"),
    ("bpf.maps.peers=65536", "/maps/peers", "65536"),
];

#[test]
fn each_value_is_found_in_its_field() {
    // As many together as don't contradict each other.
    let mut together: Vec<Vec<(&str, &str, &str)>> = Vec::new();
    for row in TABLE {
        let name = row.0.split('=').next();
        let contradicts = |other: &(&str, &str, &str)| other.0 != row.0 && other.0.split('=').next() == name;
        match together.iter_mut().find(|rows| !rows.iter().any(contradicts)) {
            Some(rows) => rows.push(row),
            None => together.push(vec![row]),
        }
    }
    assert_eq!(together.len(), 2, "two values of the same name at most");
    for rows in together {
        let values: Vec<_> = rows.iter().map(|row| row.0).collect();
        let spec = stored(&values);
        for (value, field, expected) in rows {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(spec.pointer(field), Some(&expected), "{value}");
        }
    }
}

#[test]
fn a_size_of_its_own_wins_over_the_common_one() {
    let spec = stored(&["bpf.lbMapMax=131072,bpf.maps.backends=262144"]);
    assert_eq!(
        (&spec["maps"]["services"], &spec["maps"]["backends"]),
        (&json!(131_072), &json!(262_144))
    );
}

#[test]
fn partial_serves_what_is_enabled() {
    let spec = stored(&["kubeProxyReplacement=partial,nodePort.enabled=true,externalIPs.enabled=true"]);
    assert_eq!(spec["mode"], "Partial");
    let services =
        json!({"clusterIP": false, "nodePort": true, "loadBalancer": false, "externalIPs": true, "hostPort": false});
    assert_eq!(spec["services"], services);
}

#[test]
fn a_pool_of_ones_own_is_not_made_by_the_chart() {
    let rendered = Helm::with(&["pool.create=false"]).render().unwrap();
    assert_eq!(rendered.of_kind("KubeProxyReplacement").count(), 0);
}
