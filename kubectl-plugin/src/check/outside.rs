//! This machine, as a client outside the cluster.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};

/// Ports at which a node listens: the kubelet's, and the one of kube-proxy's health, which kpr has too.
const PORTS: [u16; 2] = [10250, 10256];

const LIMIT: Duration = Duration::from_secs(1);

/// Whether the machine with this address says anything, be it that nobody listens.
pub(super) async fn reaches(address: IpAddr) -> bool {
    for port in PORTS {
        match timeout(LIMIT, TcpStream::connect((address, port))).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return true,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    false
}

/// The address of this machine from which it speaks to that one. Nothing is sent.
pub(super) fn own_address(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_refuses_is_reached() {
        assert!(reaches(Ipv4Addr::LOCALHOST.into()).await);
    }

    #[test]
    fn one_speaks_to_oneself_from_ones_own_address() {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert_eq!(own_address(target), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
