//! What can be chosen about a server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Settings of an [`ApiServer`](crate::ApiServer); the defaults are those of the test cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// First address and prefix length of the ranges for Service cluster IPs: one, or one of each family. The first is of
    /// the family that a Service gets when it names none. More ranges of a family are for addresses that Services ask for.
    pub service_cidrs: Vec<(IpAddr, u8)>,
    /// Ports for Services of type NodePort and LoadBalancer.
    pub node_ports: RangeInclusive<u16>,
    /// How many changes a watch can look back; older ones answer 410 Expired.
    pub log_capacity: usize,
    /// How often an idle watch with `allowWatchBookmarks` gets a bookmark.
    pub bookmark_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service_cidrs: vec![
                (Ipv4Addr::new(10, 96, 0, 0).into(), 16),
                (Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0).into(), 112),
            ],
            node_ports: 30000..=32767,
            log_capacity: 10_000,
            bookmark_interval: Duration::from_mins(1),
        }
    }
}
