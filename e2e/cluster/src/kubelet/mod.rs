//! What a kubelet and a container runtime do for a node: register it, and turn the Pods bound to it into namespaces
//! with a server in them.

mod container;
mod lease;
mod node;
mod pool;
mod sandbox;
mod status;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinSet,
};

pub(crate) use self::container::{exec, token, way_in};
pub use self::sandbox::{DRAIN_VARIABLE, Names};
use self::{
    pool::AddressPool,
    worker::{Message, Shared, Worker},
};
use crate::{
    server::{Notice, Notices},
    testbed::Testbed,
};

/// The kubelet of one node.
pub struct Kubelet {
    shared: Arc<Shared>,
    notices: Notices,
    /// One per pod, and the one that renews the node's Lease.
    workers: JoinSet<()>,
    /// By the pod's UID.
    inboxes: BTreeMap<String, UnboundedSender<Message>>,
}

impl Kubelet {
    /// Registers the node `name`.
    pub async fn register(client: Client, testbed: Arc<Testbed>, name: &str) -> Result<Self> {
        let host = testbed.host(name)?;
        let spec = host.spec.clone();
        let notify = host.dir.join("pods.sock");
        let notices = Notices::listen(&notify).with_context(|| format!("listen at {}", notify.display()))?;
        let node = node::register(&client, &spec, Time(Timestamp::now())).await?;
        let mut workers = JoinSet::new();
        workers.spawn(lease::renew(client.clone(), node));
        let pool = AddressPool::new(spec.pod_cidrs, testbed.spec().pod_network.first_pod_index());
        let shared = Shared {
            client,
            testbed,
            node: spec.name,
            host: spec.addresses,
            pool: Mutex::new(pool),
            notify,
        };
        Ok(Self {
            shared: Arc::new(shared),
            notices,
            workers,
            inboxes: BTreeMap::new(),
        })
    }

    /// Runs pods until it is dropped.
    pub async fn run(mut self) -> Result<()> {
        let pods: Api<Pod> = Api::all(self.shared.client.clone());
        let bound_here = watcher::Config::default().fields(&format!("spec.nodeName={}", self.shared.node));
        let mut events = pin!(watcher(pods, bound_here).default_backoff());
        let mut listed = BTreeSet::new();
        loop {
            tokio::select! {
                event = events.next() => match event.context("the watch of pods ended")? {
                    Ok(event) => self.handle(event, &mut listed),
                    Err(error) => tracing::warn!(node = self.shared.node, "watch of pods: {error}"),
                },
                notice = self.notices.next() => {
                    let Notice { uid, ready } = notice?;
                    self.tell(&uid, Message::Ready(ready));
                }
                Some(_ended) = self.workers.join_next() => self.inboxes.retain(|_uid, inbox| !inbox.is_closed()),
            }
        }
    }

    fn handle(&mut self, event: Event<Pod>, listed: &mut BTreeSet<String>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(pod) => {
                listed.extend(pod.uid());
                self.apply(pod);
            }
            Event::InitDone => {
                let gone = self
                    .inboxes
                    .keys()
                    .filter(|uid| !listed.contains(*uid))
                    .cloned()
                    .collect::<Vec<_>>();
                for uid in gone {
                    self.tell(&uid, Message::Gone);
                }
            }
            Event::Apply(pod) => self.apply(pod),
            Event::Delete(pod) => {
                if let Some(uid) = pod.uid() {
                    self.tell(&uid, Message::Gone);
                }
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        // Its process is a part of this one (`crate::kube_proxy`).
        if pod
            .labels()
            .get("k8s-app")
            .is_some_and(|app| app == crate::kube_proxy::NAME)
        {
            return;
        }
        if self.inboxes.contains_key(&uid) {
            self.tell(&uid, Message::Changed(Box::new(pod)));
            return;
        }
        let (sender, inbox) = unbounded_channel();
        self.inboxes.insert(uid, sender);
        self.workers
            .spawn(Worker::new(Arc::clone(&self.shared), pod, inbox).run());
    }

    fn tell(&self, uid: &str, message: Message) {
        if let Some(inbox) = self.inboxes.get(uid) {
            // A closed inbox belongs to a pod that has ended.
            let _ = inbox.send(message);
        }
    }
}
