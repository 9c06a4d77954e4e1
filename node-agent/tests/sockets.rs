//! Real sockets in network namespaces of the test's own, listed and closed by the kernel (`SOCK_DIAG`, `SOCK_DESTROY`).
//!
//! No eBPF program is loaded: the test itself says which sockets a service led to their peer. Needs root:
//! `cargo test -p kpr-node-agent --features privileged --test sockets`.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use kpr_node_agent::{
    model::Protocol,
    sockets::{
        Kept, Outcome, Pass,
        diag::{Connected, Destroyed, Diag},
        namespaces::{Namespace, of_cgroup},
    },
};
use nix::sched::{CloneFlags, setns, unshare};

/// Where nobody answers; no test sends anything.
const BACKEND: &str = "10.244.0.3:53";
const OTHER: &str = "10.244.0.4:53";

/// Puts this test's thread into a namespace of its own, in which every address is local.
fn isolate() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
    for command in [
        "ip link set lo up",
        "ip addr add 10.244.0.1/24 dev lo",
        "ip -6 addr add fd00:244::1/64 dev lo nodad",
    ] {
        let mut words = command.split(' ');
        let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
        assert!(status.success(), "{command}");
    }
}

fn connected(bind: &str, peer: &str) -> UdpSocket {
    let socket = UdpSocket::bind(bind).unwrap();
    socket.connect(peer).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// As a program would see that its socket was closed: `None` while nothing has happened to it.
fn ended(socket: &UdpSocket) -> Option<ErrorKind> {
    match socket.recv(&mut [0; 16]).unwrap_err().kind() {
        ErrorKind::WouldBlock => None,
        kind => Some(kind),
    }
}

/// The kernel's number of a socket: what eBPF programs know it by.
fn cookie(socket: &impl AsRawFd) -> u64 {
    const SO_COOKIE: libc::c_int = 57;
    let (mut cookie, mut length) = (0_u64, libc::socklen_t::try_from(size_of::<u64>()).unwrap());
    // SAFETY: the option writes eight bytes to `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0);
    cookie
}

fn listed(diag: &Diag, protocol: Protocol, cookie: u64) -> Connected {
    let sockets = diag.connected(protocol).unwrap();
    let found = sockets.iter().find(|socket| socket.cookie() == cookie);
    found
        .unwrap_or_else(|| panic!("{cookie} is not in {sockets:?}"))
        .clone()
}

#[test]
fn sockets_of_both_families_are_listed_by_cookie_and_closed_one_by_one() {
    isolate();
    let diag = Diag::open().unwrap();
    assert!(diag.can_destroy(Protocol::Udp).unwrap());
    for (what, bind, peer, plain) in [
        ("IPv4", "0.0.0.0:0", BACKEND, BACKEND),
        ("IPv6", "[::]:0", "[fd00:244::3]:53", "[fd00:244::3]:53"),
        ("IPv4-mapped", "[::]:0", "[::ffff:10.244.0.3]:53", BACKEND),
    ] {
        let (socket, bystander) = (connected(bind, peer), connected(bind, peer));
        let found = listed(&diag, Protocol::Udp, cookie(&socket));
        assert_eq!(found.peer(), plain.parse::<SocketAddr>().unwrap(), "{what}");

        assert_eq!(diag.destroy(&found).unwrap(), Destroyed::Closed, "{what}");
        assert_eq!(ended(&socket), Some(ErrorKind::ConnectionAborted), "{what}");
        assert_eq!(ended(&bystander), None, "{what}: same peer, another cookie");
        assert_eq!(diag.destroy(&found).unwrap(), Destroyed::Gone, "{what}: a second time");
    }
}

#[test]
fn a_socket_without_a_peer_is_not_listed() {
    isolate();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    assert_eq!(Diag::open().unwrap().connected(Protocol::Udp).unwrap(), []);
    socket.connect(BACKEND).unwrap();
    assert_eq!(Diag::open().unwrap().connected(Protocol::Udp).unwrap().len(), 1);
}

#[test]
fn tcp_connections_are_listed_and_reset_too() {
    isolate();
    let listener = TcpListener::bind("10.244.0.1:80").unwrap();
    let client = TcpStream::connect("10.244.0.1:80").unwrap();
    let _server = listener.accept().unwrap();
    let diag = Diag::open().unwrap();
    let found = listed(&diag, Protocol::Tcp, cookie(&client));
    assert_eq!(diag.destroy(&found).unwrap(), Destroyed::Closed);
    let error = client.take_error().unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

/// A process in a network namespace of its own: a pod. It ends with the test.
struct Pod(Child);

impl Pod {
    fn start() -> Self {
        let pod = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "ip link set lo up; ip addr add 10.244.0.1/24 dev lo; echo up; cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pod = Self(pod);
        let mut up = [0; 3];
        std::io::Read::read_exact(pod.0.stdout.as_mut().unwrap(), &mut up).unwrap();
        pod
    }

    /// Does something inside, on a thread of its own.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = fs::File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pass_closes_what_a_service_led_to_a_gone_backend_in_pods_and_on_the_node() {
    let pods = [Pod::start(), Pod::start()];
    // A cgroup as the kernel shows it: a pass reads lists of processes, and nothing else of it.
    let cgroup = tempfile::tempdir().unwrap();
    for (name, pod) in ["pod-1", "pod-2"].iter().zip(&pods) {
        let directory = cgroup.path().join("pods").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("cgroup.procs"), format!("{}\n", pod.0.id())).unwrap();
    }
    fs::write(cgroup.path().join("cgroup.procs"), "").unwrap();
    assert_eq!(of_cgroup(cgroup.path()).unwrap().len(), 2);

    // The node, too, is a process in a namespace of its own.
    let node = Pod::start();
    let own = {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cgroup.procs"), format!("{}\n", node.0.id())).unwrap();
        of_cgroup(directory.path()).unwrap().remove(0)
    };

    let led_to = |place: &Pod, peer: &'static str| place.inside(move || connected("0.0.0.0:0", peer));
    let stale = [
        led_to(&pods[0], BACKEND),
        led_to(&pods[1], BACKEND),
        led_to(&node, BACKEND),
    ];
    let direct = [led_to(&pods[0], BACKEND), led_to(&node, BACKEND)];
    let fresh = [led_to(&pods[0], OTHER), led_to(&pods[1], OTHER)];

    let direct_cookies: Vec<_> = direct.iter().map(cookie).collect();
    let kept: Arc<Kept> = Arc::new([OTHER.parse().unwrap()].into_iter().collect());
    let pass = Pass {
        cgroup_root: cgroup.path(),
        own: &own,
        led: |cookie: u64, _: SocketAddr| !direct_cookies.contains(&cookie),
    };
    // On a thread of its own: the pass leaves it in the node's namespace.
    let run = |kept: Option<Arc<Kept>>| -> (Outcome, u64) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let outcome = pass.run(|| kept.clone());
                let here = fs::metadata("/proc/thread-self/ns/net").unwrap();
                (outcome, std::os::unix::fs::MetadataExt::ino(&here))
            });
            thread.join().unwrap()
        })
    };

    let (off, _) = run(None);
    assert_eq!(off.closed, 0, "nothing is to be closed");

    let (outcome, namespace) = run(Some(kept.clone()));
    assert!(outcome.failure.is_none(), "{outcome:?}");
    assert_eq!(outcome.closed, 3);
    assert_eq!(namespace, own.inode());
    assert_eq!(
        stale.map(|socket| ended(&socket)),
        [Some(ErrorKind::ConnectionAborted); 3]
    );
    assert_eq!(
        direct.map(|socket| ended(&socket)),
        [None; 2],
        "no service led them there"
    );
    assert_eq!(fresh.map(|socket| ended(&socket)), [None; 2], "their backend is there");

    let (again, _) = run(Some(kept));
    assert_eq!(again.closed, 0);
}

