//! What a kube-proxy leaves, made with the programs that it uses itself, in a network namespace of each test's own; and what is
//! there once the agent has taken it away.
//!
//! Needs root, iptables (of both kinds) and nft: `cargo test -p kpr-node-agent --features privileged --test leftovers`.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use kpr_node_agent::{
    netfilter::{self, Found, masquerade},
    takeover::{Cleared, remove},
};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use nix::sched::{CloneFlags, unshare};

/// A node's rules, as `iptables-save -c` prints them: lines that begin with `-` or `:` and end with `#` are kube-proxy's.
const NAT: &str = "*nat
:PREROUTING ACCEPT [1:60]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [2:120]
:POSTROUTING ACCEPT [3:180]
:CNI-DN-0a1b2c - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-EXT-XPGD46QRK7WJZT7O - [0:0] #
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-MARK-MASQ - [0:0] #
:KUBE-NODEPORTS - [0:0] #
:KUBE-POSTROUTING - [0:0] #
:KUBE-PROXY-CANARY - [0:0] #
:KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0] #
:KUBE-SERVICES - [0:0] #
:KUBE-SVC-XPGD46QRK7WJZT7O - [0:0] #
[7:420] -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES #
[5:300] -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
[0:0] -A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES #
[4:240] -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
[0:0] -A OUTPUT -m comment --comment \"only counts\"
[0:0] -A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING #
[9:540] -A CNI-DN-0a1b2c -p tcp -m tcp --dport 8080 -j DNAT --to-destination @POD@:80
[6:360] -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: kindnet\" -m multiport --dports 8080 -j CNI-DN-0a1b2c
[0:0] -A KUBE-EXT-XPGD46QRK7WJZT7O -m comment --comment \"masquerade traffic for ns1/svc1:p80 external destinations\" -j KUBE-MARK-MASQ #
[0:0] -A KUBE-EXT-XPGD46QRK7WJZT7O -j KUBE-SVC-XPGD46QRK7WJZT7O #
[0:0] -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
[0:0] -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000 #
[0:0] -A KUBE-NODEPORTS -p tcp -m comment --comment \"ns1/svc1:p80\" -m tcp --dport 30080 -j KUBE-EXT-XPGD46QRK7WJZT7O #
[0:0] -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN #
[0:0] -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0 #
[0:0] -A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully #
[0:0] -A KUBE-SEP-SXIVWICOYRO3J4NJ -s @POD@ -m comment --comment \"ns1/svc1:p80\" -j KUBE-MARK-MASQ #
[0:0] -A KUBE-SEP-SXIVWICOYRO3J4NJ -p tcp -m comment --comment \"ns1/svc1:p80\" -m tcp -j DNAT --to-destination @POD@:80 #
[0:0] -A KUBE-SERVICES -d @SERVICE@ -p tcp -m comment --comment \"ns1/svc1:p80 cluster IP\" -m tcp --dport 80 -j KUBE-SVC-XPGD46QRK7WJZT7O #
[0:0] -A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS #
[0:0] -A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment \"ns1/svc1:p80\" -j KUBE-SEP-SXIVWICOYRO3J4NJ #
COMMIT
";
const FILTER: &str = "*filter
:INPUT ACCEPT [11:660]
:FORWARD ACCEPT [12:720]
:OUTPUT ACCEPT [13:780]
:KUBE-EXTERNAL-SERVICES - [0:0] #
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0] #
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-NODEPORTS - [0:0] #
:KUBE-PROXY-FIREWALL - [0:0] #
:KUBE-SERVICES - [0:0] #
[0:0] -A INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL #
[0:0] -A INPUT -m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS #
[0:0] -A INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES #
[14:840] -A INPUT -j KUBE-FIREWALL
[0:0] -A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD #
[0:0] -A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES #
[15:900] -A FORWARD -s @POD@ -j ACCEPT
[0:0] -A OUTPUT -j KUBE-FIREWALL
[0:0] -A KUBE-FIREWALL -m comment --comment \"kubernetes firewall for dropping marked packets\" -m mark --mark 0x8000/0x8000 -j DROP
[0:0] -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP #
[0:0] -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT #
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-PROXY-CANARY - [0:0] #
COMMIT
";

