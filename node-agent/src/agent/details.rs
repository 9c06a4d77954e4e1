//! How Services are served, in the words of `kpr status --verbose`: only what is true.

use kpr_abi::{Family, V4, V6};
use kpr_crds::{Algorithm, DsrDispatch, ForwardingMode, NodeDatapathSpec};

use super::{Placement, acceleration};
use crate::{
    datapath::Report,
    observe::api::{Details, Feature, ServiceKind},
};

/// What the datapath does with this configuration, where it is attached.
pub fn details(spec: &NodeDatapathSpec, placement: Option<&Placement>, report: &Report) -> Details {
    Details {
        protocols: vec!["TCP".into(), "UDP".into(), "SCTP".into()],
        ip_families: vec![V4::NAME.into(), V6::NAME.into()],
        forwarding: forwarding(spec.load_balancer.mode),
        dsr_dispatch: dsr_dispatch(spec),
        backend_selection: backend_selection(spec),
        socket_lb: socket_lb(spec),
        pod_devices: pod_devices(placement),
        session_affinity: if spec.session_affinity.enabled {
            Feature::on()
        } else {
            Feature::off("switched off by spec.sessionAffinity.enabled")
        },
        xdp_acceleration: acceleration::feature(spec.load_balancer.acceleration, report),
        services: services(spec),
        map_sizing: sizing(spec),
    }
}

fn forwarding(mode: ForwardingMode) -> String {
    let text = match mode {
        ForwardingMode::Snat => "SNAT",
        ForwardingMode::Dsr => "DSR",
        ForwardingMode::Hybrid => "Hybrid",
    };
    text.to_owned()
}

/// Only where some flows are encapsulated.
fn dsr_dispatch(spec: &NodeDatapathSpec) -> Option<String> {
    let lb = &spec.load_balancer;
    let text = match lb.dsr_dispatch {
        DsrDispatch::Geneve => "Geneve",
        DsrDispatch::Ipip => "IPIP",
    };
    (lb.mode != ForwardingMode::Snat).then(|| text.to_owned())
}

fn backend_selection(spec: &NodeDatapathSpec) -> String {
    let lb = &spec.load_balancer;
    match lb.algorithm {
        Algorithm::Random => "Random".to_owned(),
        Algorithm::LeastConnections => "Least Connections (of two at random)".to_owned(),
        Algorithm::Maglev => format!("Maglev (Table Size: {})", lb.maglev_table_size),
    }
}

fn socket_lb(spec: &NodeDatapathSpec) -> Feature {
    let wanted = &spec.socket_lb;
    let pods = "pods' packets are balanced one by one";
    match (wanted.enabled, wanted.host_namespace_only, wanted.packet_fallback) {
        (false, ..) => Feature::off(pods),
        (true, true, _) => Feature::on_with(format!("the node's own namespace only; {pods}")),
        (true, false, true) => Feature::on_with("and pods' packets one by one, where sockets are not seen"),
        (true, false, false) => Feature::on(),
    }
}

fn pod_devices(placement: Option<&Placement>) -> Feature {
    let Some(placement) = placement.filter(|placement| !placement.pod_reasons.is_empty()) else {
        return Feature::off("not needed");
    };
    let reasons: Vec<_> = placement.pod_reasons.iter().map(ToString::to_string).collect();
    Feature::on_with(format!("{}: {}", placement.pod_facing.len(), reasons.join(", ")))
}

fn services(spec: &NodeDatapathSpec) -> Vec<ServiceKind> {
    let kind = |name: &str, asked: bool, active: Feature| ServiceKind {
        name: name.to_owned(),
        feature: if asked {
            active
        } else {
            // Where kpr does not serve hostPorts, the CNI's plugin `portmap` does.
            Feature::off(if name == "HostPort" {
                "left to the CNI"
            } else {
                "left to kube-proxy"
            })
        },
    };
    let asked = &spec.services;
    vec![
        kind("ClusterIP", asked.cluster_ip, Feature::on()),
        kind(
            "NodePort",
            asked.node_port,
            Feature::on_with(format!("Range: {}", spec.node_port.range)),
        ),
        kind("LoadBalancer", asked.load_balancer, Feature::on()),
        kind("externalIPs", asked.external_ips, Feature::on()),
        kind("HostPort", asked.host_port, Feature::on()),
    ]
}

fn sizing(spec: &NodeDatapathSpec) -> String {
    let maps = &spec.maps;
    if maps.flows.is_some() && maps.peers.is_some() {
        "off".to_owned()
    } else {
        format!("on (ratio: {:.6})", maps.dynamic_size_ratio)
    }
}

#[cfg(test)]
mod tests {
    use kpr_crds::Services;

    use super::*;
    use crate::{agent::PodReason, devices::Device};

    fn strict() -> NodeDatapathSpec {
        NodeDatapathSpec {
            services: Services::ALL,
            ..NodeDatapathSpec::default()
        }
    }

    #[test]
    fn what_is_not_served_says_why() {
        let details = details(&strict(), None, &Report::default());
        let shown: Vec<_> = details
            .services
            .iter()
            .map(|k| format!("{}: {}", k.name, k.feature))
            .collect();
        assert_eq!(shown[0], "ClusterIP: Enabled");
        assert_eq!(shown[1], "NodePort: Enabled (Range: 30000-32767)");
        assert_eq!(shown[4], "HostPort: Enabled");
        assert_eq!(details.pod_devices.to_string(), "Disabled (not needed)");
        assert_eq!(details.session_affinity.to_string(), "Enabled");
        assert_eq!(details.xdp_acceleration.to_string(), "Disabled (not asked for)");
        assert_eq!(details.map_sizing, "on (ratio: 0.002500)");
        assert_eq!(details.backend_selection, "Random");
    }

    #[test]
    fn maglev_is_shown_with_its_table_size() {
        let mut spec = strict();
        spec.load_balancer.algorithm = Algorithm::Maglev;
        assert_eq!(
            details(&spec, None, &Report::default()).backend_selection,
            "Maglev (Table Size: 16381)"
        );
    }

    #[test]
    fn balancing_pods_packets_says_on_how_many_devices_and_why() {
        let device = Device {
            name: "veth0".into(),
            ifindex: 3,
            addresses: Vec::new(),
            has_default_route: false,
            up: true,
            kind: "veth".into(),
        };
        let placement = Placement {
            pod_facing: vec![device.clone(), device],
            pod_reasons: [PodReason::PacketFallback, PodReason::Sctp].into(),
            ..Placement::default()
        };
        let shown = details(&strict(), Some(&placement), &Report::default())
            .pod_devices
            .to_string();
        assert_eq!(shown, "Enabled (2: socketLB.packetFallback, SCTP)");
    }

    #[test]
    fn in_partial_mode_kube_proxy_keeps_the_rest() {
        let mut spec = strict();
        spec.services.node_port = false;
        spec.services.host_port = false;
        let services = details(&spec, None, &Report::default()).services;
        assert_eq!(services[1].feature.to_string(), "Disabled (left to kube-proxy)");
        assert_eq!(services[4].feature.to_string(), "Disabled (left to the CNI)");
    }
}
