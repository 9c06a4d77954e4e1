//! Virtual servers of kube-proxy's ipvs mode, as the kernel prints them in `/proc/net/ip_vs`, or `ipvsadm --save --numeric`.
//!
//! They show neither a traffic policy nor source ranges, which are in sets; names of Services are nowhere.

mod admin;
mod proc;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::cli::diff::frontend::{Affinity, Backends, Frontend, Frontends, Key};

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::diff) struct Server {
    key: Key,
    affinity: Affinity,
    /// Real servers that take new connections.
    backends: Backends,
}

/// Neither of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is neither /proc/net/ip_vs nor the output of `ipvsadm --save --numeric`")]
pub(in crate::cli::diff) struct NoServers;

/// All virtual servers of a text in either format. `ticks_per_second`: of the kernel that printed it, if it did.
pub(in crate::cli::diff) fn parse(text: &str, ticks_per_second: u32) -> Result<Vec<Server>, NoServers> {
    if text.starts_with("IP Virtual Server") {
        return Ok(proc::parse(text, ticks_per_second));
    }
    let servers = admin::parse(text);
    if servers.is_empty() {
        Err(NoServers)
    } else {
        Ok(servers)
    }
}

/// Adds the frontends that the servers make. `own`: the node's own addresses, at which NodePorts are served, each for itself; those of
/// the device `kube-ipvs0` are the Services'.
pub(in crate::cli::diff) fn add_to(servers: Vec<Server>, own: &BTreeSet<IpAddr>, frontends: &mut Frontends) {
    for Server {
        key,
        affinity,
        backends,
    } in servers
    {
        let Key { address, protocol } = key;
        let is_own = own.contains(&address.ip()) || address.ip().is_loopback();
        let key = if is_own {
            Key::node_port(address.is_ipv6(), address.port(), protocol)
        } else {
            key
        };
        frontends.entry(key).or_insert_with(|| Frontend {
            affinity: (!backends.is_empty()).then_some(affinity),
            backends,
            ..Frontend::default()
        });
    }
}

/// A real server with weight 0 is on its way out and takes no new connection.
fn takes_connections(weight: &str) -> bool {
    weight != "0"
}

fn socket(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    const SAVED: &str = "\
-A -t 10.96.0.1:443 -s rr
-a -t 10.96.0.1:443 -r 192.168.0.2:6443 -m -w 1
-A -u 10.96.0.10:53 -s rr
-a -u 10.96.0.10:53 -r 10.244.0.2:53 -m -w 1
-a -u 10.96.0.10:53 -r 10.244.0.3:53 -m -w 0
-A -t 192.168.0.2:30080 -s rr -p 10800
-a -t 192.168.0.2:30080 -r 10.244.0.4:8080 -m -w 1
-A -t 127.0.0.1:30080 -s rr -p 10800
-a -t 127.0.0.1:30080 -r 10.244.0.4:8080 -m -w 1
-A -t [fd00:10:96::1]:443 -s rr
-a -t [fd00:10:96::1]:443 -r [fd00::2]:6443 -m -w 1
-A -t 10.96.0.77:80 -s rr
";

    const PROC: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr 
  -> C0A80002:192B      Masq    1      3          0         
UDP  0A60000A:0035 rr 
  -> 0AF40003:0035      Masq    0      0          0         
  -> 0AF40002:0035      Masq    1      0          0         
TCP  C0A80002:7580 rr persistent 2700000 FFFFFFFF
  -> 0AF40004:1F90      Masq    1      0          0         
TCP  7F000001:7580 rr persistent 2700000 FFFFFFFF
  -> 0AF40004:1F90      Masq    1      0          0         
TCP  [fd00:0010:0096:0000:0000:0000:0000:0001]:01BB rr 
  -> [fd00:0000:0000:0000:0000:0000:0000:0002]:192B      Masq    1      0          0         
TCP  0A60004D:0050 rr 
";

    fn frontends(text: &str) -> Frontends {
        let mut frontends = Frontends::new();
        let own = BTreeSet::from(["192.168.0.2".parse().unwrap()]);
        add_to(parse(text, 250).unwrap(), &own, &mut frontends);
        frontends
    }

    #[test]
    fn the_kernel_and_ipvsadm_say_the_same() {
        assert_eq!(frontends(SAVED), frontends(PROC));
        assert_eq!(parse("*nat\n", 250), Err(NoServers));
    }

    #[test]
    fn node_ports_are_one_frontend_and_servers_that_go_are_left_out() {
        let found = frontends(SAVED);
        let key = |address: &str, protocol| Key {
            address: address.parse().unwrap(),
            protocol,
        };
        let keys: Vec<_> = found.keys().copied().collect();
        assert_eq!(
            keys,
            [
                key("0.0.0.0:30080", Protocol::Tcp),
                key("10.96.0.1:443", Protocol::Tcp),
                key("10.96.0.10:53", Protocol::Udp),
                key("10.96.0.77:80", Protocol::Tcp),
                key("[fd00:10:96::1]:443", Protocol::Tcp),
            ]
        );
        assert_eq!(found[&keys[0]].affinity, Some(Affinity::Seconds(10_800)));
        assert_eq!(
            found[&keys[2]].backends,
            Backends::from(["10.244.0.2:53".parse().unwrap()])
        );
        assert_eq!(found[&keys[3]].affinity, None, "nobody could tell without a backend");
    }
}