#[test]
fn a_pass_resets_connections_to_gone_backends_if_asked() {
    let node = Pod::start();
    let cgroup = tempfile::tempdir().unwrap();
    fs::write(cgroup.path().join("cgroup.procs"), format!("{}\n", node.0.id())).unwrap();
    let own = of_cgroup(cgroup.path()).unwrap().remove(0);
    let [led, direct] = node.inside(|| {
        let listener = TcpListener::bind("10.244.0.1:80").unwrap();
        [connect(&listener), connect(&listener)]
    });
    let cookie_of_led = cookie(&led.0);
    let pass = Pass {
        cgroup_root: cgroup.path(),
        own: &own,
        led: |cookie: u64, _: SocketAddr| cookie == cookie_of_led,
    };
    let there: SocketAddr = "10.244.0.1:80".parse().unwrap();
    for (what, kept, closed) in [
        ("not asked", Kept::default(), 0),
        ("there, or terminating", Kept::default().with_tcp([there]), 0),
        ("gone", Kept::default().with_tcp([]), 1),
        ("gone before", Kept::default().with_tcp([]), 0),
    ] {
        let kept = Arc::new(kept);
        // On a thread of its own: the pass leaves it in the node's namespace.
        let outcome = std::thread::scope(|scope| scope.spawn(|| pass.run(|| Some(kept.clone()))).join().unwrap());
        assert!(outcome.failure.is_none(), "{what}: {outcome:?}");
        assert_eq!(outcome.closed, closed, "{what}");
    }
    let error = led.0.take_error().unwrap().map(|error| error.kind());
    assert_eq!(error, Some(ErrorKind::ConnectionAborted));
    assert!(direct.0.take_error().unwrap().is_none(), "no service led it there");
}

/// Both ends of a connection.
fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

#[test]
fn the_namespace_of_a_pod_that_has_ended_is_passed_over() {
    let cgroup = tempfile::tempdir().unwrap();
    let pod = Pod::start();
    fs::write(cgroup.path().join("cgroup.procs"), format!("{}\n", pod.0.id())).unwrap();
    let namespaces = of_cgroup(cgroup.path()).unwrap();
    drop(pod);
    assert!(!namespaces[0].enter().unwrap());
    assert_eq!(of_cgroup(cgroup.path()).unwrap(), []);
    assert!(Namespace::own().unwrap().enter().unwrap());
}
