//! Which devices lead to pods of this node: pure.

use super::{Device, Selection};

/// Kinds of virtual devices that CNIs give to pods, by their end on the node: `veth` and `netkit` to containers, `tun` (also
/// tap) and `macvtap` to virtual machines.
const KINDS: [&str; 4] = ["veth", "netkit", "tun", "macvtap"];

/// The devices that pods' packets come in by: those of the kinds that CNIs use that carry no external traffic and are up.
pub fn pod_facing(all: &[Device], external: &Selection) -> Vec<Device> {
    let is_external = |device: &Device| external.devices.iter().any(|other| other.ifindex == device.ifindex);
    all.iter()
        .filter(|device| device.up && KINDS.contains(&device.kind.as_str()) && !is_external(device))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ifindex: u32, name: &str, kind: &str, up: bool) -> Device {
        Device {
            name: name.into(),
            ifindex,
            addresses: Vec::new(),
            has_default_route: false,
            up,
            kind: kind.into(),
        }
    }

    #[test]
    fn virtual_ends_of_pods_are_found_and_nothing_else() {
        let all = [
            device(1, "lo", "", true),
            device(2, "eth0", "veth", true),
            device(3, "veth1a2b", "veth", true),
            device(4, "cni0", "bridge", true),
            device(5, "tap0", "tun", true),
            device(6, "vethdown", "veth", false),
            device(7, "flannel.1", "vxlan", true),
        ];
        let external = Selection {
            devices: vec![all[1].clone()],
            ..Selection::default()
        };
        let names: Vec<_> = pod_facing(&all, &external)
            .into_iter()
            .map(|device| device.name)
            .collect();
        assert_eq!(names, ["veth1a2b", "tap0"]);
    }
}
