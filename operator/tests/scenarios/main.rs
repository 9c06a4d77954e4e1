//! The operator against an API server: named scenarios, each saying what is written and what is not.

mod support;

mod delete;
mod election;
mod failures;
mod kube_proxy;
mod nodes;
mod once;
mod pools;
mod rollout;
mod skew;
mod status;
