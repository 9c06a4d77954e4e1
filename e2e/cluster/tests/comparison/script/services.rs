//! Services: what addresses and ports they get, and what they may not be.

use anyhow::Result;
use serde_json::{Value, json};

use super::SERVICES;
use crate::{
    request::{delete, patch, post},
    server::Server,
};

fn service(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    let one = json!([{"port": 80}]);
    for (name, spec) in [
        ("plain", json!({"clusterIP": "10.96.50.1", "ports": one})),
        ("headless", json!({"clusterIP": "None", "ports": one})),
        ("headless-without-selector-or-ports", json!({"clusterIP": "None"})),
        (
            "external-name",
            json!({"type": "ExternalName", "externalName": "a.example"}),
        ),
        (
            "node-port",
            json!({"type": "NodePort", "clusterIP": "10.96.50.2", "ports": [{"port": 80, "nodePort": 30080}]}),
        ),
        (
            "load-balancer",
            json!({"type": "LoadBalancer", "clusterIP": "10.96.50.3", "ports": [{"port": 80, "nodePort": 30081}]}),
        ),
        (
            "load-balancer-local",
            json!({"type": "LoadBalancer", "clusterIP": "10.96.50.4", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30082, "ports": [{"port": 80, "nodePort": 30083}]}),
        ),
        (
            "no-node-ports",
            json!({"type": "LoadBalancer", "clusterIP": "10.96.50.5", "allocateLoadBalancerNodePorts": false, "ports": one}),
        ),
        (
            "both-families",
            json!({"ipFamilyPolicy": "RequireDualStack", "clusterIP": "10.96.50.6", "clusterIPs": ["10.96.50.6", "fd00:10:96::506"], "ports": one}),
        ),
        (
            "second-family",
            json!({"ipFamilies": ["IPv6"], "clusterIP": "fd00:10:96::507", "ports": one}),
        ),
        (
            "affinity",
            json!({"clusterIP": "10.96.50.8", "sessionAffinity": "ClientIP", "ports": one}),
        ),
        (
            "two-protocols",
            json!({"clusterIP": "10.96.50.9", "ports": [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]}),
        ),
    ] {
        server
            .ask(&format!("{name} is created"), post(SERVICES, &service(name, &spec)))
            .await?;
    }
    refused(server).await?;
    changed(server).await
}

#[expect(clippy::too_many_lines, reason = "a script: one request after the other")]
async fn refused(server: &mut Server<'_>) -> Result<()> {
    let one = json!([{"port": 80}]);
    for (what, spec) in [
        ("no ports", json!({})),
        ("a port that is too high", json!({"ports": [{"port": 65536}]})),
        (
            "a port that is taken by another name",
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
        ),
        (
            "two ports without names",
            json!({"ports": [{"port": 80}, {"port": 81}]}),
        ),
        (
            "a protocol that is none",
            json!({"ports": [{"port": 80, "protocol": "ICMP"}]}),
        ),
        ("a type that is none", json!({"type": "Magic", "ports": one})),
        ("an address that is none", json!({"clusterIP": "here", "ports": one})),
        (
            "an address of another range",
            json!({"clusterIP": "10.97.0.1", "ports": one}),
        ),
        (
            "an address that is taken",
            json!({"clusterIP": "10.96.50.1", "ports": one}),
        ),
        (
            "a node port that is taken",
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}),
        ),
        (
            "a node port out of range",
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
        ),
        (
            "a node port of a ClusterIP",
            json!({"ports": [{"port": 80, "nodePort": 30090}]}),
        ),
        (
            "an external policy of a ClusterIP",
            json!({"externalTrafficPolicy": "Local", "ports": one}),
        ),
        (
            "an internal policy that is none",
            json!({"internalTrafficPolicy": "Elsewhere", "ports": one}),
        ),
        (
            "an affinity that is none",
            json!({"sessionAffinity": "Cookie", "ports": one}),
        ),
        (
            "an affinity that lasts too long",
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}, "ports": one}),
        ),
        (
            "source ranges that are none",
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/33"], "ports": one}),
        ),
        (
            "source ranges of a ClusterIP",
            json!({"loadBalancerSourceRanges": ["10.0.0.0/8"], "ports": one}),
        ),
        (
            "an external IP that is none",
            json!({"externalIPs": ["127.0.0.1"], "ports": one}),
        ),
        (
            "an external name with an address",
            json!({"type": "ExternalName", "clusterIP": "10.96.50.20"}),
        ),
        (
            "an external name that is none",
            json!({"type": "ExternalName", "externalName": "a b"}),
        ),
        (
            "addresses that disagree",
            json!({"clusterIP": "10.96.50.21", "clusterIPs": ["10.96.50.22"], "ports": one}),
        ),
        (
            "two addresses of one family",
            json!({"ipFamilyPolicy": "RequireDualStack", "clusterIPs": ["10.96.50.23", "10.96.50.24"], "ports": one}),
        ),
        ("a family twice", json!({"ipFamilies": ["IPv4", "IPv4"], "ports": one})),
        (
            "two families of one",
            json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"], "ports": one}),
        ),
        ("a family that is none", json!({"ipFamilies": ["IPv5"], "ports": one})),
        (
            "a traffic distribution that is none",
            json!({"trafficDistribution": "Far", "ports": one}),
        ),
        (
            "a health check port without a local policy",
            json!({"type": "LoadBalancer", "healthCheckNodePort": 30095, "ports": one}),
        ),
        (
            "a target port with a bad name",
            json!({"ports": [{"port": 80, "targetPort": "No_Port"}]}),
        ),
        (
            "a selector that is none",
            json!({"selector": {"a b": "c"}, "ports": one}),
        ),
    ] {
        server
            .ask(
                &format!("refused: {what}"),
                post(format!("{SERVICES}?dryRun=All"), &service("refused", &spec)),
            )
            .await?;
    }
    let odd = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1-odd"}, "spec": {"ports": one}});
    server
        .ask("refused: a name that is none in DNS", post(SERVICES, &odd))
        .await?;
    Ok(())
}

