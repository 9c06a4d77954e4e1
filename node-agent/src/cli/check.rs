//! `kpr check`: both ends of `kubectl kpr check`, which runs them in pods of its own.

use std::io::Write;

use anyhow::Context as _;
use clap::Subcommand;
use kpr_check::{Question, Server, ask_all};
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;

/// Which end.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Say who one is to whoever asks, until SIGTERM
    Serve {
        /// Who one is
        #[arg(long, value_name = "NAME", env = "KPR_CHECK_NAME")]
        name: String,
        /// Port for TCP and UDP; not given: only wait, as a place to ask from
        #[arg(long, value_name = "NUMBER")]
        port: Option<u16>,
    },
    /// Ask, and print who answered, as JSON
    Ask {
        /// A list of questions, as JSON
        #[arg(value_name = "QUESTIONS")]
        questions: String,
    },
}

/// Carries out the command.
pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match command {
        Command::Serve { name, port } => serve(name, *port).await?,
        Command::Ask { questions } => {
            let questions: Vec<Question> = serde_json::from_str(questions).context("the questions")?;
            serde_json::to_writer(&mut *out, &ask_all(&questions).await)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Ok)
}

async fn serve(name: &str, port: Option<u16>) -> anyhow::Result<()> {
    // A container's first process has no default action for a signal: it must ask for it.
    let mut end = signal(SignalKind::terminate())?;
    let server = Server::bind(name.to_owned(), port).await.context("cannot listen")?;
    tokio::select! {
        () = server.run() => {}
        _ = end.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn what_was_asked_is_answered_in_the_same_order() {
        let server = Server::bind("server-0".into(), Some(0)).await.unwrap();
        let target = format!("127.0.0.1:{}", server.port().unwrap());
        let running = tokio::spawn(server.run());
        let questions = json!([
            {"protocol": "TCP", "target": target, "tries": 2},
            {"protocol": "UDP", "target": target, "tries": 3},
        ]);
        let mut out = Vec::new();
        let ask = Command::Ask {
            questions: questions.to_string(),
        };
        run(&ask, &mut out).await.unwrap();
        running.abort();
        let answers: Value = serde_json::from_slice(&out).unwrap();
        let answer =
            |times: u32| json!({"servers": {"server-0": times}, "clients": {"127.0.0.1": times}, "failures": {}});
        assert_eq!(answers, json!([answer(2), answer(3)]));
    }
}
