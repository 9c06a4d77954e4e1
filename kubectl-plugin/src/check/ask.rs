//! Asks the questions, each from where it is to be asked.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, stream};
use kpr_check::{Answers, Question, ask_all};
use tokio::time::{Instant, sleep};

use super::{
    Outside,
    judge::judge,
    outside,
    row::{Client, Row, Vantage, Verdict},
};
use crate::{args::Args, kubectl};

/// Before what failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asks.
pub(super) struct Asker<'a> {
    pub(super) args: &'a Args,
    pub(super) namespace: &'a str,
    pub(super) outside: Outside,
}

/// A question that was asked, or skipped.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) row: Row,
    pub(super) answers: Answers,
    pub(super) verdict: Verdict,
}

/// What a client said, if it could be asked.
type Said = Result<Vec<Answers>, String>;

impl Asker<'_> {
    /// Asks everything, and what failed again, until nothing fails or `settle` is over: a Service that was made just now is on its way to the
    /// nodes.
    pub(super) async fn ask_until_settled(&self, rows: Vec<Row>, settle: Duration) -> Result<Vec<Asked>> {
        let deadline = Instant::now() + settle;
        let mut open: Vec<usize> = (0..rows.len()).collect();
        let mut all: Vec<_> = rows
            .into_iter()
            .map(|row| Asked {
                row,
                answers: Answers::default(),
                verdict: Verdict::Skipped("not asked".to_owned()),
            })
            .collect();
        eprintln!("Asking {} questions ...", all.len());
        loop {
            open = self.ask(&mut all, &open).await;
            if open.is_empty() || Instant::now() >= deadline {
                break;
            }
            eprintln!("Asking again, since {} failed ...", open.len());
            sleep(PAUSE).await;
        }
        let nothing_asked = all.iter().all(|asked| matches!(asked.verdict, Verdict::Skipped(_)));
        if let (true, Some(Asked { verdict, .. })) = (nothing_asked, all.first())
            && let Verdict::Skipped(reason) = verdict
        {
            bail!("nobody could be asked: {reason}");
        }
        Ok(all)
    }

    /// Asks those that are open, each client at once for all of its own. Returns those that another time may help.
    async fn ask(&self, all: &mut [Asked], open: &[usize]) -> Vec<usize> {
        let mut by_client: BTreeMap<Client, Vec<usize>> = BTreeMap::new();
        for &index in open {
            by_client
                .entry(all[index].row.from.client.clone())
                .or_default()
                .push(index);
        }
        let parallel = usize::from(self.args.parallel.get());
        let clients = by_client.into_iter().map(|(client, indices)| {
            let questions: Vec<_> = indices.iter().map(|&index| all[index].row.question()).collect();
            async move { (self.said(&client, &questions).await, client, indices) }
        });
        let said: Vec<_> = stream::iter(clients).buffer_unordered(parallel).collect().await;
        let mut again = Vec::new();
        for (said, client, indices) in said {
            match said {
                Ok(answers) => {
                    for (&index, answers) in indices.iter().zip(answers) {
                        all[index].verdict = self.verdict(&all[index].row, &answers).await;
                        all[index].answers = answers;
                        if matches!(all[index].verdict, Verdict::Failed(_)) {
                            again.push(index);
                        }
                    }
                }
                Err(reason) => {
                    for &index in &indices {
                        all[index].verdict = Verdict::Skipped(reason.clone());
                    }
                    // A client that is there may answer yet.
                    if matches!(client, Client::Pod(_)) {
                        again.extend(indices);
                    }
                }
            }
        }
        again.sort_unstable();
        again
    }

    async fn said(&self, client: &Client, questions: &[Question]) -> Said {
        match client {
            Client::Here => Ok(ask_all(questions).await),
            Client::NoPod(reason) => Err(reason.clone()),
            Client::Pod(pod) => self.exec(pod, questions).await.map_err(|error| format!("{error:#}")),
        }
    }

    async fn exec(&self, pod: &str, questions: &[Question]) -> Result<Vec<Answers>> {
        let questions_text = serde_json::to_string(questions)?;
        let arguments = [
            "exec",
            "--namespace",
            self.namespace,
            pod,
            "--",
            "kpr",
            "check",
            "ask",
            &questions_text,
        ];
        let output = kubectl::output(self.args, &arguments).await?;
        let answers: Vec<Answers> = serde_json::from_slice(&output).with_context(|| format!("the answer of {pod}"))?;
        ensure!(
            answers.len() == questions.len(),
            "{pod} has not answered every question"
        );
        Ok(answers)
    }

    async fn verdict(&self, row: &Row, answers: &Answers) -> Verdict {
        if row.from.vantage != Vantage::Outside {
            return judge(row, answers);
        }
        if outside::own_address(row.target).is_some_and(|own| row.not_behind.contains(&own)) {
            return Verdict::Skipped("this machine is that node".to_owned());
        }
        let verdict = judge(row, answers);
        let is_silent = answers.answered() == 0 && !answers.failures.contains_key(Answers::REFUSED);
        let may_be_far = self.outside == Outside::Auto && is_silent;
        if matches!(verdict, Verdict::Failed(_)) && may_be_far && !outside::reaches(row.target.ip()).await {
            return Verdict::Skipped("not reachable from here".to_owned());
        }
        verdict
    }
}
