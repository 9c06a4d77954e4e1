//! Services get cluster IPs of the families that they ask for, as the real server gives them.

use std::net::IpAddr;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kpr_apiserver::{ApiServer, Options};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const V4: &str = "10.96.1.1";
const V6: &str = "fd00:10:96::101";

fn services(server: &ApiServer) -> Api<Service> {
    Api::default_namespaced(server.client())
}

fn service(name: &str, mut spec: Value) -> Result<Service> {
    spec["ports"] = json!([{"port": 80}]);
    Ok(serde_json::from_value(
        json!({"metadata": {"name": name}, "spec": spec}),
    )?)
}

/// Policy and addresses, in one line; checks that families and addresses tell the same.
fn shown(service: &Service) -> Result<String> {
    let spec = service.spec.as_ref().context("a spec")?;
    let ips = spec.cluster_ips.clone().unwrap_or_default();
    assert_eq!(spec.cluster_ip.as_ref(), ips.first());
    let families = spec.ip_families.clone().unwrap_or_default();
    for (ip, family) in ips.iter().zip(&families) {
        if let Ok(ip) = ip.parse::<IpAddr>() {
            assert_eq!(ip.is_ipv6(), family == "IPv6", "{ips:?} {families:?}");
        }
    }
    let policy = spec.ip_family_policy.as_deref().unwrap_or("no policy");
    Ok(format!("{policy} {} {}", families.join(","), ips.join(",")))
}

