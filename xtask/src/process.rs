//! Running other programs: every child leads a process group of its own, and a signal that xtask gets is passed on to
//! the whole group, which is then waited for. So `cargo test` and the test binary under it both get to clean up.

mod group;

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::interrupt;

/// How often a waiting xtask looks at its child and at the signals.
const POLL: Duration = Duration::from_millis(20);
/// How long children may clean up after a signal before they are killed.
const GRACE: Duration = Duration::from_mins(1);
/// How long after its leader a process group may last when nobody has interrupted it.
const LINGER: Duration = Duration::from_secs(2);

/// Run to the end with this process's output; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    interrupt::check()?;
    let status = status(command)?;
    interrupt::check()?;
    succeeded(command, status)
}

/// As [`run`], but the child is ended, and an error returned, if it takes longer than `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    interrupt::check()?;
    let status = spawn(command)
        .and_then(|child| wait(child, Some(limit)))
        .with_context(|| during(command))?;
    interrupt::check()?;
    succeeded(command, status)
}

/// Run to the end with this process's output, and leave it to the caller what the exit code, or a signal that was
/// passed on, means. Works after an interrupt too, for cleaning up.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    spawn(command)
        .and_then(|child| wait(child, None))
        .with_context(|| during(command))
}

/// Run with stdout passed through line by line, each line shown to `look` on the way.
pub(crate) fn run_watched(command: &mut Command, mut look: impl FnMut(&str) + Send) -> Result<ExitStatus> {
    listen(command, None, move |bytes| {
        io::stdout().write_all(bytes)?;
        look(String::from_utf8_lossy(bytes).trim_end());
        Ok(())
    })
}

/// Run with each line of stdout shown to `look` and to nobody else. The child is ended, and an error returned, if it takes
/// longer than `limit`.
pub(crate) fn run_listened(
    command: &mut Command,
    limit: Option<Duration>,
    mut look: impl FnMut(&str) + Send,
) -> Result<ExitStatus> {
    listen(command, limit, move |bytes| {
        look(String::from_utf8_lossy(bytes).trim_end());
        Ok(())
    })
}

fn listen(
    command: &mut Command,
    limit: Option<Duration>,
    take: impl FnMut(&[u8]) -> io::Result<()> + Send,
) -> Result<ExitStatus> {
    interrupt::check()?;
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let stdout = child.stdout.take().context("a piped stdout is missing")?;
    thread::scope(|scope| {
        let reader = scope.spawn(move || each_line(BufReader::new(stdout), take));
        let status = wait(child, limit).with_context(|| during(command));
        match reader.join() {
            Ok(read) => read.with_context(|| format!("cannot read what `{}` prints", line(command)))?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        interrupt::check()?;
        status
    })
}

/// The stdout of a quick command that must succeed; its stderr is part of the error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", line(command)))
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn each_line(mut from: impl BufRead, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes)? > 0 {
        take(&bytes)?;
        bytes.clear();
    }
    Ok(())
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    ensure!(status.success(), "`{}` failed ({status})", line(command));
    Ok(())
}

fn during(command: &Command) -> String {
    format!("while `{}` ran", line(command))
}

fn cannot_start(command: &Command) -> String {
    format!(
        "cannot start `{}`: is it installed and on PATH?",
        command.get_program().to_string_lossy()
    )
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| cannot_start(command))
}

/// Wait for the leader of a process group, and pass signals on to all of it. When this returns the group is gone: a
/// signal ends `cargo test` at once, but the test under it may have a cluster to take down.
fn wait(mut child: Child, limit: Option<Duration>) -> Result<ExitStatus> {
    let group = group::of(&child)?;
    let start = Instant::now();
    let (mut passed_on, _) = interrupt::seen();
    let mut ended: Option<ExitStatus> = None;
    let mut kill_at = limit.map(|limit| start + limit);
    let mut interrupted = false;
    loop {
        if ended.is_none()
            && let Some(status) = child.try_wait()?
        {
            ended = Some(status);
            if !interrupted {
                kill_at = Some(Instant::now() + LINGER);
            }
        }
        if let Some(status) = ended
            && !group::is_alive(group)
        {
            return Ok(status);
        }
        let (seen, last) = interrupt::seen();
        if seen > passed_on {
            passed_on = seen;
            if !interrupted {
                interrupted = true;
                kill_at = Some(Instant::now() + GRACE);
            }
            group::signal(group, last.unwrap_or(Signal::SIGTERM));
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            group::signal(group, Signal::SIGKILL);
            let status = child.wait()?;
            ensure!(
                ended.is_none() || interrupted,
                "it ended but left processes running, which were killed"
            );
            ensure!(interrupted, "gave up after {} s", start.elapsed().as_secs());
            return Ok(ended.unwrap_or(status));
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_are_shown_to_the_caller_and_the_exit_code_is_reported() {
        let mut lines = Vec::new();
        let status = run_watched(&mut shell("echo one; echo two; exit 3"), |line| {
            lines.push(line.to_owned());
        })
        .unwrap();
        assert_eq!(
            (lines, status.code()),
            (vec!["one".to_owned(), "two".to_owned()], Some(3))
        );
    }

    #[test]
    fn a_child_that_is_listened_to_too_long_is_ended_and_was_heard() {
        let mut lines = Vec::new();
        let limit = Some(Duration::from_millis(200));
        let error = run_listened(&mut shell("echo one; sleep 1000"), limit, |line| {
            lines.push(line.to_owned());
        });
        assert!(format!("{:#}", error.unwrap_err()).contains("gave up after"));
        assert_eq!(lines, ["one"]);
    }

    #[test]
    fn a_child_that_takes_too_long_is_ended() {
        let error = run_within(&mut shell("sleep 1000"), Duration::from_millis(100)).unwrap_err();
        assert!(format!("{error:#}").contains("gave up after"), "{error:#}");
    }

    #[test]
    fn processes_that_a_child_leaves_running_are_ended_and_told() {
        let error = run_watched(&mut shell("sleep 1000 & exit 0"), |_| {}).unwrap_err();
        assert!(format!("{error:#}").contains("left processes running"), "{error:#}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("/no/such/program")).unwrap_err();
        assert!(
            format!("{error:#}").contains("is it installed and on PATH"),
            "{error:#}"
        );
    }
}
