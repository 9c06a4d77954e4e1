//! Embeds the eBPF objects that `cargo xtask build` has made. Without them the crate still builds, checks and tests: the agent
//! then says at run time that it has no datapath.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The programs as they run, and as they tell what they do.
const OBJECTS: [&str; 2] = ["kpr-bpf.o", "kpr-bpf-events.o"];

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for name in OBJECTS {
        embed(&manifest.join("../target/bpf").join(name), &out.join(name));
    }
}

fn embed(object: &Path, out: &Path) {
    // A file that does not exist yet counts as changed once it does.
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = fs::read(object).unwrap_or_default();
    fs::write(out, bytes).expect("cargo's output directory is writable");
}
