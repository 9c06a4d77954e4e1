mod simulation;

use super::fixtures::{Datapath, at, datapath, node, policy};
use super::*;
use crate::drain::Limits;

/// A cluster, and the decision for its first policy.
#[derive(Default)]
struct Cluster {
    policies: Vec<Arc<KubeProxyReplacement>>,
    nodes: BTreeMap<String, NodeView>,
    datapaths: BTreeMap<String, Arc<NodeDatapath>>,
}

fn cluster(policy: KubeProxyReplacement) -> Cluster {
    Cluster {
        policies: vec![Arc::new(policy)],
        ..Cluster::default()
    }
}

impl Cluster {
    fn policy(mut self, policy: KubeProxyReplacement) -> Self {
        self.policies.push(Arc::new(policy));
        self
    }

    fn node(mut self, name: &str, node: fixtures::Node) -> Self {
        self.nodes.insert(name.to_owned(), node.build());
        self
    }

    fn datapath(mut self, datapath: Datapath) -> Self {
        let datapath = datapath.build();
        self.datapaths.insert(datapath.name_any(), Arc::new(datapath));
        self
    }

    fn decide_at(&self, second: i64) -> Decision {
        let world = World {
            policies: &self.policies,
            nodes: &self.nodes,
            datapaths: &self.datapaths,
            limits: Limits::default(),
            kube_proxy: kube_proxy::Input::default(),
            now: at(second),
        };
        decide(&self.policies[0], &world)
    }

    fn decide(&self) -> Decision {
        self.decide_at(0)
    }
}

fn applied(decision: &Decision) -> Vec<(&str, &str, kpr_crds::Phase)> {
    decision
        .apply
        .iter()
        .map(|d| (d.node.as_str(), d.owner.name.as_str(), d.spec.phase))
        .collect()
}

fn deleted(decision: &Decision) -> Vec<&str> {
    decision.delete.iter().map(|deletion| deletion.node.as_str()).collect()
}

use kpr_crds::Phase::{Active, Draining};

#[test]
fn a_new_policy_takes_its_finalizer_and_gives_every_node_a_datapath() {
    let decision = cluster(policy("default").without_finalizer().build())
        .node("a", node())
        .node("b", node())
        .decide();
    assert_eq!(decision.finalizer, Finalizer::Take);
    assert_eq!(applied(&decision), [("a", "default", Active), ("b", "default", Active)]);
    let status = decision.status.expect("status");
    assert_eq!((status.status.desired_nodes, status.urgent), (2, true));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let mut policy = policy("default").build();
    let settled = |policy: &KubeProxyReplacement| {
        cluster(policy.clone())
            .node("a", node())
            .datapath(datapath("a", policy).ready(1))
            .decide()
    };
    policy.status = settled(&policy).status.map(|new| new.status);
    assert_eq!(settled(&policy), Decision::default());
}

#[test]
fn a_change_goes_to_one_node_at_a_time() {
    let old = policy("default").build();
    let new = policy("default").generation(2).max_sessions(60).build();
    let decision = cluster(new)
        .node("a", node())
        .node("b", node())
        .datapath(datapath("a", &old).ready(1))
        .datapath(datapath("b", &old).ready(1))
        .decide();
    assert_eq!(applied(&decision), [("a", "default", Active)]);
}

#[test]
fn a_datapath_that_lost_its_owner_gets_it_back_at_once() {
    let policy = policy("default").build();
    let mut orphan = datapath("a", &policy).ready(1).build();
    orphan.metadata.owner_references = None;
    let mut cluster = cluster(policy).node("a", node());
    cluster.datapaths.insert("a".to_owned(), Arc::new(orphan));
    assert_eq!(applied(&cluster.decide()), [("a", "default", Active)]);
}

#[test]
fn a_node_that_left_the_cluster_takes_its_datapath_with_it() {
    let policy = policy("default").build();
    let decision = cluster(policy.clone()).datapath(datapath("a", &policy)).decide();
    assert_eq!(deleted(&decision), ["a"]);
    assert_eq!(decision.delete[0].uid.as_deref(), Some("uid-of-datapath-a"));
    assert_eq!(applied(&decision), []);
}

#[test]
fn a_node_that_left_the_pool_is_drained_and_then_released() {
    let policy = policy("default").pool("x").build();
    let outside = || cluster(policy.clone()).node("a", node().label("pool", "y"));
    let asked = outside().datapath(datapath("a", &policy).ready(1)).decide();
    assert_eq!(applied(&asked), [("a", "default", Draining)]);
    assert_eq!(deleted(&asked), [] as [&str; 0]);

    let done = outside()
        .datapath(datapath("a", &policy).draining_since(at(0)).removed(1))
        .decide();
    assert_eq!(applied(&done), []);
    assert_eq!(deleted(&done), ["a"]);
    assert_eq!(done.finalizer, Finalizer::Keep, "the policy itself stays");
}

