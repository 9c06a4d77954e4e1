//! What a node said.

use serde_json::{Map, Value, json};

use crate::{args::Args, kube_proxy::KubeProxies, kubectl, pods::Pod};

/// Exit code of a node that could not be asked.
const NOT_ASKED: u8 = 1;

/// A node's answer.
pub(crate) struct Answer {
    node: String,
    /// What kpr printed.
    text: String,
    /// What it, or kubectl, had to complain of.
    errors: String,
    /// What it ended with.
    pub(crate) code: u8,
}

impl Answer {
    /// Asks a node. One that can't be asked answers so.
    pub(crate) async fn ask(args: &Args, kube_proxies: &KubeProxies, pod: &Pod) -> Self {
        let answer = |text, errors, code| Self {
            node: pod.node.clone(),
            text,
            errors,
            code,
        };
        if let Some(trouble) = &pod.trouble {
            let errors = format!("pod {}/{} {trouble}\n", pod.namespace, pod.name);
            return answer(String::new(), errors, NOT_ASKED);
        }
        let mut arguments = vec!["exec", "--namespace", &pod.namespace, &pod.name, "--", "kpr"];
        arguments.extend(args.command.iter().map(String::as_str));
        let mut output = kubectl::run(args, &arguments).await;
        if let Ok(first) = &output
            && KubeProxies::may_help(args, first)
            && let Some(helped) = kube_proxies.help(args, pod).await.transpose()
        {
            output = helped;
        }
        match output {
            Ok(output) => answer(
                String::from_utf8_lossy(&output.stdout).into_owned(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
                // None: a signal ended kubectl.
                output
                    .status
                    .code()
                    .map_or(NOT_ASKED, |code| u8::try_from(code).unwrap_or(NOT_ASKED)),
            ),
            Err(error) => answer(String::new(), format!("{error:#}\n"), NOT_ASKED),
        }
    }

    /// The answer under the node's name.
    pub(crate) fn page(&self) -> String {
        format!("=== {} ===\n{}", self.node, self.text)
    }

    /// Tells what it had to complain of, each line with the node's name.
    pub(crate) fn print_errors(&self) {
        for line in self.errors.lines() {
            eprintln!("{}: {line}", self.node);
        }
    }
}

/// The answers by node, as one document; what is no JSON stands as a text, an empty answer as null.
pub(crate) fn json(answers: &[Answer]) -> Value {
    let one = |answer: &Answer| {
        let parsed = serde_json::from_str(&answer.text);
        let value = parsed.unwrap_or_else(|_| {
            if answer.text.is_empty() {
                Value::Null
            } else {
                json!(answer.text)
            }
        });
        (answer.node.clone(), value)
    };
    Value::Object(answers.iter().map(one).collect::<Map<_, _>>())
}
