//! Which frontends are counted, and when.

use kpr_crds::{Metrics, NodeDatapathSpec, PerService};

use super::{
    fake::Kernel,
    rig::{Rig, datapath, spec},
};
use crate::{model::tests::fixtures::svc, watch::Change};

/// A configuration that has as many Service ports counted.
fn counting(max_service_ports: u32) -> NodeDatapathSpec {
    NodeDatapathSpec {
        metrics: Metrics {
            per_service: PerService {
                enabled: true,
                max_service_ports,
            },
        },
        ..spec()
    }
}

fn counted(kernel: &Kernel) -> Vec<String> {
    let counted = kernel.state().counted.clone();
    counted.iter().map(ToString::to_string).collect()
}

#[test]
fn frontends_are_counted_from_when_it_is_asked_for_to_when_it_is_not() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    assert_eq!(counted(&kernel), [""; 0]);
    assert_eq!(agent.snapshot().counted, None);

    agent.tell([datapath(2, counting(1))]);
    assert!(kernel.state().starts.last().unwrap().count_services, "other programs");
    assert_eq!(counted(&kernel), ["10.96.0.10:80"]);
    assert_eq!(agent.snapshot().counted.unwrap().left_out, 0);

    agent.tell([Change::Service(Box::new(
        svc("api").cluster_ips(&["10.96.0.11"]).parse(),
    ))]);
    assert_eq!(counted(&kernel), ["10.96.0.10:80"]);
    assert_eq!(agent.snapshot().counted.unwrap().left_out, 1);

    agent.tell([datapath(3, counting(2))]);
    assert_eq!(counted(&kernel), ["10.96.0.11:80", "10.96.0.10:80"]);

    agent.tell([datapath(4, spec())]);
    assert!(!kernel.state().starts.last().unwrap().count_services);
    assert_eq!(counted(&kernel), [""; 0]);
    assert_eq!(agent.snapshot().counted, None);
}

#[test]
fn a_restarted_agent_goes_on_with_what_is_counted() {
    let kernel = Kernel::default();
    let services = |names: &[&str]| {
        let service = |(n, name): (usize, &&str)| svc(name).cluster_ips(&[&format!("10.96.0.1{n}")]).parse();
        Change::Services(names.iter().enumerate().map(service).collect())
    };
    let mut agent = Rig::configured(&kernel);
    agent.tell([
        datapath(2, counting(1)),
        services(&["web"]),
        Change::Slices(Vec::new()),
        Change::Synced,
    ]);
    assert_eq!(counted(&kernel), ["10.96.0.10:80"]);
    drop(agent);

    let mut agent = Rig::starts(&kernel);
    agent.tell([
        datapath(2, counting(1)),
        services(&["web", "api"]),
        Change::Slices(Vec::new()),
        Change::Synced,
    ]);
    agent.later(crate::agent::GRACE);
    assert_eq!(counted(&kernel), ["10.96.0.10:80"], "though `api` comes first by name");
    assert_eq!(agent.snapshot().counted.unwrap().left_out, 1);
}

#[test]
fn what_the_kernel_refuses_is_tried_again() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.state().failing_counts = 1;
    agent.tell([datapath(2, counting(1))]);
    assert_eq!(counted(&kernel), [""; 0]);
    agent.tell([]);
    assert_eq!(counted(&kernel), ["10.96.0.10:80"]);
}
