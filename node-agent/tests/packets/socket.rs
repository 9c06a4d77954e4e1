//! Real sockets of a process in the node's cgroup, and what the programs remember of them.

use crate::rig::{Backend, Frontend, NODE, Rig, TCP};
use aya::maps::{HashMap, Map, MapData};
use kpr_abi::{Addr4, Be16, Cookie, PeerValue, maps, service::flags};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

pub(crate) const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);
/// The port of a [`Backend`].
pub(crate) const PORT: u16 = 80;

/// A shell that opens and closes connections when it is told to.
pub(crate) struct Shell {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Shell {
    pub(crate) fn in_cgroup(cgroup: &Path) -> Self {
        let script = format!(
            "echo $$ > {}/cgroup.procs; while read -r line; do eval \"$line\"; echo; done",
            cgroup.display()
        );
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something, and waits until that is done.
    pub(crate) fn run(&mut self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
        self.said.read_line(&mut String::new()).unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A Service of this node's own port.
pub(crate) fn cluster_ip() -> Frontend {
    Frontend {
        addr: CLUSTER_IP,
        port: PORT,
        flags: flags::CLUSTER_IP,
        ..Frontend::node_port(TCP)
    }
}

/// Where connected sockets were led.
fn remembered(node: &Rig) -> Vec<PeerValue<Addr4>> {
    let pin = node.options.bpffs_root.join("v1/maps").join(maps::SOCKETS4);
    let map = Map::LruHashMap(MapData::from_pin(pin).unwrap());
    let sockets: HashMap<_, Cookie, PeerValue<Addr4>> = map.try_into().unwrap();
    sockets.iter().map(|entry| entry.unwrap().1).collect()
}

#[test]
fn a_connection_is_remembered_until_its_socket_is_closed() {
    let mut node = Rig::new();
    node.serve(cluster_ip(), 0, &[Backend::Local(NODE)]);
    let _server = TcpListener::bind((NODE, PORT)).unwrap();
    let mut shell = Shell::in_cgroup(&node.options.cgroup_root);
    shell.run(&format!(
        "exec 3<>/dev/tcp/{CLUSTER_IP}/{PORT} 4<>/dev/tcp/{NODE}/{PORT}"
    ));
    let expected = PeerValue {
        frontend: CLUSTER_IP.into(),
        backend: NODE.into(),
        frontend_port: Be16::new(PORT),
        backend_port: Be16::new(PORT),
        backend_id: 1,
    };
    assert_eq!(remembered(&node), [expected], "and not the one to the backend itself");
    // Another descriptor keeps the socket.
    shell.run("exec 5<&3; exec 3<&-");
    assert_eq!(remembered(&node), [expected]);
    shell.run("exec 5<&-");
    assert_eq!(remembered(&node), []);
}
