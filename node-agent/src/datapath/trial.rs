//! Runs the live packet programs on a packet without sending it (`BPF_PROG_TEST_RUN`): for tests, and to explain what would
//! happen to a packet.

use super::{Error, kernel::Datapath, packet_hooks, xdp};
use aya::{
    TestRun,
    programs::{ProgramError, ProgramFd, SchedClassifier, TestRunOptions, TestRunResult, Xdp},
};
use std::time::Duration;

/// Which way a packet passes an external device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the network.
    Ingress,
    /// From a pod, by a pod-facing device.
    PodIngress,
    /// To the network.
    Egress,
}

/// What a program did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on: to the next program, then to the stack or the wire.
    Next,
    /// Dropped.
    Drop,
    /// Sent out by the program.
    Redirect,
    /// Sent back out by the device that it came in by (XDP).
    Transmit,
    /// Anything else; kpr's programs never return it.
    Other(i32),
}

/// Outcome of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What became of the packet.
    pub verdict: Verdict,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// How long the program ran.
    pub took: Duration,
}

/// Longest packet that a trial takes: the kernel's own limit is a page less head- and tailroom.
const LONGEST: usize = 3_500;

impl Datapath {
    /// Runs the program of this side on an Ethernet frame, as if it passed the device of this index. Maps are the live ones:
    /// a packet that begins a flow leaves its entries there.
    pub fn trial(&self, side: Side, packet: &[u8], ifindex: u32) -> Result<Trial, Error> {
        run(self.classifier(side)?, packet_hooks::name(side), packet, ifindex)
    }

    /// Runs the XDP program on an Ethernet frame, as if it came in by the device of this index. It must be loaded: on some device.
    pub fn trial_xdp(&self, frame: &[u8], ifindex: u32) -> Result<Trial, Error> {
        run_xdp(self.xdp()?, frame, ifindex)
    }

    /// As [`Self::descriptor`], of the XDP program.
    pub fn xdp_descriptor(&self) -> Result<&ProgramFd, Error> {
        self.xdp()?.fd().map_err(xdp_failed("find"))
    }

    fn xdp(&self) -> Result<&Xdp, Error> {
        let program = self.program(xdp::PROGRAM).ok_or(Error::Missing(xdp::PROGRAM))?;
        program.try_into().map_err(xdp_failed("find"))
    }

    /// The program of this side, for a program to jump to that measures it: one that makes the packet anew before each of many runs,
    /// as a trial of one run does not.
    pub fn descriptor(&self, side: Side) -> Result<&ProgramFd, Error> {
        self.classifier(side)?.fd().map_err(failed("find", side))
    }

    fn classifier(&self, side: Side) -> Result<&SchedClassifier, Error> {
        let name = packet_hooks::name(side);
        let program = self.program(name).ok_or(Error::Missing(name))?;
        program.try_into().map_err(failed("find", side))
    }
}

/// Runs a program on an Ethernet frame, as if it passed the device of this index.
pub(super) fn run(program: &SchedClassifier, name: &'static str, packet: &[u8], ifindex: u32) -> Result<Trial, Error> {
    pass(program, name, packet, &context(ifindex), |verdict| match verdict {
        -1 => Verdict::Next,
        2 => Verdict::Drop,
        7 => Verdict::Redirect,
        other => Verdict::Other(other),
    })
}

/// Runs the XDP program on an Ethernet frame, as if it came in by the device of this index.
pub(super) fn run_xdp(program: &Xdp, frame: &[u8], ifindex: u32) -> Result<Trial, Error> {
    pass(
        program,
        xdp::PROGRAM,
        frame,
        &xdp_context(frame, ifindex),
        |verdict| match verdict {
            1 => Verdict::Drop,
            2 => Verdict::Next,
            3 => Verdict::Transmit,
            4 => Verdict::Redirect,
            other => Verdict::Other(other),
        },
    )
}

/// Runs a program of either kind. `verdict`: what its number means.
fn pass<P>(
    program: &P,
    name: &'static str,
    packet: &[u8],
    context: &[u8],
    verdict: fn(i32) -> Verdict,
) -> Result<Trial, Error>
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    let mut out = vec![0; LONGEST];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_in: Some(context),
            ..TestRunOptions::new()
        })
        .map_err(|source| Error::Program {
            what: "run",
            program: name,
            source,
        })?;
    out.truncate(result.data_size_out as usize);
    #[expect(
        clippy::cast_possible_wrap,
        reason = "tc verdicts are signed, and those of XDP small numbers"
    )]
    let verdict = verdict(result.return_value as i32);
    Ok(Trial {
        verdict,
        packet: out,
        took: result.duration,
    })
}

fn failed(what: &'static str, side: Side) -> impl Fn(ProgramError) -> Error {
    move |source| Error::Program {
        what,
        program: packet_hooks::name(side),
        source,
    }
}

fn xdp_failed(what: &'static str) -> impl Fn(ProgramError) -> Error {
    move |source| Error::Program {
        what,
        program: xdp::PROGRAM,
        source,
    }
}

/// `struct xdp_md` (`include/uapi/linux/bpf.h`): where the frame begins and ends, and the device.
fn xdp_context(frame: &[u8], ifindex: u32) -> [u8; 24] {
    const END: usize = 4;
    const IFINDEX: usize = 12;
    let mut context = [0; 24];
    let end = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    context[END..END + 4].copy_from_slice(&end.to_ne_bytes());
    context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

/// The start of `struct __sk_buff` (`include/uapi/linux/bpf.h`): all zero but the device.
fn context(ifindex: u32) -> [u8; 44] {
    const IFINDEX: usize = 40;
    let mut context = [0; 44];
    context[IFINDEX..].copy_from_slice(&ifindex.to_ne_bytes());
    context
}
