//! What the kernel says of this process, under the names that every client library of Prometheus uses.

use std::fmt;

use procfs::{ProcResult, WithCurrentSystemInfo as _, process::Process as Entry};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::writer::Writer;

/// Reads `/proc/self` when asked.
#[derive(Debug)]
pub(super) struct Process;

struct Reading {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_fds: u64,
    start_seconds: f64,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        // A process without /proc goes without these.
        let Ok(reading) = read() else { return Ok(()) };
        let mut writer = Writer::new(encoder);
        writer.counter(
            "process_cpu_seconds",
            "Processor time of the agent, in user space and in the kernel",
            reading.cpu_seconds,
        )?;
        writer.gauge(
            "process_resident_memory_bytes",
            "Memory of the agent that is in RAM",
            reading.resident_bytes,
        )?;
        writer.gauge(
            "process_virtual_memory_bytes",
            "Address space of the agent",
            reading.virtual_bytes,
        )?;
        writer.gauge("process_open_fds", "Files that the agent has open", reading.open_fds)?;
        writer.gauge(
            "process_start_time_seconds",
            "When the agent started, in seconds since 1970",
            reading.start_seconds,
        )
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ticks since the start, and seconds since 1970"
)]
fn read() -> ProcResult<Reading> {
    let process = Entry::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let boot = procfs::boot_time_secs()? as f64;
    Ok(Reading {
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
        resident_bytes: stat.rss_bytes().get(),
        virtual_bytes: stat.vsize,
        open_fds: u64::try_from(process.fd_count()?).unwrap_or(u64::MAX),
        start_seconds: boot + stat.starttime as f64 / ticks,
    })
}
