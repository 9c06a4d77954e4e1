//! `kubectl kpr`: runs `kpr` in the agents' pods, and prints each node's answer under its name.
//!
//! It speaks to the API server through `kubectl`, which called it: so it has the same context, credentials and proxies, whatever they
//! are, and runs wherever kubectl does.

mod answer;
mod args;
mod check;
mod completion;
mod explain;
mod kube_proxy;
mod kubectl;
mod output;
mod pods;
mod program;
mod sysdump;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use futures::{StreamExt as _, stream};

use answer::Answer;
use args::Args;
use explain::{ABSENT, Absent, Client};
use kube_proxy::KubeProxies;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = if completion::is_asked_for() {
        completion::run().await
    } else {
        run(&Args::parse()).await
    };
    match result {
        Ok(worst) => ExitCode::from(worst),
        Err(error) => {
            eprintln!("kubectl kpr: {error:#}");
            if error.is::<Absent>() {
                ExitCode::from(ABSENT)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Asks the nodes, some at a time, and prints their answers in the order of their names. Returns the worst exit code.
async fn run(args: &Args) -> Result<u8> {
    match args.command.first().map(String::as_str) {
        Some(check::COMMAND) => return check::run(args).await,
        Some(program::COMMAND) => return program::run(args),
        Some(sysdump::COMMAND) => return sysdump::run(args).await,
        _ => {}
    }
    let pods = match Client::of(args) {
        Some(client) => client.pods(args).await?,
        None => pods::find(args).await?,
    };
    let kube_proxies = KubeProxies::default();
    let ask = |pod| Answer::ask(args, &kube_proxies, pod);
    let mut answers = stream::iter(pods.iter().map(ask)).buffered(args.parallel.get().into());
    if args.wants_json() {
        let answers: Vec<_> = answers.collect().await;
        let whole = answer::json(&answers);
        output::print(&(serde_json::to_string_pretty(&whole)? + "\n"))?;
        answers.iter().for_each(Answer::print_errors);
        return Ok(worst(&answers));
    }
    let mut worst_of_all = 0;
    let mut is_first = true;
    while let Some(answer) = answers.next().await {
        if !std::mem::take(&mut is_first) {
            output::print("\n")?;
        }
        output::print(&answer.page())?;
        answer.print_errors();
        worst_of_all = worst_of_all.max(answer.code);
    }
    Ok(worst_of_all)
}

fn worst(answers: &[Answer]) -> u8 {
    answers.iter().map(|answer| answer.code).max().unwrap_or_default()
}
