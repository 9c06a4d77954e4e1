//! The public face: make a server, serve it, look into it, disturb it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use axum::extract::Request;
use axum::middleware::map_request;
use http::header::{HeaderValue, USER_AGENT};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::ApiError;
use crate::faults::{Fault, Faults};
use crate::http::router;
use crate::options::Options;
use crate::requests::RequestLog;
use crate::state::State;
use crate::write::{FieldValidation, WriteOptions};

/// An in-memory Kubernetes API server. Cheap to clone: all clones are the same server.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let server = kpr_apiserver::ApiServer::new();
/// let serving = server.serve(std::net::TcpListener::bind("127.0.0.1:0")?)?;
/// serving.write_kubeconfig("kubeconfig".as_ref())?; // for kubectl
/// let client = server.client(); // for kube-rs, in process
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

/// A listener being served; dropping it closes the listener and the watches that came through it.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _guard: DropGuard,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl ApiServer {
    /// A server with the namespaces every cluster has, and nothing else.
    pub fn new() -> Self {
        Self::with_options(Options::default())
    }

    /// A server with other settings than the default ones.
    pub fn with_options(options: Options) -> Self {
        let mut state = State::new(options.clone());
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            state.add_namespace(namespace, Timestamp::now());
        }
        let revision = state.store.revision();
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                revisions: watch::Sender::new(revision),
                watches: Watches::default(),
                faults: Mutex::default(),
                requests: Mutex::default(),
                options,
            }),
        }
    }

    /// Serves plain HTTP on `listener`; call it once per listener. Needs a tokio runtime.
    pub fn serve(&self, listener: std::net::TcpListener) -> io::Result<Serving> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stop = CancellationToken::new();
        let server = axum::serve(listener, router(self.shared.clone(), stop.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, %address, "the API server's listener failed");
            }
        });
        Ok(Serving {
            address,
            _guard: stop.clone().drop_guard(),
            stop,
            task,
        })
    }

    /// A client that calls the server in process. Its requests have no User-Agent. Needs a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.in_process(), "default")
    }

    /// A client whose requests carry a User-Agent, so that [`requests`](Self::requests) can tell who asked.
    pub fn client_as(&self, user_agent: &str) -> kube::Client {
        self.client_in(user_agent, "default")
    }

    /// A client as of [`client_as`](Self::client_as) that uses `namespace` where a request names none.
    pub fn client_in(&self, user_agent: &str, namespace: &str) -> kube::Client {
        let agent = HeaderValue::from_str(user_agent).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let name = move |mut request: Request| {
            request.headers_mut().insert(USER_AGENT, agent.clone());
            std::future::ready(request)
        };
        kube::Client::new(self.in_process().layer(map_request(name)), namespace)
    }

    fn in_process(&self) -> axum::Router {
        router(self.shared.clone(), CancellationToken::new())
    }

    /// Creates an object (given with apiVersion and kind), as if a client had posted it.
    pub fn create(&self, object: Value) -> Result<Value, ApiError> {
        let (api_version, kind) = (
            crate::object::text(&object, &["apiVersion"]),
            crate::object::text(&object, &["kind"]),
        );
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let mut state = self.shared.state();
        let resource = state
            .registry
            .of_version(group, version)
            .find(|resource| resource.kind == kind)
            .cloned()
            .ok_or_else(ApiError::no_such_resource)?;
        let namespace = match crate::object::namespace(&object) {
            "" if resource.namespaced => "default",
            namespace => namespace,
        };
        let options = WriteOptions {
            now: Timestamp::now(),
            manager: "kpr-apiserver".to_owned(),
            manager_is_named: true,
            dry_run: false,
            validation: FieldValidation::Strict,
        };
        let namespace = namespace.to_owned();
        let written = state.create(&resource, &namespace, object, &options);
        self.shared.announce(&state);
        written.map(|written| resource.project(&written.object))
    }

    /// The revision of the last write: it does not move while nothing is written.
    pub fn revision(&self) -> u64 {
        self.shared.state().store.revision()
    }

    /// What was asked so far.
    pub fn requests(&self) -> RequestLog {
        self.shared.requests().clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        *self.shared.requests() = RequestLog::default();
    }

    /// Makes matching requests fail or wait.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults().add(fault);
    }

    /// Takes back all injected faults.
    pub fn clear_faults(&self) {
        *self.shared.faults() = Faults::default();
    }

    /// Lets Services ask for addresses of another range too, as a ServiceCIDR object does: its first address and prefix length.
    pub fn add_service_cidr(&self, cidr: (IpAddr, u8)) {
        self.shared.state().options.service_cidrs.push(cidr);
    }

    /// Forgets the history: lists and watches that start at an older revision get 410 Expired.
    pub fn compact(&self) {
        self.shared.state().store.compact();
    }

    /// Closes all open watches; clients come back with the last revision they saw.
    pub fn drop_watches(&self) {
        self.shared.watches.drop_all();
    }

    /// Closes all open watches and forgets the history: clients come back, get 410 Expired and must list again.
    ///
    /// One write moves the revision on first, so that even a client that has seen everything is too old.
    pub fn expire_watches(&self) {
        let mut state = self.shared.state();
        state.touch_namespace("kube-public", Timestamp::now());
        state.store.compact();
        drop(state);
        self.shared.watches.drop_all();
    }
}

impl Serving {
    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig for this listener.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&self.url())
    }

    /// Writes the kubeconfig to `path`.
    pub fn write_kubeconfig(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.kubeconfig())
    }

    /// Stops accepting and waits for the listener to be closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the API server's listener did not end well");
        }
    }
}

/// A kubeconfig (it is JSON, which is YAML) without credentials for the server at `url`.
pub fn kubeconfig(url: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kpr", "cluster": {"server": url}}],
        "users": [{"name": "kpr", "user": {}}],
        "contexts": [{"name": "kpr", "context": {"cluster": "kpr", "user": "kpr", "namespace": "default"}}],
        "current-context": "kpr",
    });
    format!("{config:#}\n")
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The revision of the last write, for watches to wait on.
    pub(crate) revisions: watch::Sender<u64>,
    pub(crate) watches: Watches,
    faults: Mutex<Faults>,
    requests: Mutex<RequestLog>,
    pub(crate) options: Options,
}

impl Shared {
    // A panic under a lock fails its own request; the next one finds the last consistent write.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, RequestLog> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watches if something was written.
    pub(crate) fn announce(&self, state: &State) {
        let revision = state.store.revision();
        self.revisions
            .send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
    }
}

/// Closes open watches on demand.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    generation: AtomicU64,
    closing: watch::Sender<u64>,
}

impl Watches {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.closing.subscribe()
    }

    fn drop_all(&self) {
        let next = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.closing.send_replace(next);
    }
}
