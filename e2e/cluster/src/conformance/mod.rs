//! Kubernetes' own end-to-end tests of Services, and how kpr answers each: the source of `docs/conformance.md`.
//!
//! There is a module per file of `test/e2e/network` upstream. `cargo xtask test` compares this catalogue with the results of the
//! scenarios, so that it cannot claim what was not seen.

mod conntrack;
mod dual_stack;
mod endpoint_slice;
mod funny_ips;
mod kube_proxy;
mod load_balancer;
mod localhost_node_ports;
mod networking;
mod service_cidrs;
mod service_latency;
mod services;
mod topology_hints;
mod traffic_distribution;

use serde_json::{Value, json};

/// One upstream test.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    /// Its title, without the labels in brackets and the names of the groups around it unless it needs them to be told from others.
    pub upstream: &'static str,
    /// Whether it is one of those that every conformant cluster must pass.
    pub conformance: bool,
    /// How kpr answers it.
    pub cover: Cover,
}

/// How kpr answers an upstream test.
#[derive(Clone, Copy, Debug)]
pub enum Cover {
    /// Test target and test.
    Test(&'static str, &'static str),
    /// Several, each a test target and a test.
    Tests(&'static [(&'static str, &'static str)]),
    /// Why it does not concern a Service proxy, or cannot be tried.
    NotApplicable(&'static str),
}

/// One upstream file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its name in `test/e2e/network`.
    pub name: &'static str,
    /// Its tests, in their order there.
    pub titles: &'static [Title],
}

/// Every file, in the order of the page.
pub const FILES: &[File] = &[
    file("service.go", services::TITLES),
    file("loadbalancer.go", load_balancer::TITLES),
    file("conntrack.go", conntrack::TITLES),
    file("traffic_distribution.go", traffic_distribution::TITLES),
    file("topology_hints.go", topology_hints::TITLES),
    file("networking.go", networking::TITLES),
    file("dual_stack.go", dual_stack::TITLES),
    file("endpointslice.go", endpoint_slice::TITLES),
    file("kube_proxy.go", kube_proxy::TITLES),
    file("localhost_nodeports.go", localhost_node_ports::TITLES),
    file("funny_ips.go", funny_ips::TITLES),
    file("service_cidrs.go", service_cidrs::TITLES),
    file("service_latency.go", service_latency::TITLES),
];

const fn file(name: &'static str, titles: &'static [Title]) -> File {
    File { name, titles }
}

impl Cover {
    /// Test target and test of each test that covers it; none if it is not applicable.
    pub fn tests(&self) -> Vec<(&'static str, &'static str)> {
        match *self {
            Self::Test(target, test) => vec![(target, test)],
            Self::Tests(tests) => tests.to_vec(),
            Self::NotApplicable(_) => Vec::new(),
        }
    }
}

/// The catalogue for other programs:
/// `[{"file", "titles": [{"upstream", "conformance", "tests": [[target, test]]} or with "notApplicable" in place of "tests"]}]`.
pub fn as_json() -> Value {
    let title = |title: &Title| {
        let Title {
            upstream,
            conformance,
            cover,
        } = title;
        match cover {
            Cover::NotApplicable(why) => {
                json!({"upstream": upstream, "conformance": conformance, "notApplicable": why})
            }
            _ => json!({"upstream": upstream, "conformance": conformance, "tests": cover.tests()}),
        }
    };
    let files = FILES.iter().map(|File { name, titles }| {
        let titles: Vec<Value> = titles.iter().map(title).collect();
        json!({"file": name, "titles": titles})
    });
    files.collect()
}

#[cfg(test)]
mod tests;
