//! Requests as a script writes them.

use http::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::Value;

/// One request to an API server.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(http::HeaderName, &'static str)>,
    pub(crate) body: String,
}

fn request(method: Method, path: impl Into<String>) -> Request {
    Request {
        method,
        path: path.into(),
        headers: Vec::new(),
        body: String::new(),
    }
}

pub(crate) fn get(path: impl Into<String>) -> Request {
    request(Method::GET, path)
}

pub(crate) fn post(path: impl Into<String>, body: &Value) -> Request {
    request(Method::POST, path)
        .body(body.to_string())
        .content("application/json")
}

pub(crate) fn put(path: impl Into<String>, body: &Value) -> Request {
    request(Method::PUT, path)
        .body(body.to_string())
        .content("application/json")
}

pub(crate) fn delete(path: impl Into<String>) -> Request {
    request(Method::DELETE, path)
}

/// DELETE with DeleteOptions.
pub(crate) fn delete_with(path: impl Into<String>, options: &Value) -> Request {
    delete(path).body(options.to_string()).content("application/json")
}

/// PATCH with a patch of this kind: `merge`, `json`, `strategic` or `apply`.
pub(crate) fn patch(kind: &str, path: impl Into<String>, body: &Value) -> Request {
    let content = match kind {
        "json" => "application/json-patch+json",
        "strategic" => "application/strategic-merge-patch+json",
        "apply" => "application/apply-patch+yaml",
        _ => "application/merge-patch+json",
    };
    request(Method::PATCH, path).body(body.to_string()).content(content)
}

impl Request {
    /// With these words as its body, whatever they are.
    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn content(self, content: &'static str) -> Self {
        self.header(CONTENT_TYPE, content)
    }

    pub(crate) fn accept(self, accept: &'static str) -> Self {
        self.header(ACCEPT, accept)
    }

    /// The answer as `kubectl get` asks for it.
    pub(crate) fn tabular(self) -> Self {
        self.accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    }

    fn header(mut self, name: http::HeaderName, value: &'static str) -> Self {
        self.headers.retain(|(known, _value)| *known != name);
        self.headers.push((name, value));
        self
    }
}
