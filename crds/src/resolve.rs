//! From what a user wrote to what a node gets.

use crate::fields::{KubeProxyRules, Mode, Services};
use crate::node_datapath::{NodeDatapathSpec, Phase};
use crate::policy::KubeProxyReplacementSpec;

impl KubeProxyReplacementSpec {
    /// The kinds of Services that kpr serves: all in `Strict`, those turned on in `Partial`.
    pub fn served(&self) -> Services {
        match self.mode {
            Mode::Strict => Services::ALL,
            Mode::Partial => self.services.unwrap_or_default(),
        }
    }

    /// The configuration of a node of this pool.
    ///
    /// `policy` and `generation` are the name and `metadata.generation` of the object that this spec is of.
    pub fn resolve(&self, policy: &str, generation: i64, phase: Phase) -> NodeDatapathSpec {
        // Destructured so that a new field can't be forgotten.
        let Self {
            mode,
            services: _,
            node_selector: _,
            devices,
            direct_routing_device,
            node_port,
            session_affinity,
            load_balancer,
            socket_lb,
            maps,
            metrics,
            kube_proxy,
            update_strategy: _,
        } = self;
        NodeDatapathSpec {
            policy: policy.to_owned(),
            policy_generation: generation,
            phase,
            mode: *mode,
            services: self.served(),
            devices: devices.clone(),
            direct_routing_device: direct_routing_device.clone(),
            node_port: node_port.clone(),
            session_affinity: *session_affinity,
            load_balancer: load_balancer.clone(),
            socket_lb: *socket_lb,
            maps: *maps,
            metrics: *metrics,
            kube_proxy: *kube_proxy,
            // A node is told to remove them when kube-proxy is gone, and not by its policy alone.
            kube_proxy_rules: KubeProxyRules::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_serves_every_kind() {
        let spec = KubeProxyReplacementSpec::default();
        assert_eq!(spec.resolve("default", 1, Phase::Active).services, Services::ALL);
    }

    #[test]
    fn partial_serves_what_is_turned_on() {
        let services = Services {
            node_port: true,
            ..Services::default()
        };
        let spec = KubeProxyReplacementSpec {
            mode: Mode::Partial,
            services: Some(services),
            ..Default::default()
        };
        assert_eq!(spec.resolve("default", 1, Phase::Active).services, services);
    }

    #[test]
    fn the_node_learns_policy_generation_and_phase() {
        let resolved = KubeProxyReplacementSpec::default().resolve("edge", 7, Phase::Draining);
        assert_eq!((resolved.policy.as_str(), resolved.policy_generation), ("edge", 7));
        assert_eq!(resolved.phase, Phase::Draining);
    }
}
