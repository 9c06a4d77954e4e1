//! Whose packet or call is explained.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The port of a client that was given none: one that the kernel gives to sockets.
const PORT: u16 = 40_000;

/// Where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A pod of this node, by namespace and name.
    Pod { namespace: String, name: String },
    /// A pod of this node, by its address.
    PodAt(SocketAddr),
    /// A client outside.
    Outside(SocketAddr),
    /// A process of the node itself, or of a pod in its network namespace.
    Node,
}

/// What was written is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither pod/NAMESPACE/NAME, nor pod=ADDR[:PORT], nor outside=ADDR[:PORT], nor node")]
pub(super) struct Nobody;

impl FromStr for From {
    type Err = Nobody;

    fn from_str(text: &str) -> Result<Self, Nobody> {
        if text == "node" {
            return Ok(Self::Node);
        }
        if let Some(rest) = text.strip_prefix("pod/") {
            let (namespace, name) = rest.split_once('/').ok_or(Nobody)?;
            if namespace.is_empty() || name.is_empty() || name.contains('/') {
                return Err(Nobody);
            }
            return Ok(Self::Pod {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        let (kind, address) = text.split_once('=').ok_or(Nobody)?;
        let address = client(address).ok_or(Nobody)?;
        match kind {
            "pod" => Ok(Self::PodAt(address)),
            "outside" => Ok(Self::Outside(address)),
            _ => Err(Nobody),
        }
    }
}

/// An address with or without a port.
fn client(text: &str) -> Option<SocketAddr> {
    let alone = |text: &str| text.parse::<IpAddr>().ok().map(at);
    text.parse().ok().or_else(|| alone(text))
}

/// A client of this address.
pub(super) fn at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_a_pod_an_address_or_the_node() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (text, from) in [
            (
                "pod/default/web-0",
                Ok(From::Pod {
                    namespace: "default".into(),
                    name: "web-0".into(),
                }),
            ),
            ("pod=10.244.0.7", Ok(From::PodAt(at("10.244.0.7:40000")))),
            ("outside=203.0.113.9:51000", Ok(From::Outside(at("203.0.113.9:51000")))),
            ("outside=2001:db8::9", Ok(From::Outside(at("[2001:db8::9]:40000")))),
            ("outside=[2001:db8::9]:7", Ok(From::Outside(at("[2001:db8::9]:7")))),
            ("node", Ok(From::Node)),
            ("pod/web-0", Err(Nobody)),
            ("203.0.113.9", Err(Nobody)),
            ("inside=203.0.113.9", Err(Nobody)),
        ] {
            assert_eq!(text.parse(), from, "{text}");
        }
    }
}