/// Puts this test's thread into a namespace of its own, in which some addresses are local.
fn isolate() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
    run("ip link set lo up");
    run("ip addr add 10.244.0.1/24 dev lo");
}

fn run(command: &str) -> String {
    feed(command, "")
}

/// Runs a command with this input, and returns what it prints.
fn feed(command: &str, input: &str) -> String {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}\n{input}");
    String::from_utf8(output.stdout).unwrap()
}

/// The rules of one kind and family: all of them, and those that are not kube-proxy's.
fn rules(program: &str) -> (String, String) {
    let v6 = program.starts_with("ip6");
    let (pod, service) = if v6 {
        ("fd00:244::2/128", "fd00:96::a/128")
    } else {
        ("10.244.0.2/32", "10.96.0.10/32")
    };
    let address = pod.split('/').next().unwrap();
    let target = if v6 {
        format!("[{address}]:80")
    } else {
        format!("{address}:80")
    };
    let text = format!("{NAT}{FILTER}");
    let text = text
        .replace("@POD@:80", &target)
        .replace("@POD@", pod)
        .replace("@SERVICE@", service);
    let lines: Vec<&str> = text.lines().collect();
    let all = lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end_matches(" #")))
        .collect();
    let others = lines
        .iter()
        .filter(|line| !line.ends_with(" #"))
        .map(|line| format!("{line}\n"))
        .collect();
    (all, others)
}

/// The rules as they are printed, in an order that does not depend on the program's version.
fn saved(program: &str) -> Vec<String> {
    sorted(&run(&format!("{program}-save -c")))
}

/// Each line behind its table's name; rules of a chain stay in their order.
fn sorted(saved: &str) -> Vec<String> {
    let mut table = "";
    let mut lines: Vec<String> = Vec::new();
    for line in saved.lines().filter(|line| !line.starts_with('#') && *line != "COMMIT") {
        match line.strip_prefix('*') {
            Some(name) => table = name,
            None => lines.push(format!("{table} {line}")),
        }
    }
    let chain = |line: &String| {
        let (head, rest) = line.split_once("-A ").unwrap_or((line.as_str(), ""));
        let table = head.split(' ').next().unwrap_or_default().to_owned();
        let name = rest.split(' ').next().unwrap_or_default().to_owned();
        // Heads of chains come first, by name.
        let head = if rest.is_empty() {
            head.to_owned()
        } else {
            String::new()
        };
        (table, !rest.is_empty(), name, head)
    };
    lines.sort_by_key(chain);
    lines
}

fn clear() -> Cleared {
    let cleared = remove(|| Ok(()));
    assert_eq!(cleared.failed, [] as [String; 0]);
    cleared
}

/// What should be left of `before`: the lines that are not kube-proxy's, with the counters that they have. (Some versions of
/// `ip6tables-nft-restore` take no counters.)
fn expected(before: &[String], program: &str) -> Vec<String> {
    let others: Vec<String> = sorted(&rules(program).1).iter().map(|line| bare(line)).collect();
    let left: Vec<String> = before
        .iter()
        .filter(|line| others.contains(&bare(line)))
        .cloned()
        .collect();
    assert_eq!(
        left.iter().map(|line| bare(line)).collect::<Vec<_>>(),
        others,
        "they are there"
    );
    left
}

/// A line without its counters.
fn bare(line: &str) -> String {
    let (head, tail) = line.split_once('[').unwrap_or((line, ""));
    format!("{head}{}", tail.split_once(']').map_or("", |(_, rest)| rest))
}

