//! `cargo xtask image`: one small image with the operator, the agent, `kpr` and `kubectl kpr`, as an OCI archive, without a Docker daemon.
//!
//! Two builds of the same commit with the same toolchain are the same bytes: paths of this machine are not in the binaries, times
//! are the commit's, and lists are sorted.

pub(crate) mod binaries;
mod buildah;
pub(crate) mod git;
mod platform;
pub(crate) mod root;
mod sbom;

use std::{fs, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context, Result, ensure};

pub(crate) use self::platform::Platform;
use self::{buildah::Buildah, root::Content};
use crate::{apt, build, cli::ImageArgs, console, layout::Layout, probe, toolchain::ToolchainChoice};

pub(crate) fn run(layout: &Layout, arguments: &ImageArgs, choice: ToolchainChoice) -> Result<ExitCode> {
    probe::require_root("building an image with buildah")?;
    if probe::on_path("buildah").is_none() {
        apt::install(&["buildah"], "the program that packs images; some seconds")?;
    }
    let platforms = Platform::ready(&arguments.platforms)?;
    build::bpf(layout, choice)?;
    let directory = layout.root.join("target/image");
    let origin = git::origin(&layout.root)?;
    let mut contents = Vec::new();
    for &platform in &platforms.ready {
        let built = binaries::build(layout, platform, &binaries::IMAGE)?;
        let content = root::lay_out(layout, &directory, platform, &built, &sbom::of(layout, platform)?)?;
        contents.push(content);
    }
    let archive = directory.join("kpr.oci.tar");
    let digest = pack(&directory, &archive, &contents, &origin)?;
    if arguments.verify {
        let again = directory.join("kpr.again.oci.tar");
        let second = pack(&directory, &again, &contents, &origin)?;
        fs::remove_file(&again).with_context(|| format!("cannot remove {}", again.display()))?;
        ensure!(digest == second, "packed twice, it is {digest} and then {second}");
        console::note("packed twice, with the same digest");
    }
    report(&archive, &digest, &contents)?;
    Ok(platforms.exit())
}

/// Checks the programs of this machine's image without building them; what is missing if that can't be.
pub(crate) fn lint(layout: &Layout) -> Result<Option<String>> {
    let Some(platform) = Platform::own() else {
        return Ok(Some("there are no images for this machine's architecture".to_owned()));
    };
    let missing = platform.prepare()?;
    if missing.is_none() {
        binaries::lint(layout, platform)?;
    }
    Ok(missing)
}

/// Packs the image into the archive; its digest.
fn pack(directory: &Path, archive: &Path, contents: &[Content], origin: &git::Origin) -> Result<String> {
    let start = Instant::now();
    console::step("Packing the image with buildah");
    let buildah = Buildah::in_directory(directory)?;
    let digest = buildah.pack(archive, contents, origin)?;
    console::note(&format!("packed ({})", console::duration(start.elapsed())));
    Ok(digest)
}

fn report(archive: &Path, digest: &str, contents: &[Content]) -> Result<()> {
    let size = |path: &Path| {
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()));
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        metadata.map(|metadata| metadata.len() as f64 / 1_048_576.0)
    };
    println!("image    {}", archive.display());
    println!("size     {:.1} MiB", size(archive)?);
    println!("digest   {digest}");
    for content in contents {
        println!("sbom     {} ({})", content.sbom.display(), content.platform);
        for binary in &content.binaries {
            let name = binary.file_name().unwrap_or_default().to_string_lossy();
            println!("         {name} {:.1} MiB", size(binary)?);
        }
    }
    Ok(())
}
