//! The API server of a scenario.

use std::net::{SocketAddr, TcpListener};

use kpr_apiserver::{ApiServer, Fault, RequestRecord, Serving};
use kube::{Client, Config};

/// User agent of the scenario itself; operators have their identity.
const SCENARIO: &str = "scenario";

/// The server, and the listener that operators use.
pub(crate) struct Server {
    api: ApiServer,
    address: SocketAddr,
    serving: Option<Serving>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let api = ApiServer::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let serving = api.serve(listener).expect("serving");
        Self {
            api,
            address: serving.address(),
            serving: Some(serving),
        }
    }

    /// The scenario's client. It does not use the listener.
    pub(crate) fn client(&self) -> Client {
        self.api.client_as(SCENARIO)
    }

    /// Where operators find it.
    pub(crate) fn url(&self) -> http::Uri {
        format!("http://{}", self.address).parse().expect("URL")
    }

    /// A client for what an operator does once.
    pub(crate) fn operator_client(&self) -> Client {
        Client::try_from(Config::new(self.url())).expect("client")
    }

    /// Operators can't reach the server any more, and their watches break.
    pub(crate) async fn close(&mut self) {
        self.serving.take().expect("it is open").shutdown().await;
    }

    /// They can reach it again, where it was.
    pub(crate) fn open(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the same port");
        self.serving = Some(self.api.serve(listener).expect("serving"));
    }

    /// Requests of operators.
    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        let requests = self.api.requests();
        requests
            .all()
            .iter()
            .filter(|request| request.user_agent != SCENARIO)
            .cloned()
            .collect()
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.api.inject(fault);
    }

    pub(crate) fn expire_watches(&self) {
        self.api.expire_watches();
    }
}
