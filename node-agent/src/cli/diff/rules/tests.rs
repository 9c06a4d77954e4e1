//! `samples/` has what the programs print of one set of rules: loaded into a kernel and read back.

use super::*;
use crate::{
    cli::diff::frontend::{Backends, Sources},
    model::Protocol::{self, Tcp, Udp},
};

const SAVED: &str = include_str!("samples/iptables-save.txt");
const LISTED: &str = include_str!("samples/nft.json");

fn frontends(rulesets: &[Ruleset]) -> Frontends {
    let mut frontends = Frontends::new();
    for ruleset in rulesets {
        ruleset.add_to(&mut frontends);
    }
    frontends
}

fn backends(all: &[&str]) -> Backends {
    all.iter().map(|backend| backend.parse().unwrap()).collect()
}

fn key(address: &str, protocol: Protocol) -> Key {
    Key {
        address: address.parse().unwrap(),
        protocol,
    }
}

/// What the samples say, without kinds.
fn expected() -> Frontends {
    let named = |name: &str| Frontend {
        name: Some(name.into()),
        ..Frontend::default()
    };
    let served = |name: &str, all: &[&str]| Frontend {
        backends: backends(all),
        policy: Some(Policy::Cluster),
        affinity: Some(Affinity::None),
        sources: Some(Sources::everyone()),
        ..named(name)
    };
    let web = Frontend {
        affinity: Some(Affinity::Seconds(10_800)),
        ..served("default/web:http", &["10.244.0.2:8080", "10.244.1.2:8080"])
    };
    let outside = Frontend {
        backends: backends(&["10.244.0.2:8080"]),
        policy: Some(Policy::Local),
        from_node: Some(web.backends.clone()),
        ..web.clone()
    };
    let range = "198.51.100.0/24".parse().unwrap();
    let balanced = Frontend {
        sources: Some(Sources::of([range], [192, 0, 2, 10].into())),
        ..outside.clone()
    };
    let away = Frontend {
        policy: Some(Policy::Local),
        from_node: Some(backends(&["10.244.1.3:8080"])),
        refusal: Some(Refusal::Drop),
        ..served("default/away:http", &[])
    };
    let refused = |name, refusal| Frontend {
        refusal: Some(refusal),
        ..named(name)
    };
    let here = Frontend {
        policy: Some(Policy::Local),
        ..refused("default/here:dns", Refusal::Drop)
    };
    let idle = refused("default/idle", Refusal::Reject);
    Frontends::from([
        (key("0.0.0.0:30077", Tcp), idle.clone()),
        (key("0.0.0.0:30079", Tcp), away),
        (key("0.0.0.0:30080", Tcp), outside.clone()),
        (key("10.96.0.20:80", Tcp), web),
        (key("10.96.0.77:80", Tcp), idle.clone()),
        (key("10.96.0.78:53", Udp), here),
        (
            key("10.96.0.79:80", Tcp),
            served("default/away:http", &["10.244.1.3:8080"]),
        ),
        (key("192.0.2.10:80", Tcp), balanced),
        (key("203.0.113.250:80", Tcp), outside),
        (key("[::]:30077", Tcp), idle),
        (
            key("[fd00:10:96::14]:80", Tcp),
            served("default/web:http", &["[fd00:10:244::2]:8080"]),
        ),
    ])
}

fn without_kinds(mut frontends: Frontends) -> Frontends {
    for frontend in frontends.values_mut() {
        frontend.kind = None;
    }
    frontends
}

#[test]
fn rules_of_iptables_say_who_is_led_where_and_who_is_refused() {
    let found = frontends(&iptables::parse(SAVED).unwrap());
    let kinds: Vec<_> = found.values().filter_map(|frontend| frontend.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::NodePort,
            Kind::NodePort,
            Kind::ClusterIp,
            Kind::ClusterIp,
            Kind::LoadBalancer,
            Kind::ExternalIp,
            Kind::ClusterIp
        ]
    );
    assert_eq!(without_kinds(found), expected());
}

#[test]
fn rules_of_nftables_say_the_same() {
    let found = frontends(&nftables::parse(LISTED).unwrap());
    assert_eq!(without_kinds(found), expected());
}

#[test]
fn packet_counters_and_missing_comments_do_no_harm() {
    let counted: String = SAVED
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("icmp6-"))
        .map(|line| line.replacen("-A ", "[7:420] -A ", 1) + "\n")
        .collect();
    let mut expected = expected();
    expected.remove(&key("[::]:30077", Tcp));
    assert_eq!(without_kinds(frontends(&iptables::parse(&counted).unwrap())), expected);
}

#[test]
fn a_range_of_all_addresses_is_everyone_as_iptables_prints_it() {
    let open = SAVED.replace("-s 198.51.100.0/24 ", "");
    let found = frontends(&iptables::parse(&open).unwrap());
    assert_eq!(found[&key("192.0.2.10:80", Tcp)].sources, Some(Sources::everyone()));
}

#[test]
fn what_is_cut_off_or_somebody_elses_is_refused() {
    let (cut, _) = SAVED.split_once("-A KUBE-SEP").unwrap();
    assert_eq!(iptables::parse(cut), Err(iptables::NotSaved::CutOff("nat".into())));
    assert_eq!(iptables::parse(LISTED), Err(iptables::NotSaved::NoTable));
    assert!(nftables::parse(&LISTED[..LISTED.len() / 2]).is_err());
    assert!(nftables::parse(SAVED).is_err());
    let others = LISTED.replace("\"kube-proxy\"", "\"firewalld\"");
    assert!(matches!(nftables::parse(&others), Err(nftables::NotListed::NoTable)));
}

#[test]
fn rules_that_lead_in_a_circle_have_an_end() {
    let circle = SAVED.replace("-j KUBE-SEP-AWAYAWAYAWAYAWAY", "-j KUBE-SVC-AWAYAWAYAWAYAWAY");
    let found = frontends(&iptables::parse(&circle).unwrap());
    assert_eq!(found[&key("10.96.0.79:80", Tcp)].backends, backends(&[]));
}

#[test]
fn chains_of_before_1_24_choose_local_endpoints_themselves() {
    let old = SAVED
        .replace("KUBE-EXT-WEB", "KUBE-XLB-WEB")
        .replace("-j KUBE-SVL-WEBWEBWEBWEBWEBW", "-j KUBE-SEP-ONEONEONEONEONEO");
    assert_eq!(without_kinds(frontends(&iptables::parse(&old).unwrap())), expected());
}
