//! Answers: status, headers and body, as kube-proxy has them to the byte.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::ser::PrettyFormatter;

use super::{Moment, ProxyHealth};
use crate::{metrics, model::NamespacedName};

/// How many endpoints a node has, for load balancers that weigh nodes by it.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers that say something; the server adds those of HTTP itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: String,
}

impl Answer {
    /// `/healthz`: healthy, and the Node is here to stay.
    pub fn healthz(health: &ProxyHealth, node_eligible: bool, now: Moment) -> Self {
        Self::proxy(health, Some(node_eligible), now)
    }

    /// `/livez`: healthy, whatever becomes of the Node.
    pub fn livez(health: &ProxyHealth, now: Moment) -> Self {
        Self::proxy(health, None, now)
    }

    fn proxy(health: &ProxyHealth, node_eligible: Option<bool>, now: Moment) -> Self {
        let ok = health.healthy && node_eligible.unwrap_or(true);
        let status = |family: &super::FamilyHealth| FamilyStatus {
            last_updated: family.last_updated,
            healthy: family.healthy,
        };
        let body = ProxyStatus {
            // Old releases updated it with every turn of their loop, changes or not; who is well still answers "just now".
            last_updated: GoTime(if ok { Some(now.time) } else { health.last_updated }),
            current_time: now.time,
            node_eligible,
            healthy: health.healthy,
            status: health.families.iter().map(|(name, f)| (*name, status(f))).collect(),
        };
        Self {
            status: code(ok),
            headers: vec![(CONTENT_TYPE, JSON), (X_CONTENT_TYPE_OPTIONS, NOSNIFF)],
            // Not reachable: strings, times and booleans have a JSON form.
            body: serde_json::to_string(&body).unwrap_or_default(),
        }
    }

    /// Any path of a Service's `healthCheckNodePort`: the proxy is healthy and has local endpoints.
    pub fn health_check(service: &NamespacedName, local_endpoints: usize, healthy: bool) -> Self {
        let body = ServiceStatus {
            service: ServiceName {
                namespace: &service.namespace,
                name: &service.name,
            },
            local_endpoints,
            service_proxy_healthy: healthy,
        };
        Self {
            status: code(healthy && local_endpoints > 0),
            headers: vec![
                (CONTENT_TYPE, JSON),
                (X_CONTENT_TYPE_OPTIONS, NOSNIFF),
                (WEIGHT, local_endpoints.into()),
            ],
            body: indented(&body),
        }
    }

    /// `/proxyMode`.
    pub fn proxy_mode() -> Self {
        Self::text(StatusCode::OK, super::MODE)
    }

    /// `/healthz` of the metrics port: somebody is there, and no more.
    pub fn ping() -> Self {
        Self::text(StatusCode::OK, "ok")
    }

    /// `/metrics`.
    pub fn metrics(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))],
            body: text,
        }
    }

    /// Any other path.
    pub fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }

    fn text(status: StatusCode, body: &str) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, TEXT), (X_CONTENT_TYPE_OPTIONS, NOSNIFF)],
            body: body.to_owned(),
        }
    }
}

impl From<Answer> for Response<Full<Bytes>> {
    fn from(answer: Answer) -> Self {
        let mut response = Response::new(Full::from(answer.body));
        *response.status_mut() = answer.status;
        response.headers_mut().extend(answer.headers);
        response
    }
}

fn code(ok: bool) -> StatusCode {
    if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// kube-proxy indents with tabs here, and nowhere else.
fn indented(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut json = serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"\t"));
    // Not reachable, both: strings, numbers and booleans have a JSON form, and JSON is UTF-8.
    if value.serialize(&mut json).is_err() {
        return String::new();
    }
    String::from_utf8(bytes).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyStatus {
    last_updated: GoTime,
    current_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<&'static str, FamilyStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyStatus {
    last_updated: Timestamp,
    healthy: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceStatus<'a> {
    service: ServiceName<'a>,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct ServiceName<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// A time that never was is the year 1, as Go has it.
struct GoTime(Option<Timestamp>);

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(time) => time.serialize(serializer),
            None => serializer.serialize_str("0001-01-01T00:00:00Z"),
        }
    }
}
