//! An in-memory Kubernetes API server for kpr's tests and demo.
//!
//! It speaks enough of the real protocol for kube-rs controllers and for `kubectl`: CRUD with one global
//! resourceVersion, watches, patches of all kinds, server-side apply, CRDs with validation, tables, discovery and
//! OpenAPI. Controllers (Deployments, EndpointSlices, kubelets) are clients of it, not parts of it.
//! What it does not do it refuses with a `Status`; it never pretends.
//!
//! What a real cluster leaves to controllers and happens here inside the write: garbage collection by owner
//! references, namespace and CRD clean-up, and the `Established` condition of CRDs.

mod alloc;
mod base64;
mod discovery;
mod error;
mod events;
mod faults;
mod field;
mod fields;
mod http;
mod jsonpath;
mod kinds;
mod managed;
mod names;
mod object;
mod openapi;
mod options;
mod patch;
mod protobuf;
mod requests;
mod resource;
mod schema;
mod select;
mod server;
mod state;
mod store;
mod table;
mod write;

pub use error::ApiError;
pub use faults::Fault;
pub use options::Options;
pub use requests::{RequestLog, RequestRecord};
pub use server::{ApiServer, Serving, kubeconfig};
