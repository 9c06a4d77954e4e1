//! Which devices serve external traffic, and with which addresses.

use std::{collections::BTreeSet, net::IpAddr};

use kpr_abi::{V4, V6};
use kpr_crds::NodeDatapathSpec;

use super::{NodeAddresses, PodReason, acceleration::wanted};
use crate::{
    datapath::Acceleration,
    devices::{Device, Selection, UnknownDevices, pod_facing, select},
};

/// What the datapath is to be attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The devices.
    pub selection: Selection,
    /// Devices of pods whose packets are balanced one by one.
    pub pod_facing: Vec<Device>,
    /// Why they are.
    pub pod_reasons: BTreeSet<PodReason>,
    /// Whether packets of the external devices are handled by XDP.
    pub acceleration: Acceleration,
    /// The node's IPv4 addresses.
    pub v4: NodeAddresses<V4>,
    /// The node's IPv6 addresses.
    pub v6: NodeAddresses<V6>,
}

impl Placement {
    /// Whether NodePorts are served on an address.
    pub fn serves(&self, addr: IpAddr) -> bool {
        self.v4.serves(addr) || self.v6.serves(addr)
    }
}

/// Why there are no devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The configuration names devices that are not there.
    #[error(transparent)]
    Unknown(#[from] UnknownDevices),
    /// None was named and none was found.
    #[error(
        "no network device leads outside: none has a default route or the Node's address; name one in spec.devices (this \
         node has {present})"
    )]
    None {
        /// The devices that there are.
        present: String,
    },
}

/// Chooses devices and addresses. `node_ips`: the Node object's internal addresses; `pod_reasons`: why pods' packets are to be
/// balanced one by one.
pub(super) fn place(
    all: &[Device],
    spec: &NodeDatapathSpec,
    node_ips: &[IpAddr],
    pod_reasons: BTreeSet<PodReason>,
) -> Result<Placement, PlacementError> {
    let selection = select(all, &spec.devices, spec.direct_routing_device.as_deref(), node_ips)?;
    if selection.devices.is_empty() {
        let present = all
            .iter()
            .map(|device| device.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(PlacementError::None { present });
    }
    let words = &spec.node_port.addresses;
    let pod_facing = if pod_reasons.is_empty() {
        Vec::new()
    } else {
        pod_facing(all, &selection)
    };
    Ok(Placement {
        pod_facing,
        pod_reasons,
        acceleration: wanted(spec.load_balancer.acceleration),
        v4: NodeAddresses::choose(all, &selection, words, node_ips),
        v6: NodeAddresses::choose(all, &selection, words, node_ips),
        selection,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ifindex: u32, name: &str, addr: &str, has_default_route: bool) -> Device {
        Device {
            name: name.into(),
            ifindex,
            addresses: vec![addr.parse().unwrap()],
            has_default_route,
            up: true,
            kind: String::new(),
        }
    }

    fn node() -> Vec<Device> {
        vec![
            device(1, "lo", "127.0.0.1", false),
            device(2, "eth0", "192.168.49.2", true),
            device(3, "cni0", "10.244.0.1", false),
        ]
    }

    #[test]
    fn each_family_has_its_own_addresses() {
        let mut devices = node();
        devices[1].addresses.push("fd00:49::2".parse().unwrap());
        let spec = NodeDatapathSpec::default();
        let placed = place(&devices, &spec, &["192.168.49.2".parse().unwrap()], BTreeSet::new()).unwrap();
        assert_eq!(placed.v4.snat_default, Some([192, 168, 49, 2].into()));
        assert_eq!(placed.v6.snat_default, Some("fd00:49::2".parse().unwrap()));
        for (addr, serves) in [("192.168.49.2", true), ("fd00:49::2", true), ("fd00:49::3", false)] {
            assert_eq!(placed.serves(addr.parse().unwrap()), serves, "{addr}");
        }
    }

    #[test]
    fn a_node_without_a_way_outside_says_what_it_has() {
        let error = place(
            &[device(1, "lo", "127.0.0.1", false)],
            &NodeDatapathSpec::default(),
            &[],
            BTreeSet::new(),
        )
        .unwrap_err();
        assert!(error.to_string().contains("this node has lo"), "{error}");
    }

    #[test]
    fn pod_facing_devices_are_for_reasons() {
        let mut devices = node();
        devices.push(Device {
            kind: "veth".into(),
            ..device(4, "veth1", "10.244.0.9", false)
        });
        let spec = NodeDatapathSpec::default();
        for (reasons, expected) in [
            (BTreeSet::new(), &[][..]),
            (BTreeSet::from([PodReason::SourceRanges]), &["veth1"]),
        ] {
            let placed = place(&devices, &spec, &[], reasons.clone()).unwrap();
            let names: Vec<_> = placed.pod_facing.iter().map(|device| device.name.as_str()).collect();
            assert_eq!((names.as_slice(), placed.pod_reasons), (expected, reasons));
        }
    }

    #[test]
    fn an_unknown_device_is_named() {
        let spec = NodeDatapathSpec {
            devices: vec!["ens9".into()],
            ..NodeDatapathSpec::default()
        };
        let error = place(&node(), &spec, &[], BTreeSet::new()).unwrap_err().to_string();
        assert!(error.contains("ens9"), "{error}");
    }
}
