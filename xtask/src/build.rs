//! `cargo xtask build`.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cli::BuildArgs,
    console,
    layout::Layout,
    probe, process,
    toolchain::{self, BpfRust, ToolchainChoice},
};

const TARGET: &str = "bpfel-unknown-none";
/// The programs that the node agent embeds, with and without what some ask for, and those that benchmarks measure them against. One object
/// each: what is measured against is never shipped.
const BINARIES: [&str; 5] = [
    "kpr-bpf",
    "kpr-bpf-events",
    "kpr-bpf-counts",
    "kpr-bpf-counts-events",
    "kpr-floor",
];

pub(crate) fn run(layout: &Layout, arguments: &BuildArgs, choice: ToolchainChoice) -> Result<()> {
    bpf(layout, choice)?;
    if !arguments.bpf_only {
        user_space(layout, arguments.release)?;
    }
    Ok(())
}

/// Build the eBPF objects. The file that the node agent embeds is only touched when its content changes.
pub(crate) fn bpf(layout: &Layout, choice: ToolchainChoice) -> Result<()> {
    let rust = toolchain::ready(layout, choice)?;
    let start = Instant::now();
    console::step(&format!("Building the eBPF programs with {}", rust.describe()));
    process::run(bpf_cargo(layout, &rust, "build")?.args(["--workspace", "--bins"]))
        .context("the eBPF programs do not build: see the message above")?;
    let built = layout.bpf_target().join(TARGET).join("release");
    for binary in BINARIES {
        let object = layout.object(binary);
        let fate = if replace_if_different(&built.join(binary), &object)? {
            "written"
        } else {
            "unchanged"
        };
        console::note(&format!(
            "{} {fate} ({})",
            object.display(),
            console::duration(start.elapsed())
        ));
    }
    Ok(())
}

/// `cargo SUBCOMMAND` for the eBPF workspace, with the flags that decide what code comes out.
pub(crate) fn bpf_cargo(layout: &Layout, rust: &BpfRust, subcommand: &str) -> Result<Command> {
    let workspace = layout.bpf_workspace();
    ensure!(
        workspace.join("Cargo.toml").exists(),
        "{} has no Cargo.toml: is this checkout complete?",
        workspace.display()
    );
    let mut command = rust.cargo();
    command
        .current_dir(workspace)
        .args([
            subcommand,
            "--release",
            "--target",
            TARGET,
            "-Zbuild-std=core",
            "--target-dir",
        ])
        .arg(layout.bpf_target())
        .env("PATH", probe::path_with(&layout.tools_bin()))
        .env("CARGO_ENCODED_RUSTFLAGS", encoded_flags(&layout.root));
    Ok(command)
}

fn encoded_flags(root: &Path) -> OsString {
    let [checkout, registry] = remapped(root);
    let flags: [OsString; 8] = [
        // aya-ebpf chooses struct pt_regs by it.
        r#"--cfg=bpf_target_arch="x86_64""#.into(),
        // By flag and not by profile: the kernel wants func_info of every function, those of `core` too.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // 32-bit jumps and ALU operations, atomics that return a value: Linux 5.12 and later.
        "-Ctarget-cpu=v3".into(),
        "-Clinker=bpf-linker".into(),
        // Or else bpf-linker has LLVM zero and copy structs by calls of loops, byte by byte: four instructions for each.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
        // The line information in the BTF is the same wherever the checkout and cargo's registry are.
        checkout,
        registry,
    ];
    flags.join("\x1f".as_ref())
}

/// Flags by which what is built is the same wherever the checkout and cargo's registry are.
pub(crate) fn remapped(root: &Path) -> [OsString; 2] {
    [remap(root, "."), remap(&cargo_home(), "cargo")]
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Where cargo keeps the sources of dependencies.
pub(crate) fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into()));
    env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}

/// Build the operator, the node agent, `kpr` and the test cluster.
pub(crate) fn user_space(layout: &Layout, release: bool) -> Result<()> {
    let start = Instant::now();
    console::step("Building the user-space binaries (the first time some minutes)");
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["build", "--workspace", "--exclude", "xtask", "--bins"]);
    if release {
        command.arg("--release");
    }
    process::run(&mut command).context("kpr does not build: see the message above")?;
    console::note(&format!("built ({})", console::duration(start.elapsed())));
    Ok(())
}

/// Copy a file over another unless they are equal; true if it was copied. Readers never see half a file.
fn replace_if_different(from: &Path, to: &Path) -> Result<bool> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let directory = to.parent().context("the target of a copy has no directory")?;
    let new: PathBuf = to.with_extension("new");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(&new, content))
        .and_then(|()| fs::rename(&new, to))
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn an_equal_file_is_not_touched_and_a_different_one_is_replaced() {
        let directory = std::env::temp_dir().join(format!("xtask-replace-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (from, to) = (directory.join("from"), directory.join("deeper/to"));
        fs::write(&from, "first").unwrap();
        assert!(replace_if_different(&from, &to).unwrap());

        let long_ago = SystemTime::now() - Duration::from_hours(1);
        fs::File::options()
            .append(true)
            .open(&to)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        assert!(!replace_if_different(&from, &to).unwrap());
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), long_ago);

        fs::write(&from, "second").unwrap();
        assert!(replace_if_different(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(&to).unwrap(), "second");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn flags_are_separated_by_the_byte_that_cargo_expects() {
        let flags = encoded_flags(Path::new("/src/kpr")).into_string().unwrap();
        let flags: Vec<&str> = flags.split('\x1f').collect();
        assert!(flags.contains(&"-Ctarget-cpu=v3"));
        assert!(flags.contains(&"--remap-path-prefix=/src/kpr=."));
    }
}