#[tokio::test]
async fn a_service_gets_an_address_of_each_family_that_it_asks_for() -> Result<()> {
    let both = "IPv4,IPv6";
    for (spec, expected) in [
        (json!({}), format!("SingleStack IPv4 {V4}")),
        (json!({"ipFamilies": ["IPv6"]}), format!("SingleStack IPv6 {V6}")),
        (
            json!({"clusterIP": "fd00:10:96::a"}),
            "SingleStack IPv6 fd00:10:96::a".into(),
        ),
        (
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            format!("PreferDualStack {both} {V4},{V6}"),
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            format!("RequireDualStack IPv6,IPv4 {V6},{V4}"),
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "clusterIPs": ["10.96.0.10", "fd00:10:96::a"]}),
            format!("RequireDualStack {both} 10.96.0.10,fd00:10:96::a"),
        ),
        (
            json!({"ipFamilyPolicy": "PreferDualStack", "clusterIP": "10.96.0.10"}),
            format!("PreferDualStack {both} 10.96.0.10,{V6}"),
        ),
        (
            json!({"clusterIP": "None", "selector": {"app": "web"}}),
            "SingleStack IPv4 None".into(),
        ),
        (json!({"clusterIP": "None"}), format!("RequireDualStack {both} None")),
    ] {
        let created = services(&ApiServer::new())
            .create(&PostParams::default(), &service("web", spec.clone())?)
            .await
            .with_context(|| spec.to_string())?;
        assert_eq!(shown(&created)?, expected, "{spec}");
    }
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_field_named() -> Result<()> {
    for (spec, message) in [
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when \
             multiple IP families are specified",
        ),
        (
            json!({"clusterIPs": ["10.96.0.10", "fd00:10:96::a"]}),
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "clusterIPs": ["10.96.0.10", "10.96.0.11"]}),
            "may specify no more than one IP for each IP family",
        ),
        (
            json!({"clusterIP": "10.96.0.10", "ipFamilies": ["IPv6"]}),
            "spec.clusterIPs[0]: Invalid value: \"10.96.0.10\": expected an IPv6 value as indicated by `ipFamilies[0]`",
        ),
        (
            json!({"ipFamilies": ["IPv6", "IPv6"]}),
            "spec.ipFamilies[1]: Duplicate value",
        ),
        (
            json!({"ipFamilies": ["IPv7"]}),
            "spec.ipFamilies[0]: Unsupported value: \"IPv7\"",
        ),
        (
            json!({"ipFamilyPolicy": "Both"}),
            "spec.ipFamilyPolicy: Unsupported value: \"Both\"",
        ),
        (
            json!({"clusterIP": "fd00::1"}),
            "is not in the valid range. The range of valid IPs is fd00:10:96::/112",
        ),
    ] {
        let refused = services(&ApiServer::new())
            .create(&PostParams::default(), &service("web", spec.clone())?)
            .await;
        let error = refused
            .err()
            .with_context(|| format!("{spec} is accepted"))?
            .to_string();
        assert!(error.contains(message), "{spec}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_becomes_dual_stack_and_single_stack_again_by_its_policy() -> Result<()> {
    let api = services(&ApiServer::new());
    api.create(&PostParams::default(), &service("web", json!({}))?).await?;
    let patch = async |spec: Value| {
        let patch = Patch::Merge(json!({ "spec": spec }));
        api.patch("web", &PatchParams::default(), &patch).await
    };
    let upgraded = patch(json!({"ipFamilyPolicy": "PreferDualStack"})).await?;
    assert_eq!(shown(&upgraded)?, format!("PreferDualStack IPv4,IPv6 {V4},{V6}"));

    let reduced = patch(json!({"clusterIPs": [V4]})).await;
    let error = reduced.err().context("accepted")?.to_string();
    assert!(
        error.contains("must be 'SingleStack' to release the secondary cluster IP"),
        "{error}"
    );

    let moved = patch(json!({"clusterIPs": [V4, "fd00:10:96::a"]})).await;
    let error = moved.err().context("accepted")?.to_string();
    assert!(
        error.contains("spec.clusterIPs[1]") && error.contains("may not change once set"),
        "{error}"
    );

    let downgraded = patch(json!({"ipFamilyPolicy": "SingleStack"})).await?;
    assert_eq!(shown(&downgraded)?, format!("SingleStack IPv4 {V4}"));

    // What was given back can be had by others.
    let other = service("other", json!({"clusterIP": V6}))?;
    assert_eq!(
        shown(&api.create(&PostParams::default(), &other).await?)?,
        format!("SingleStack IPv6 {V6}")
    );
    Ok(())
}

#[tokio::test]
async fn no_two_services_have_an_address_be_it_the_first_or_the_second() -> Result<()> {
    let api = services(&ApiServer::new());
    let dual = service("a", json!({"ipFamilyPolicy": "RequireDualStack"}))?;
    assert_eq!(
        shown(&api.create(&PostParams::default(), &dual).await?)?,
        format!("RequireDualStack IPv4,IPv6 {V4},{V6}")
    );
    let taken = api
        .create(&PostParams::default(), &service("b", json!({"clusterIP": V6}))?)
        .await;
    let error = taken.err().context("accepted")?.to_string();
    assert!(error.contains("provided IP is already allocated"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_first_range_says_which_family_is_primary_and_one_range_is_a_single_stack_cluster() -> Result<()> {
    let v6 = ("fd00:10:96::".parse::<IpAddr>()?, 112);
    let v4 = ("10.96.0.0".parse::<IpAddr>()?, 16);
    let server = |service_cidrs| {
        ApiServer::with_options(Options {
            service_cidrs,
            ..Options::default()
        })
    };
    let prefer = json!({"ipFamilyPolicy": "PreferDualStack"});
    for (cidrs, spec, expected) in [
        (vec![v6, v4], json!({}), format!("SingleStack IPv6 {V6}")),
        (
            vec![v6, v4],
            prefer.clone(),
            format!("PreferDualStack IPv6,IPv4 {V6},{V4}"),
        ),
        (vec![v6], prefer, format!("PreferDualStack IPv6 {V6}")),
    ] {
        let created = services(&server(cidrs))
            .create(&PostParams::default(), &service("web", spec)?)
            .await?;
        assert_eq!(shown(&created)?, expected);
    }
    for (spec, message) in [
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "this cluster is not configured for dual-stack services",
        ),
        (json!({"ipFamilies": ["IPv4"]}), "not configured on this cluster"),
        (
            json!({"clusterIP": "10.96.0.10"}),
            "IPv4 is not configured on this cluster",
        ),
    ] {
        let refused = services(&server(vec![v6]))
            .create(&PostParams::default(), &service("web", spec.clone())?)
            .await;
        let error = refused
            .err()
            .with_context(|| format!("{spec} is accepted"))?
            .to_string();
        assert!(error.contains(message), "{spec}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn an_added_range_is_for_services_that_ask_for_an_address_of_it() -> Result<()> {
    let server = ApiServer::new();
    let create = async |name: &str, spec: Value| {
        services(&server)
            .create(&PostParams::default(), &service(name, spec)?)
            .await
            .map_err(anyhow::Error::from)
    };
    let asks = json!({"clusterIP": "203.0.113.10"});
    assert!(create("early", asks.clone()).await.is_err(), "it is of no range");
    server.add_service_cidr(("203.0.113.0".parse()?, 24));
    for (name, spec, expected) in [
        ("asks", asks.clone(), "SingleStack IPv4 203.0.113.10".to_owned()),
        ("does-not", json!({}), format!("SingleStack IPv4 {V4}")),
    ] {
        assert_eq!(shown(&create(name, spec).await?)?, expected);
    }
    assert!(create("late", asks).await.is_err(), "it is taken");
    Ok(())
}