async fn changed(server: &mut Server<'_>) -> Result<()> {
    for (what, name, body) in [
        (
            "its address",
            "plain",
            json!({"spec": {"clusterIP": "10.96.50.30", "clusterIPs": ["10.96.50.30"]}}),
        ),
        (
            "to a NodePort",
            "plain",
            json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30084}]}}),
        ),
        (
            "back to a ClusterIP",
            "plain",
            json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}),
        ),
        (
            "to two families",
            "plain",
            json!({"spec": {"ipFamilyPolicy": "PreferDualStack", "clusterIPs": ["10.96.50.1", "fd00:10:96::501"]}}),
        ),
        (
            "back to one",
            "plain",
            json!({"spec": {"ipFamilyPolicy": "SingleStack"}}),
        ),
        ("its families", "plain", json!({"spec": {"ipFamilies": ["IPv6"]}})),
        (
            "to an external name",
            "node-port",
            json!({"spec": {"type": "ExternalName", "externalName": "b.example"}}),
        ),
        (
            "its policy",
            "load-balancer",
            json!({"spec": {"externalTrafficPolicy": "Local", "healthCheckNodePort": 30085}}),
        ),
        (
            "its health check port",
            "load-balancer",
            json!({"spec": {"healthCheckNodePort": 30086}}),
        ),
        (
            "its class",
            "load-balancer",
            json!({"spec": {"loadBalancerClass": "a/b"}}),
        ),
        (
            "from headless",
            "headless",
            json!({"spec": {"clusterIP": "10.96.50.31", "clusterIPs": ["10.96.50.31"]}}),
        ),
    ] {
        server
            .ask(
                &format!("{name} is changed: {what}"),
                patch("merge", format!("{SERVICES}/{name}"), &body),
            )
            .await?;
    }
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, "spec": {"externalTrafficPolicy": "Cluster"}});
    server
        .ask(
            "its status",
            patch("merge", format!("{SERVICES}/load-balancer/status"), &status),
        )
        .await?;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "nowhere"}]}}});
    server
        .ask(
            "a status that is none",
            patch("merge", format!("{SERVICES}/load-balancer/status"), &status),
        )
        .await?;
    server
        .ask("one is deleted", delete(format!("{SERVICES}/plain")))
        .await?;
    let again = json!({"clusterIP": "10.96.50.1", "ports": [{"port": 80}]});
    server
        .ask("its address is free", post(SERVICES, &service("again", &again)))
        .await?;
    Ok(())
}
