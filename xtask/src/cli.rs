//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    image::Platform,
    kernels::{Group, Series},
    toolchain::ToolchainChoice,
};

/// What `kpr-cluster demo --shape` takes. It is told again here, because that program is built only after these words are read.
const SHAPES: [&str; 7] = [
    "bridge",
    "ptp",
    "vxlan",
    "flannel",
    "policy-routed",
    "cni-bridge",
    "cni-ptp",
];
/// What `kpr-cluster demo --families` takes.
const FAMILIES: [&str; 4] = ["ipv4", "ipv6", "dual-stack", "dual-stack-ipv6-first"];

/// Set up, build, try and test kpr.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_version_flag = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Which Rust toolchain builds the eBPF programs.
    #[arg(long, value_enum, global = true, default_value_t = ToolchainChoice::Auto, env = "KPR_BPF_TOOLCHAIN")]
    pub(crate) bpf_toolchain: ToolchainChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find the tools that kpr is built and tested with, and install what is missing.
    ///
    /// Needs root for Debian packages. Takes less than a second when everything is there, and two to six minutes on a
    /// fresh machine. Tools that are built from source go into target/tools and nowhere else.
    Setup,
    /// Build the eBPF object, then the operator, the node agent and the test cluster.
    Build(BuildArgs),
    /// Write the files that are generated: the CRDs in crds/ from the Rust types, and what the Helm chart has of them and of its
    /// own values.yaml; the manual pages of kpr in docs/man; and what kubectl's plugin knows of kpr's command line.
    Codegen {
        /// Write nothing; fail if a generated file is not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Show kpr at work in a two-node cluster of network namespaces on this machine (needs root).
    ///
    /// Sets up and builds what is missing first. Everything is removed at the end, also on Ctrl-C.
    Demo {
        /// Leave the cluster up until Ctrl-C, and print how to use it.
        #[arg(long)]
        keep: bool,
        /// How pods and nodes are wired (docs/architecture.md says after which CNIs).
        #[arg(long, value_parser = SHAPES, default_value = SHAPES[0])]
        shape: String,
        /// The address families of nodes, pods and Services.
        #[arg(long, value_parser = FAMILIES, default_value = FAMILIES[0])]
        families: String,
    },
    /// Run the checks and tests that CI runs, and print a summary (eBPF and end-to-end stages need root).
    Test {
        /// Run these stages only; may be given several times, or as a list with commas.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<StageName>,
    },
    /// Run end-to-end scenarios against a real control plane, and compare the in-memory API server with it (needs root).
    ///
    /// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and helm are built with Go from e2e/tools into
    /// target/tools/bin, the first time in five to twenty minutes. They run inside the test cluster's namespaces only.
    Conformance {
        /// Run these parts only; may be given several times, or as a list with commas.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<ConformancePart>,
        /// Of the scenarios, run these test targets of e2e/cluster only (such as `cluster_ip`).
        #[arg(long, value_delimiter = ',')]
        target: Vec<String>,
    },
    /// Boot other kernels in an emulator, and load and test the eBPF programs there.
    ///
    /// Takes some minutes for each kernel and needs no KVM. Kernels are downloaded as packages of Debian and Ubuntu and
    /// unpacked to target/kernels; nothing of them is installed, and the tests run inside the emulator only. Packages for
    /// QEMU and busybox are installed if they are missing (root). Archives that the machine's apt does not know are named in
    /// KPR_DEBIAN_ARCHIVE and KPR_UBUNTU_ARCHIVE (the URL of a mirror). What is known of the present programs is written into
    /// docs/kernels.md.
    Kernels {
        /// Try these series only; may be given several times, or as a list with commas.
        #[arg(long, value_enum, value_delimiter = ',')]
        kernel: Vec<Series>,
        /// Run these parts only; may be given several times, or as a list with commas.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Group>,
    },
    /// Measure kpr against floor programs and other peers, in turns and in one run (needs root).
    ///
    /// Prints a line for each benchmark and writes target/bench/results.json. Traffic stays inside network namespaces that are made
    /// for it. The first time, the build with optimizations takes some minutes more.
    Bench(BenchArgs),
    /// Count the instructions that packets take on an emulated processor, and hold them against e2e/bench/instructions.json (needs root).
    ///
    /// The same count comes out on every machine. Fails where one is more than 5 % above its record; so does `cargo xtask test`.
    /// Packages for QEMU and busybox are installed if they are missing; the kernel is downloaded and not installed.
    Instructions {
        /// Write the counts into the record, and compare nothing.
        #[arg(long)]
        record: bool,
    },
    /// Build the container image: operator, agent, `kpr` and `kubectl kpr`, static, as an OCI archive in target/image (needs root).
    ///
    /// With buildah and without a daemon or a base image. Prints the digest, which is the same for the same commit and toolchain,
    /// and the list of what the image is made of (CycloneDX), which is also in the image. `skopeo copy oci-archive:… docker://…`
    /// or `buildah push` bring it to a registry; `ctr images import`, `kind load image-archive` or `minikube image load` to a node.
    Image(ImageArgs),
    /// Pack `kubectl kpr` for each platform, with the manifest by which krew installs it, in target/plugin.
    ///
    /// Static programs, as in the image; the archives are the same for the same commit and toolchain.
    Dist(Platforms),
    /// Remove what interrupted demos and tests have left behind: namespaces, cgroups, mounts, processes.
    #[command(alias = "clean-cluster")]
    Sweep,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Build the user-space binaries with optimizations (the eBPF object always has them).
    #[arg(long)]
    pub(crate) release: bool,
    /// Build the eBPF object and nothing else.
    #[arg(long, conflicts_with = "release")]
    pub(crate) bpf_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Fewer rounds: everything within five minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run these benchmarks, and those whose names begin with this; may be given several times, or as a list with commas.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Name the benchmarks, and run none.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pub(crate) list: bool,
    /// Write what the last run found into docs/performance.md, and run none.
    #[arg(long, conflicts_with_all = ["quick", "only", "list"])]
    pub(crate) report: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Platforms {
    /// What to build for; may be given several times, or as a list with commas. A platform whose tools are missing is left out
    /// and told.
    #[arg(long, value_delimiter = ',', default_value = "linux/amd64")]
    pub(crate) platform: Vec<Platform>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    pub(crate) platforms: Platforms,
    /// Pack the image twice and fail unless the digests are equal.
    #[arg(long)]
    pub(crate) verify: bool,
}

/// A group of stages of `cargo xtask test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StageName {
    /// Formatting of both workspaces.
    Fmt,
    /// Clippy with warnings denied.
    Lint,
    /// Tests that run anywhere.
    Unit,
    /// What helm makes of the chart.
    Chart,
    /// Tests that load the eBPF programs into this machine's kernel.
    Bpf,
    /// Scenarios with real traffic in the test cluster, and some of them with other load balancers.
    E2e,
    /// All scenarios with each of the other load balancers: more than an hour, and only if it is asked for.
    Matrix,
    /// How many instructions packets take, in an emulator.
    Instructions,
    /// What `cargo xtask conformance` runs: a real control plane. Skipped on machines without Go.
    Conformance,
}

/// A part of `cargo xtask conformance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConformancePart {
    /// The same requests to the in-memory API server and to the real one.
    Comparison,
    /// What the real API server makes of kpr's API: its rules, and how kubectl shows it.
    Api,
    /// Scenarios with real traffic.
    Scenarios,
}
