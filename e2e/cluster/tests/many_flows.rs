//! Very many flows through one NodePort.

use anyhow::Result;
use kpr_cluster::scenario::{many_flows, with_kpr, without_kpr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_flows_of_each_protocol_share_no_tuple() -> Result<()> {
    with_kpr(many_flows::ten_thousand_flows_of_each_protocol_share_no_tuple).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_port_range_flows_are_refused_and_it_is_told() -> Result<()> {
    without_kpr(many_flows::beyond_the_port_range_flows_are_refused_and_it_is_told).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_port_range_no_datagram_is_misdelivered() -> Result<()> {
    without_kpr(many_flows::beyond_the_port_range_no_datagram_is_misdelivered).await
}
