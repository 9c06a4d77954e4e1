//! Embeds the eBPF objects that `cargo xtask build` has made. Without them the crate still builds, checks and tests: the agent
//! then says at run time that it has no datapath.

use object::{
    build::elf::{Builder, SectionData},
    elf,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The programs as they run; as they tell what they do, and count what Services are asked.
const OBJECTS: [&str; 4] = [
    "kpr-bpf.o",
    "kpr-bpf-events.o",
    "kpr-bpf-counts.o",
    "kpr-bpf-counts-events.o",
];

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
    let bytes = fs::read(object).map_or_else(|_| Vec::new(), |bytes| without_debug_info(&bytes));
    fs::write(out, bytes).expect("cargo's output directory is writable");
}

/// Four fifths of an object are for debuggers; what the kernel is told of types and lines stands in the BTF.
fn without_debug_info(object: &[u8]) -> Vec<u8> {
    let mut builder = Builder::read(object).expect("bpf-linker writes ELF");
    for section in &mut builder.sections {
        let name = section.name.strip_prefix(b".rel").unwrap_or(&section.name);
        section.delete |= name.starts_with(b".debug_");
    }
    builder.delete_orphans();
    // LLVM has the names of sections and symbols in one, which can't be written so.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut bytes = Vec::new();
    builder.write(&mut bytes).expect("what was read can be written");
    bytes
}
