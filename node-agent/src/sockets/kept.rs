//! Which sockets may stay. Pure: sets of addresses, and a question.

use std::{collections::HashSet, net::SocketAddr};

use super::{Error, diag::Connected};

/// The UDP backends that sockets may stay connected to: those that a frontend leads to, and every endpoint that serves.
///
/// An endpoint that terminates but still serves keeps its clients, and one that topology or a traffic policy leaves out on
/// this node does too: "changes must not affect existing flows", as kube-proxy has it when it deletes conntrack entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(HashSet<SocketAddr>);

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
        earlier.0.is_subset(&self.0)
    }

    /// Whether sockets may stay connected to it.
    pub fn has(&self, backend: SocketAddr) -> bool {
        self.0.contains(&backend)
    }

    /// Whether the socket must go.
    pub fn is_stale(&self, socket: &Connected, led: &impl Led) -> Result<bool, Error> {
        let backend = socket.peer();
        Ok(!self.has(backend) && led.was_led(socket.cookie(), backend)?)
    }
}

impl FromIterator<SocketAddr> for Kept {
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(backends: T) -> Self {
        Self(backends.into_iter().collect())
    }
}

impl Extend<SocketAddr> for Kept {
    fn extend<T: IntoIterator<Item = SocketAddr>>(&mut self, backends: T) {
        self.0.extend(backends);
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
    fn backends_that_come_make_no_socket_stale() {
        let (one, both) = (kept(&["10.244.0.2:53"]), kept(&["10.244.0.2:53", "10.244.0.3:53"]));
        assert!(both.covers(&one) && one.covers(&one));
        assert!(!one.covers(&both));
    }
}