#[test]
fn a_node_that_is_back_in_the_pool_becomes_active_again() {
    let policy = policy("default").build();
    let decision = cluster(policy.clone())
        .node("a", node())
        .datapath(datapath("a", &policy).draining_since(at(0)))
        .decide();
    assert_eq!(applied(&decision), [("a", "default", Active)]);
}

#[test]
fn the_younger_policy_says_that_it_lost_a_node_and_does_not_touch_it() {
    let (young, old) = (policy("young").created(20).build(), policy("old").created(10).build());
    let decision = cluster(young)
        .policy(old.clone())
        .node("a", node())
        .datapath(datapath("a", &old).ready(1))
        .decide();
    assert_eq!(applied(&decision), []);
    assert_eq!(deleted(&decision), [] as [&str; 0]);
    let told = decision.status.expect("status").notices;
    let reasons: Vec<_> = told.iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, ["Conflicted"]);
}

#[test]
fn deletion_drains_every_node_and_keeps_the_finalizer_until_then() {
    let policy = policy("default").deleted().build();
    let cluster = cluster(policy.clone())
        .node("a", node())
        .node("b", node())
        .datapath(datapath("a", &policy).ready(1))
        .datapath(datapath("b", &policy).draining_since(at(0)).removed(1));
    let decision = cluster.decide();
    assert_eq!(applied(&decision), [("a", "default", Draining)]);
    assert_eq!(deleted(&decision), ["b"]);
    assert_eq!(decision.finalizer, Finalizer::Keep);
}

#[test]
fn the_finalizer_goes_with_the_last_datapath() {
    let policy = policy("default").deleted().build();
    let last = cluster(policy.clone())
        .node("a", node())
        .datapath(datapath("a", &policy).draining_since(at(0)).removed(1))
        .decide();
    assert_eq!(deleted(&last), ["a"]);
    assert_eq!(last.finalizer, Finalizer::Release);
    assert_eq!(last.status, None, "the object is about to go: nobody reads its status");
}

#[test]
fn deletion_does_not_create_datapaths() {
    let decision = cluster(policy("default").deleted().build()).node("a", node()).decide();
    assert_eq!(applied(&decision), []);
    assert_eq!(decision.finalizer, Finalizer::Release);
}

#[test]
fn a_policy_without_our_finalizer_that_is_being_deleted_is_left_alone() {
    let policy = policy("default").without_finalizer().deleted().build();
    let decision = cluster(policy.clone())
        .node("a", node())
        .datapath(datapath("a", &policy))
        .decide();
    assert_eq!(decision, Decision::default());
}

#[test]
fn a_dead_node_is_waited_for_and_then_given_up_with_an_event() {
    let policy = policy("default").deleted().build();
    let cluster = cluster(policy.clone())
        .node("a", node().down())
        .datapath(datapath("a", &policy).draining_since(at(100)));
    let waiting = cluster.decide_at(110);
    assert_eq!(waiting.finalizer, Finalizer::Keep);
    assert_eq!(waiting.again_in, Some(Duration::from_secs(50)));
    assert_eq!(deleted(&waiting), [] as [&str; 0]);

    let given_up = cluster.decide_at(160);
    assert_eq!(deleted(&given_up), ["a"]);
    assert_eq!(given_up.finalizer, Finalizer::Release);
    let notices: Vec<_> = given_up
        .notices
        .iter()
        .map(|notice| (notice.warning, notice.reason))
        .collect();
    assert_eq!(notices, [(true, "RemovalNotConfirmed")]);
}

#[test]
fn a_deleted_policy_hands_a_node_over_and_stays_until_the_other_has_it() {
    let gone = policy("gone").deleted().build();
    let heir = policy("heir").created(20).build();
    let before = || cluster(gone.clone()).policy(heir.clone()).node("a", node());
    let waits = before().datapath(datapath("a", &gone).ready(1)).decide();
    assert_eq!(
        applied(&waits),
        [],
        "the datapath is not drained: the heir goes on with it"
    );
    assert_eq!(deleted(&waits), [] as [&str; 0]);
    assert_eq!(waits.finalizer, Finalizer::Keep);

    let taken = before().datapath(datapath("a", &heir).ready(1)).decide();
    assert_eq!(taken.finalizer, Finalizer::Release);
    assert_eq!(deleted(&taken), [] as [&str; 0]);
}
