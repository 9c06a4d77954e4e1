//! Owning a cluster id: everything that bears it goes when the claim does, however that comes about.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};

use crate::{
    id::{ClusterId, STATE_ROOT},
    interrupt,
    owner::Owner,
    teardown,
};

/// Tries at finding a free id before giving up.
const ATTEMPTS: usize = 64;

/// An id in use by this process. Dropping it removes everything that bears the id.
#[derive(Debug)]
pub struct Claim {
    id: ClusterId,
}

impl Claim {
    /// Takes a free id, with its run directory and a bpffs of its own. From here on Ctrl-C cleans up first.
    pub fn take() -> Result<Self> {
        interrupt::watch()?;
        fs::create_dir_all(STATE_ROOT).with_context(|| format!("make {STATE_ROOT}"))?;
        for _ in 0..ATTEMPTS {
            let id = ClusterId::random();
            if let Some(claim) = Self::try_take(id)? {
                let bpffs = claim.bpffs();
                let _permit = interrupt::permit();
                fs::create_dir(&bpffs)?;
                mount(None::<&str>, &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>)
                    .with_context(|| format!("mount a bpf file system at {}", bpffs.display()))?;
                return Ok(claim);
            }
        }
        bail!("no free cluster id below {STATE_ROOT}: run `kpr-cluster sweep`")
    }

    /// The directory appears together with its state file, so a sweep never sees a claim without an owner.
    fn try_take(id: ClusterId) -> Result<Option<Self>> {
        let _permit = interrupt::permit();
        let owner = Owner::current()?;
        let staging = PathBuf::from(STATE_ROOT).join(format!(".claim-{}-{id}", owner.pid));
        fs::create_dir(&staging).with_context(|| format!("make {}", staging.display()))?;
        owner.write(&staging)?;
        match fs::rename(&staging, id.run_dir()) {
            Ok(()) => {
                interrupt::register(&id);
                Ok(Some(Self { id }))
            }
            Err(error) => {
                fs::remove_dir_all(&staging)?;
                match error.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Ok(None),
                    _ => Err(error).context("claim a cluster id"),
                }
            }
        }
    }

    /// The id.
    pub fn id(&self) -> &ClusterId {
        &self.id
    }

    /// A bpffs that only this cluster uses.
    pub fn bpffs(&self) -> PathBuf {
        self.id.run_dir().join(teardown::BPFFS)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _permit = interrupt::permit();
        if let Err(error) = teardown::remove(&self.id) {
            eprintln!("clean-up of cluster {} failed: {error:#}", self.id);
        }
        interrupt::unregister(&self.id);
    }
}
