//! What a user reads after an installation.

use kpr_chart::Helm;

#[test]
fn the_notes_tell_the_next_command() {
    let notes = Helm::with(&["pool.name=edge"]).notes("kube-system").unwrap();
    for command in [
        "kubectl wait --for=condition=Available --timeout=5m kpr/edge",
        "kubectl -n kube-system exec ds/kpr-agent -- kpr status --verbose",
        "helm test kpr -n kube-system",
        "--set kubeProxy.policy=Disable",
    ] {
        assert!(notes.contains(command), "{command:?} is not in {notes}");
    }
    assert!(!notes.contains("pod-security"), "kube-system needs no label: {notes}");
}

#[test]
fn who_makes_no_pool_and_uses_a_namespace_of_ones_own_is_told_what_that_needs() {
    let notes = Helm::with(&["pool.create=false"]).notes("kpr").unwrap();
    assert!(notes.contains("kind: KubeProxyReplacement"), "{notes}");
    assert!(
        notes.contains("kubectl label namespace kpr pod-security.kubernetes.io/enforce=privileged"),
        "{notes}"
    );
    assert!(!notes.contains("kubectl wait"), "there is nothing to wait for: {notes}");
}
