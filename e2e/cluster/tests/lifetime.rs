//! A cluster goes with the process that made it, however that process ends.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use kpr_cluster::{id::ClusterId, teardown};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// `kpr-cluster up` in a process of its own.
struct Up {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Up {
    fn start() -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kpr-cluster"));
        let mut process = command.args(["up", "--without-kpr"]).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Self { process, output })
    }

    /// The cluster that it makes, as soon as there is anything of it.
    fn cluster(&self) -> Result<ClusterId> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mine = teardown::clusters()?
                .into_iter()
                .find(|(_id, owner)| owner.pid == self.process.id());
            if let Some((id, _owner)) = mine {
                return Ok(id);
            }
            ensure!(Instant::now() < deadline, "no cluster appears");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_until_it_stands(&mut self) -> Result<()> {
        let lines = self.output.by_ref().lines();
        let stands = lines
            .map_while(Result::ok)
            .any(|line| line.contains("stays until Ctrl-C"));
        ensure!(stands, "it ended too soon");
        Ok(())
    }

    fn end(mut self, signal: Signal) -> Result<Option<i32>> {
        kill(Pid::from_raw(i32::try_from(self.process.id())?), signal)?;
        Ok(self.process.wait()?.code())
    }
}

#[test]
fn ctrl_c_removes_a_cluster_that_stands() -> Result<()> {
    let mut up = Up::start()?;
    up.wait_until_it_stands()?;
    let id = up.cluster()?;
    ensure!(!teardown::leftovers(&id).is_empty(), "there is nothing to remove");
    ensure!(
        up.end(Signal::SIGINT)? == Some(0),
        "Ctrl-C is the way it is meant to end"
    );
    ensure!(teardown::leftovers(&id).is_empty(), "{:?}", teardown::leftovers(&id));
    Ok(())
}

#[test]
fn sigterm_removes_a_cluster_that_is_being_built() -> Result<()> {
    // At different moments of the building.
    for milliseconds in [0, 5, 10, 20, 40, 60, 80, 100] {
        let up = Up::start()?;
        let id = up.cluster()?;
        std::thread::sleep(Duration::from_millis(milliseconds));
        let code = up.end(Signal::SIGTERM)?;
        // 0 if it stood already: then an interrupt is its normal end.
        ensure!(
            [Some(128 + Signal::SIGTERM as i32), Some(0)].contains(&code),
            "{code:?}"
        );
        ensure!(
            teardown::leftovers(&id).is_empty(),
            "{milliseconds} ms: {:?}",
            teardown::leftovers(&id)
        );
    }
    Ok(())
}

#[test]
fn what_a_killed_run_leaves_is_swept() -> Result<()> {
    let mut up = Up::start()?;
    up.wait_until_it_stands()?;
    let id = up.cluster()?;
    up.end(Signal::SIGKILL)?;
    ensure!(
        !teardown::leftovers(&id).is_empty(),
        "a killed run removes nothing itself"
    );
    let status = Command::new(env!("CARGO_BIN_EXE_kpr-cluster"))
        .arg("sweep")
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "{status}");
    ensure!(teardown::leftovers(&id).is_empty(), "{:?}", teardown::leftovers(&id));
    Ok(())
}
