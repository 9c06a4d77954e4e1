//! North-south: packets of external devices.

pub mod egress;
pub mod ingress;

mod flow;
mod fragment;
mod icmp;
mod route;
mod skb;
mod translate;
mod wire;

/// What became of a packet that is not dropped.
pub enum Handled {
    /// No service's; unchanged.
    NotOurs,
    /// Translated, and goes on its way.
    Translated,
    /// Translated and sent out by another device: the verdict that the helper asked for.
    Redirected(i32),
}
