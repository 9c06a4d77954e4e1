//! `kubectl kpr diff kube-proxy`: where kpr does not understand a rule that it reads from the kernel, the programs that have written it do.
//! kpr's image has none of them, kube-proxy's own has all: kube-proxy's pod on the same node prints the rules, and kpr takes what it prints.

use std::process::Output;

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::{
    args::Args,
    kubectl,
    pods::{self, Pod},
};

/// What asks for it.
const COMMAND: [&str; 2] = ["diff", "kube-proxy"];

/// Flags of rules that are given: nobody has to be asked for them.
const GIVEN: [&str; 3] = ["--iptables", "--nft", "--ipvs"];

/// What kpr ends with if it can't do its work.
const CANNOT: i32 = 1;

/// A chain that all rules of kube-proxy's iptables mode begin with, and the table of its nftables mode as nft prints its name.
const IPTABLES: &str = ":KUBE-SERVICES ";
const NFTABLES: &str = "\"kube-proxy\"";

/// kube-proxy's pods, once they have been asked for.
#[derive(Default)]
pub(crate) struct KubeProxies(OnceCell<Vec<Pod>>);

impl KubeProxies {
    /// Whether kpr's answer to this command may be had by kube-proxy's help.
    pub(crate) fn may_help(args: &Args, answer: &Output) -> bool {
        let given = |word: &String| GIVEN.iter().any(|flag| word.starts_with(flag));
        answer.status.code() == Some(CANNOT)
            && args.command.len() >= COMMAND.len()
            && args.command.iter().zip(COMMAND).all(|(word, own)| word == own)
            && !args.command.iter().any(given)
    }

    /// What kpr, in `pod`, says of the rules that kube-proxy's pod on the same node prints; none if there is no such pod, or no rule.
    pub(crate) async fn help(&self, args: &Args, pod: &Pod) -> Result<Option<Output>> {
        let all = self
            .0
            .get_or_try_init(|| pods::running(args, &args.kube_proxy_selector));
        let Some(kube_proxy) = all.await?.iter().find(|kube_proxy| kube_proxy.node == pod.node) else {
            return Ok(None);
        };
        let Some((flag, rules)) = rules(args, kube_proxy).await else {
            return Ok(None);
        };
        let mut arguments = vec!["exec", "--stdin", "--namespace", &pod.namespace, &pod.name, "--", "kpr"];
        arguments.extend(args.command.iter().map(String::as_str));
        arguments.extend([flag, "-"]);
        kubectl::run_with(args, &arguments, &rules).await.map(Some)
    }
}

/// What the pod's programs print, of the mode that it runs in, and kpr's flag for it.
async fn rules(args: &Args, pod: &Pod) -> Option<(&'static str, Vec<u8>)> {
    let print = async |command: &[&str]| {
        let mut arguments = vec!["exec", "--namespace", &pod.namespace, &pod.name, "--"];
        arguments.extend(command);
        // A program that isn't there, or a family that the node does not have.
        kubectl::output(args, &arguments).await.unwrap_or_default()
    };
    let has = |printed: &[u8], words: &str| String::from_utf8_lossy(printed).contains(words);
    let mut saved = print(&["iptables-save"]).await;
    saved.extend(print(&["ip6tables-save"]).await);
    if has(&saved, IPTABLES) {
        return Some(("--iptables", saved));
    }
    let listed = print(&["nft", "--json", "list", "ruleset"]).await;
    has(&listed, NFTABLES).then_some(("--nft", listed))
}
