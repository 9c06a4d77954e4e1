//! Load balancing at the socket, for clients on the nodes and in pods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Load balancing at the socket: `connect` and `sendmsg` to a Service go straight to a backend, so that no packet ever
/// carries the Service's address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, named by the API")]
pub struct SocketLb {
    /// Attach the socket programs.
    pub enabled: bool,
    /// Translate only sockets of the node's own network namespace, for meshes that redirect a pod's traffic by Service
    /// address.
    pub host_namespace_only: bool,
    /// Close the sockets of UDP clients whose backend is gone.
    pub terminate_stale_sockets: bool,
    /// With `terminateStaleSockets`: reset the connections of TCP clients whose backend is gone, too, so that they need not find
    /// out by a time-out. A backend that terminates or is not ready keeps its connections: they go when its endpoint does.
    /// Connections from before this was switched on are left alone.
    #[serde(rename = "terminateStaleTCP")]
    pub terminate_stale_tcp: bool,
    /// Serve Services on pod-facing devices too, packet by packet: for sandboxed pods (virtual machines, user-space
    /// kernels), whose sockets the node can't see. Services of SCTP, whose sockets no kernel shows, are served so in any case.
    pub packet_fallback: bool,
}

impl Default for SocketLb {
    fn default() -> Self {
        Self {
            enabled: true,
            host_namespace_only: false,
            terminate_stale_sockets: true,
            terminate_stale_tcp: false,
            packet_fallback: false,
        }
    }
}
