//! `cargo xtask`: everything a developer or a CI job does with this repository, as one command each.

mod apt;
mod bench;
mod build;
mod chart;
mod cli;
mod codegen;
mod console;
mod demo;
mod dist;
mod go_tools;
mod image;
mod instructions;
mod interrupt;
mod kernels;
mod kubectl;
mod layout;
mod probe;
mod process;
mod promtool;
mod setup;
mod sweep;
mod test;
mod toolchain;
mod version;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::{
    cli::{Cli, Command},
    interrupt::Interrupted,
    layout::Layout,
};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("xtask: interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let layout = Layout::find()?;
    interrupt::install()?;
    let toolchain = cli.bpf_toolchain;
    match &cli.command {
        Command::Setup => {
            setup::run(&layout, toolchain)?;
            setup::helm(&layout)?;
        }
        Command::Build(arguments) => build::run(&layout, arguments, toolchain)?,
        Command::Codegen { check } => codegen::run(&layout, *check)?,
        Command::Demo { keep, shape, families } => {
            let options = demo::Options {
                keep: *keep,
                shape,
                families,
            };
            return demo::run(&layout, options, toolchain);
        }
        Command::Test { only } => return test::run(&layout, only, toolchain),
        Command::Conformance { only, target } => return test::conformance(&layout, only, target, toolchain),
        Command::Kernels { kernel, only } => return kernels::run(&layout, kernel, only, toolchain),
        Command::Instructions { record } => return instructions::run(&layout, *record, toolchain),
        Command::Bench(arguments) => bench::run(&layout, arguments, toolchain)?,
        Command::Dist(platforms) => return dist::run(&layout, platforms),
        Command::Image(arguments) => return image::run(&layout, arguments, toolchain),
        Command::Sweep => sweep::run(&layout)?,
    }
    Ok(ExitCode::SUCCESS)
}
