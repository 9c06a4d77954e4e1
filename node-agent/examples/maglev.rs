//! How long Maglev tables take: 1,000 Services of 100 backends each, tables of 16,381 slots, on one core.
//!
//! ```console
//! cargo run --release -p kpr-node-agent --example maglev
//! ```

use std::{
    hint::black_box,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use kpr_abi::{BackendValue, Be16, TableSize, V4, proto};
use kpr_node_agent::{maglev::Member, plan::SlotRun};

const SERVICES: u32 = 1_000;
const BACKENDS: u32 = 100;
const SLOTS: u32 = 16_381;

fn main() -> Result<()> {
    let size = TableSize::of(SLOTS).context("not a size of Maglev tables")?;
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for service in 0..SERVICES {
        let begun = Instant::now();
        let backends = (1..=BACKENDS).map(|n| {
            let value = BackendValue {
                addr: Ipv4Addr::from_bits(0x0a00_0000 + service * 256 + n).into(),
                port: Be16::new(8080),
                proto: proto::TCP,
                flags: 0,
            };
            (service * BACKENDS + n, Member::new::<V4>(&value))
        });
        black_box(SlotRun::with_table(size, backends).slots());
        longest = longest.max(begun.elapsed());
    }
    let all = begun.elapsed();
    println!(
        "{SERVICES} tables of {SLOTS} slots for {BACKENDS} backends: {all:.2?}; {:.2?} each, {longest:.2?} the longest",
        all / SERVICES
    );
    Ok(())
}
