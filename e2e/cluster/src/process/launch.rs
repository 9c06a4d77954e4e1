//! Starting a command in the right network namespace and cgroup.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CloneFlags, setns},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{getppid, write},
};
use tokio::process::Command;

use super::{Output, Process, Session, spawner};
use crate::{cgroup::Cgroup, interrupt, net::Netns};

/// A command to start.
///
/// The cgroup of a socket is that of its creator at `socket()`, so the child joins its cgroup (and its namespace)
/// between fork and exec, before it can have opened any.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Whether it has this process' environment too.
    inherits: bool,
    directory: Option<PathBuf>,
    netns: Option<Netns>,
    cgroup: Option<Cgroup>,
}

impl Launch {
    /// Starts `program` with no arguments, in the namespace and cgroup of this process unless told otherwise.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            inherits: true,
            directory: None,
            netns: None,
            cgroup: None,
        }
    }

    /// The same surroundings for another program.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives it these environment variables and no others.
    #[must_use]
    pub fn only_env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.inherits = false;
        let variables = variables.into_iter();
        self.environment = variables.map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Puts the process into a network namespace.
    #[must_use]
    pub fn in_netns(mut self, netns: &Netns) -> Self {
        self.netns = Some(netns.clone());
        self
    }

    /// Puts the process into a cgroup.
    #[must_use]
    pub fn in_cgroup(mut self, cgroup: &Cgroup) -> Self {
        self.cgroup = Some(cgroup.clone());
        self
    }

    /// The program and its arguments, as typed.
    pub fn command_line(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        self.arguments.iter().fold(program.into_owned(), |line, argument| {
            line + " " + &argument.to_string_lossy()
        })
    }

    /// Starts it, with its output appended to the file `log`.
    pub async fn spawn(self, log: &Path) -> Result<Process> {
        let permit = interrupt::permit();
        if let Some(directory) = log.parent() {
            fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("open {}", log.display()))?;
        drop(permit);
        let name = self.command_line();
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = spawner::spawn(command).await.with_context(|| format!("start {name}"))?;
        Ok(Process::new(name, child, log.to_owned()))
    }

    /// Runs it to its end and returns what it printed.
    pub async fn output(self) -> Result<Output> {
        let name = self.command_line();
        let mut command = self.command()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = spawner::spawn(command).await.with_context(|| format!("start {name}"))?;
        let output = child.wait_with_output().await?;
        Ok(Output::new(name, &output))
    }

    /// Starts it for a conversation over its standard input and output.
    pub async fn session(self) -> Result<Session> {
        let name = self.command_line();
        let mut command = self.command()?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let child = spawner::spawn(command).await.with_context(|| format!("start {name}"))?;
        Session::new(name, child)
    }

    fn command(self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        if !self.inherits {
            command.env_clear();
        }
        command.args(&self.arguments).envs(self.environment).kill_on_drop(true);
        // A Ctrl-C on the terminal is for this process alone: it ends the others in its own order.
        command.process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let netns = self.netns.as_ref().map(Netns::open).transpose()?;
        let cgroup = self.cgroup.as_ref().map(open_procs).transpose()?;
        let parent = nix::unistd::getpid();
        // SAFETY: the closure only makes system calls on descriptors that were opened before the fork; it neither
        // allocates nor takes locks.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                if getppid() != parent {
                    // The parent died before the line above: nobody would end this child.
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                if let Some(procs) = &cgroup {
                    // "0" stands for the process that writes.
                    write(procs, b"0")?;
                }
                if let Some(netns) = &netns {
                    setns(netns, CloneFlags::CLONE_NEWNET)?;
                }
                Ok(())
            });
        }
        Ok(command)
    }
}

fn open_procs(cgroup: &Cgroup) -> Result<OwnedFd> {
    let file = File::options().write(true).open(cgroup.procs());
    let file = file.with_context(|| format!("open {}", cgroup.procs().display()))?;
    Ok(file.into())
}
