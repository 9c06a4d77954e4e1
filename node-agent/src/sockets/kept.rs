//! Which sockets may stay. Pure: sets of addresses, and a question.

use std::{collections::HashSet, net::SocketAddr};

use super::{Error, diag::Connected};
use crate::model::Protocol;

/// The backends that sockets may stay connected to: those that a frontend leads to, every endpoint that serves, and for TCP every
/// endpoint that there is.
///
/// An endpoint that terminates but still serves keeps its clients, and one that topology or a traffic policy leaves out on
/// this node does too: "changes must not affect existing flows", as kube-proxy has it when it deletes conntrack entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    udp: HashSet<SocketAddr>,
    /// None: TCP connections end by themselves.
    tcp: Option<HashSet<SocketAddr>>,
}

/// The memory of where sockets were led.
pub trait Led {
    /// Whether a service led the socket of this cookie to `backend`. A socket that its program connected to the backend's own
    /// address was not.
    fn was_led(&self, cookie: u64, backend: SocketAddr) -> Result<bool, Error>;
}

impl<T: Fn(u64, SocketAddr) -> bool> Led for T {
    fn was_led(&self, cookie: u64, backend: SocketAddr) -> Result<bool, Error> {
        Ok(self(cookie, backend))
    }
}

impl Kept {
    /// Whether every backend of `earlier` is still kept: if so, no socket can have become stale.
    pub fn covers(&self, earlier: &Self) -> bool {
        let tcp = match (&earlier.tcp, &self.tcp) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(earlier), Some(now)) => earlier.is_subset(now),
        };
        tcp && earlier.udp.is_subset(&self.udp)
    }

    /// Whether sockets of the protocol may stay connected to it.
    pub fn has(&self, protocol: Protocol, backend: SocketAddr) -> bool {
        match protocol {
            Protocol::Udp => self.udp.contains(&backend),
            Protocol::Tcp => self.tcp.as_ref().is_none_or(|tcp| tcp.contains(&backend)),
            Protocol::Sctp => true,
        }
    }

    /// The protocols whose sockets may have to go.
    pub fn protocols(&self) -> &'static [Protocol] {
        if self.tcp.is_some() {
            &[Protocol::Udp, Protocol::Tcp]
        } else {
            &[Protocol::Udp]
        }
    }

    /// With the TCP backends that connections may stay with: others are to be reset.
    #[must_use]
    pub fn with_tcp(mut self, backends: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.tcp = Some(backends.into_iter().collect());
        self
    }

    /// These backends may be kept too.
    pub(super) fn widen(&mut self, protocol: Protocol, backends: impl IntoIterator<Item = SocketAddr>) {
        match (protocol, &mut self.tcp) {
            (Protocol::Udp, _) => self.udp.extend(backends),
            (Protocol::Tcp, Some(tcp)) => tcp.extend(backends),
            (Protocol::Tcp, None) | (Protocol::Sctp, _) => {}
        }
    }

    /// Whether the socket must go.
    pub fn is_stale(&self, socket: &Connected, led: &impl Led) -> Result<bool, Error> {
        let backend = socket.peer();
        Ok(!self.has(socket.protocol(), backend) && led.was_led(socket.cookie(), backend)?)
    }
}

/// UDP backends; TCP connections end by themselves.
impl FromIterator<SocketAddr> for Kept {
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(backends: T) -> Self {
        Self {
            udp: backends.into_iter().collect(),
            tcp: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::diag::socket, *};

    fn kept(backends: &[&str]) -> Kept {
        backends.iter().map(|backend| backend.parse().unwrap()).collect()
    }

    #[test]
    fn a_socket_goes_only_if_its_backend_is_gone_and_a_service_led_it_there() {
        let kept = kept(&["10.244.0.2:53"]);
        let led = |cookie: u64, backend: SocketAddr| {
            (cookie, backend) == (1, "10.244.0.2:53".parse().unwrap())
                || (cookie, backend) == (1, "10.244.0.3:53".parse().unwrap())
        };
        for (what, cookie, peer, stale) in [
            ("led to a backend that is there", 1, "10.244.0.2:53", false),
            ("led to a backend that is gone", 1, "10.244.0.3:53", true),
            (
                "IPv4-mapped, led to a backend that is gone",
                1,
                "[::ffff:10.244.0.3]:53",
                true,
            ),
            ("connected to a gone pod by its program", 2, "10.244.0.3:53", false),
            (
                "led to the gone pod, now connected to another port of it",
                1,
                "10.244.0.3:80",
                false,
            ),
            ("connected to something else", 2, "192.0.2.1:53", false),
        ] {
            let socket = socket(cookie, peer.parse().unwrap());
            assert_eq!(kept.is_stale(&socket, &led).unwrap(), stale, "{what}");
        }
    }

    #[test]
    fn tcp_connections_go_only_if_asked_and_by_backends_of_their_own() {
        let backend: SocketAddr = "10.244.0.3:53".parse().unwrap();
        let connection = socket(1, backend).over(Protocol::Tcp);
        let led = |_: u64, _: SocketAddr| true;
        let udp_only = kept(&["10.244.0.3:53"]);
        for (what, kept, stale) in [
            ("not asked", kept(&[]), false),
            ("gone", kept(&[]).with_tcp([]), true),
            ("there", kept(&[]).with_tcp([backend]), false),
            ("there for UDP only", udp_only.with_tcp([]), true),
        ] {
            assert_eq!(kept.is_stale(&connection, &led).unwrap(), stale, "{what}");
        }
    }

    #[test]
    fn connections_are_looked_at_once_it_is_asked_for() {
        let backend: SocketAddr = "10.244.0.2:80".parse().unwrap();
        let (off, on) = (kept(&[]), kept(&[]).with_tcp([backend]));
        assert!(!on.covers(&off) && off.covers(&on) && on.covers(&on));
        assert!(!kept(&[]).with_tcp([]).covers(&on));
        assert_eq!(off.protocols(), [Protocol::Udp]);
        assert_eq!(on.protocols(), [Protocol::Udp, Protocol::Tcp]);
    }

    #[test]
    fn backends_that_come_make_no_socket_stale() {
        let (one, both) = (kept(&["10.244.0.2:53"]), kept(&["10.244.0.2:53", "10.244.0.3:53"]));
        assert!(both.covers(&one) && one.covers(&one));
        assert!(!one.covers(&both));
    }
}
