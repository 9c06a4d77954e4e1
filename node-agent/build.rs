//! Embeds the eBPF object that `cargo xtask build` has made. Without one the crate still builds, checks and tests: the agent
//! then says at run time that it has no datapath.

use std::{env, fs, path::PathBuf};

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let object = manifest.join("../target/bpf/kpr-bpf.o");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("kpr-bpf.o");
    // A file that does not exist yet counts as changed once it does.
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = fs::read(&object).unwrap_or_default();
    fs::write(&out, bytes).expect("cargo's output directory is writable");
}