fn exactly_kube_proxys_go(kind: &str) {
    isolate();
    let programs = ["iptables", "ip6tables"].map(|family| format!("{family}-{kind}"));
    let before = programs.each_ref().map(|program| {
        feed(&format!("{program}-restore -c"), &rules(program).0);
        saved(program)
    });
    assert!(netfilter::rules().iptables);
    let cleared = clear();
    for (program, before) in programs.iter().zip(&before) {
        let left = expected(before, program);
        assert!(left.len() < before.len(), "kube-proxy's were there");
        assert_eq!(saved(program), left);
    }
    assert_eq!(
        cleared.removed,
        ["IPv4", "IPv6"]
            .map(|version| [
                format!("8 chains of iptables-{kind} (nat, {version})"),
                format!("5 chains of iptables-{kind} (filter, {version})"),
                format!("1 chain of iptables-{kind} (mangle, {version})"),
            ])
            .concat()
    );
    assert_eq!(netfilter::rules(), Found::default());
    assert!(clear().is_nothing(), "the second time there is nothing to do");
}

#[test]
fn of_iptables_in_nf_tables_exactly_kube_proxys_rules_go() {
    exactly_kube_proxys_go("nft");
}

#[test]
fn of_legacy_iptables_exactly_kube_proxys_rules_go() {
    exactly_kube_proxys_go("legacy");
}

#[test]
fn both_kinds_of_iptables_on_one_node_are_cleared() {
    isolate();
    let before = ["nft", "legacy"].map(|kind| {
        let program = format!("iptables-{kind}");
        feed(&format!("{program}-restore -c"), &rules("iptables").0);
        (program.clone(), saved(&program))
    });
    assert_eq!(clear().removed.len(), 6);
    for (program, before) in before {
        assert_eq!(saved(&program), expected(&before, &program), "{program}");
    }
}

#[test]
fn what_a_rule_of_the_cni_uses_stays_and_is_told() {
    for kind in ["nft", "legacy"] {
        isolate();
        feed(&format!("iptables-{kind}-restore -c"), &rules("iptables").0);
        let program = format!("iptables-{kind} -t nat");
        run(&format!("{program} -N CNI-HOSTPORT-SETMARK"));
        run(&format!(
            "{program} -A CNI-HOSTPORT-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ"
        ));
        let cleared = clear();
        assert_eq!(
            cleared.why_kept().unwrap(),
            "left in place: KUBE-MARK-MASQ (rules of CNI-HOSTPORT-SETMARK use it), \
             KUBE-POSTROUTING (rules of CNI-HOSTPORT-SETMARK use it)"
        );
        let left = run(&format!("iptables-{kind}-save -t nat"));
        assert!(left.contains("-j KUBE-POSTROUTING"), "{left}");
        assert!(left.contains("-j MASQUERADE --random-fully"), "{left}");
        assert!(!left.contains("KUBE-SERVICES"), "{left}");
    }
}

#[test]
fn ten_thousand_services_go_in_one_transaction() {
    isolate();
    let mut text = "*nat\n:KUBE-SERVICES - [0:0]\n".to_owned();
    let names: Vec<String> = (0..10_000).map(|number| format!("KUBE-SVC-{number:016}")).collect();
    for name in &names {
        text += &format!(":{name} - [0:0]\n");
    }
    text += "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n";
    for (number, name) in names.iter().enumerate() {
        let address = format!("10.{}.{}.{}", 96 + (number >> 16), number >> 8 & 255, number & 255);
        text += &format!("-A KUBE-SERVICES -d {address}/32 -p tcp -m tcp --dport 80 -j {name}\n");
        text += &format!("-A {name} -p tcp -j DNAT --to-destination 10.244.0.2:80\n");
    }
    text += "COMMIT\n";
    for kind in ["nft", "legacy"] {
        feed(&format!("iptables-{kind}-restore --noflush"), &text);
    }
    let begun = std::time::Instant::now();
    let cleared = clear();
    println!("20,002 chains in {:?}", begun.elapsed());
    assert_eq!(
        cleared.removed,
        [
            "10001 chains of iptables-legacy (nat, IPv4)",
            "10001 chains of iptables-nft (nat, IPv4)"
        ]
    );
}

