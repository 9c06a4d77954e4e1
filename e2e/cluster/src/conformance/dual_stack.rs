//! `dual_stack.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[
    Title {
        upstream: "should have ipv4 and ipv6 internal node ip",
        conformance: false,
        cover: Test("dual_stack", "nodes_and_pods_have_an_address_of_each_family"),
    },
    Title {
        upstream: "should create pod, add ipv6 and ipv4 ip to pod ips",
        conformance: false,
        cover: Test("dual_stack", "nodes_and_pods_have_an_address_of_each_family"),
    },
    Title {
        upstream: "should be able to reach pod on ipv4 and ipv6 ip",
        conformance: false,
        cover: Test("dual_stack", "nodes_and_pods_have_an_address_of_each_family"),
    },
    Title {
        upstream: "should create a single stack service with cluster ip from primary service range",
        conformance: false,
        cover: Test("dual_stack", "services_have_the_families_that_they_ask_for"),
    },
    Title {
        upstream: "should create service with ipv4 cluster ip",
        conformance: false,
        cover: Test("dual_stack", "services_have_the_families_that_they_ask_for"),
    },
    Title {
        upstream: "should create service with ipv6 cluster ip",
        conformance: false,
        cover: Test("dual_stack", "services_have_the_families_that_they_ask_for"),
    },
    Title {
        upstream: "should create service with ipv4,v6 cluster ip",
        conformance: false,
        cover: Test("dual_stack", "services_have_the_families_that_they_ask_for"),
    },
    Title {
        upstream: "should create service with ipv6,v4 cluster ip",
        conformance: false,
        cover: Test("dual_stack", "services_have_the_families_that_they_ask_for"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for pod-Service: http",
        conformance: false,
        cover: Test("dual_stack", "everybody_reaches_the_secondary_addresses"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for pod-Service: udp",
        conformance: false,
        cover: Test("dual_stack", "everybody_reaches_the_secondary_addresses"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for node-Service: http",
        conformance: false,
        cover: Test("dual_stack", "everybody_reaches_the_secondary_addresses"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for node-Service: udp",
        conformance: false,
        cover: Test("dual_stack", "everybody_reaches_the_secondary_addresses"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for endpoint-Service: http",
        conformance: false,
        cover: Test("dual_stack", "everybody_reaches_the_secondary_addresses"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for endpoint-Service: udp",
        conformance: false,
        cover: Test("dual_stack", "everybody_reaches_the_secondary_addresses"),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should update endpoints: http",
        conformance: false,
        cover: Test(
            "dual_stack",
            "the_secondary_address_follows_endpoints_and_keeps_clients",
        ),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should update endpoints: udp",
        conformance: false,
        cover: Test(
            "dual_stack",
            "the_secondary_address_follows_endpoints_and_keeps_clients",
        ),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for client IP based session affinity: http",
        conformance: false,
        cover: Test(
            "dual_stack",
            "the_secondary_address_follows_endpoints_and_keeps_clients",
        ),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for client IP based session affinity: udp",
        conformance: false,
        cover: Test(
            "dual_stack",
            "the_secondary_address_follows_endpoints_and_keeps_clients",
        ),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should function for service endpoints using hostNetwork",
        conformance: false,
        cover: Test(
            "dual_stack",
            "host_network_endpoints_are_reached_at_the_secondary_address",
        ),
    },
    Title {
        upstream: "Granular Checks: Services Secondary IP Family should be able to handle large requests: http",
        conformance: false,
        cover: Test(
            "dual_stack",
            "host_network_endpoints_are_reached_at_the_secondary_address",
        ),
    },
];