#[test]
fn a_connection_outlives_the_only_table_that_translates() {
    isolate();
    feed(
        "nft -f -",
        "add table ip kube-proxy
        add chain ip kube-proxy service
        add rule ip kube-proxy service meta l4proto tcp dnat to 10.244.0.6:8080
        add chain ip kube-proxy nat-output { type nat hook output priority -100; }
        add rule ip kube-proxy nat-output ip daddr 10.244.0.5 tcp dport 80 goto service
        add table ip6 kube-proxy
        add chain ip6 kube-proxy nat-output { type nat hook output priority -100; }
        add table ip mine
        add chain ip mine forward { type filter hook forward priority 0; }\n",
    );
    assert!(netfilter::rules().nftables);
    let listener = TcpListener::bind("10.244.0.6:8080").unwrap();
    let mut client = TcpStream::connect("10.244.0.5:80").unwrap();
    let (mut server, _) = listener.accept().unwrap();

    // What the datapath does before.
    let cleared = remove(|| masquerade::keep_to(&(1_024..=29_999)));
    assert_eq!(cleared.removed, ["table kube-proxy of nftables (IPv4, IPv6)"]);
    assert_eq!(netfilter::rules(), Found::default());
    let tables = run("nft list tables");
    assert_eq!(tables, "table ip mine\ntable ip kpr\ntable ip6 kpr\n");

    client
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .unwrap();
    server
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .unwrap();
    for (from, to) in [(&mut client, &mut server)] {
        let mut word = [0; 4];
        from.write_all(b"ping").unwrap();
        to.read_exact(&mut word).unwrap();
        to.write_all(b"pong").unwrap();
        from.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"pong");
    }
}

#[test]
fn sets_go_though_a_rule_has_just_referred_to_one() {
    isolate();
    for name in ["KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP", "mine"] {
        make_set(name);
    }
    run("iptables-nft -t nat -N KUBE-SERVICES");
    run("iptables-nft -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst -j ACCEPT");
    let cleared = clear();
    assert_eq!(
        cleared.removed,
        ["1 chain of iptables-nft (nat, IPv4)", "2 sets of ipset"]
    );
    assert!(clear().is_nothing());
    assert!(
        netfilter::ip_set::destroy("mine").unwrap(),
        "that of somebody else is there"
    );
}

#[test]
fn the_device_of_ipvs_goes() {
    isolate();
    run("ip link add kube-ipvs0 type bridge");
    assert!(netfilter::rules().ipvs);
    assert_eq!(clear().removed, ["device kube-ipvs0"]);
    assert_eq!(netfilter::rules(), Found::default());
}

/// `ipset create NAME hash:ip`.
fn make_set(name: &str) {
    fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap();
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    // IPSET_CMD_CREATE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL.
    let mut message = vec![0; 4];
    message.extend(0x602_u16.to_ne_bytes());
    message.extend(0x605_u16.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([2, 0, 0, 0]);
    let family = if name.contains("-6-") { 10 } else { 2 };
    put(&mut message, 1, &[6]);
    put(&mut message, 2, format!("{name}\0").as_bytes());
    put(&mut message, 3, b"hash:ip\0");
    put(&mut message, 4, &[0]);
    put(&mut message, 5, &[family]);
    put(&mut message, 7 | 0x8000, &[]);
    let length = u32::try_from(message.len()).unwrap();
    message[..4].copy_from_slice(&length.to_ne_bytes());
    let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
    socket.bind_auto().unwrap();
    socket.send(&message, 0).unwrap();
    let (answer, _) = socket.recv_from_full().unwrap();
    let error = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(error, 0, "{name}");
}
