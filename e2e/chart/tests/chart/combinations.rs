//! Whatever is set, what comes out are objects that the API knows.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kpr_chart::Helm;
use kpr_crds::KubeProxyReplacement;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What may be chosen one way or the other.
const CHOICES: [[&str; 2]; 5] = [
    [
        "kubeProxyReplacement=strict",
        "kubeProxyReplacement=partial,nodePort.enabled=true",
    ],
    ["operator.replicas=1", "operator.replicas=2"],
    [
        "k8sServiceHost=fd00::1,k8sServicePort=6443",
        "k8sServiceHost=api.example.org",
    ],
    [
        "pool.create=true,crds.keep=false,crds.upgrade=false",
        "pool.create=false,uninstall.enabled=false",
    ],
    [
        "admissionPolicy.enabled=false",
        "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,podLabels.a=b,operator.podAnnotations.a=b,\
         commonLabels.team=net,extraArgs={--tc=clsact},prometheus.enabled=true,prometheus.serviceMonitor.enabled=true,prometheus.rules.enabled=true,dashboards.enabled=true,dashboards.namespace=monitoring,log.format=json,tolerations=null,\
         extraEnv[0].name=A,extraEnv[0].value=b,imagePullSecrets[0].name=pull,nodeSelector.pool=edge,resources.limits.memory=1Gi,\
         operator.topologySpreadConstraints[0].maxSkew=1,operator.topologySpreadConstraints[0].topologyKey=zone,\
         operator.topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
    ],
];

/// Eight of the 32 combinations, in which every choice meets every other one.
fn combinations() -> impl Iterator<Item = Vec<&'static str>> {
    (0..8_usize).map(|run| {
        let (a, b, c) = (run & 1, run >> 1 & 1, run >> 2 & 1);
        let picks = [a, b, c, a ^ b, a ^ c];
        CHOICES.iter().zip(picks).map(|(choice, pick)| choice[pick]).collect()
    })
}

#[test]
fn every_choice_meets_every_other_one() {
    let pairs: BTreeSet<_> = combinations()
        .flat_map(|values| {
            let others = values.clone();
            values
                .into_iter()
                .flat_map(move |one| others.clone().into_iter().map(move |other| (one, other)))
        })
        .collect();
    let choices = 2 * CHOICES.len();
    // Each with itself, and with all but the other side of its own coin.
    assert_eq!(pairs.len(), choices * (choices - 1));
}

#[test]
fn every_combination_lints_and_renders_objects_of_the_api() {
    for values in combinations() {
        let helm = Helm::with(&values);
        let linted = helm.lint().unwrap();
        assert!(linted.success, "{values:?}: {}{}", linted.stdout, linted.stderr);
        for object in helm.render().unwrap().objects {
            is_of_the_api(&object).unwrap_or_else(|why| panic!("{values:?}: {}: {why}\n{object:#}", object["kind"]));
        }
    }
}

#[test]
fn a_cluster_that_is_too_old_is_refused() {
    let output = Helm::default().on("1.29.9").template().unwrap();
    assert!(!output.success);
    assert!(output.stderr.contains(">=1.30.0"), "{}", output.stderr);
}

/// Does it have no field that its kind hasn't?
fn is_of_the_api(object: &Value) -> Result<(), String> {
    match object["kind"].as_str().unwrap_or_default() {
        "ClusterRole" => same::<ClusterRole>(object),
        "ConfigMap" => same::<ConfigMap>(object),
        "ClusterRoleBinding" => same::<ClusterRoleBinding>(object),
        "CustomResourceDefinition" => same::<CustomResourceDefinition>(object),
        "DaemonSet" => same::<DaemonSet>(object),
        "Deployment" => same::<Deployment>(object),
        "Job" => same::<Job>(object),
        "KubeProxyReplacement" => same::<KubeProxyReplacement>(object),
        "Pod" => same::<Pod>(object),
        "PodDisruptionBudget" => same::<PodDisruptionBudget>(object),
        "Role" => same::<Role>(object),
        "RoleBinding" => same::<RoleBinding>(object),
        "Service" => same::<Service>(object),
        "ServiceAccount" => same::<ServiceAccount>(object),
        "ValidatingAdmissionPolicy" => same::<ValidatingAdmissionPolicy>(object),
        "ValidatingAdmissionPolicyBinding" => same::<ValidatingAdmissionPolicyBinding>(object),
        // Not kinds of Kubernetes' own.
        "PrometheusRule" | "ServiceMonitor" => Ok(()),
        other => Err(format!("an object of kind {other:?} is not expected")),
    }
}

/// Reading skips what it does not know: then it is missing from what is written again.
fn same<K: Serialize + DeserializeOwned>(object: &Value) -> Result<(), String> {
    let typed: K = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    lost(object, &written, "").map_or(Ok(()), |path| Err(format!("{path} is not a field of its kind")))
}

fn lost(original: &Value, written: &Value, path: &str) -> Option<String> {
    match (original, written) {
        (Value::Object(fields), _) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match written.get(name) {
                Some(written) => lost(value, written, &path),
                // What is empty may be left out.
                None if value.is_null() || *value == serde_json::json!([]) || *value == serde_json::json!({}) => None,
                None => Some(path),
            }
        }),
        (Value::Array(items), Value::Array(written)) if items.len() == written.len() => items
            .iter()
            .zip(written)
            .enumerate()
            .find_map(|(index, (item, written))| lost(item, written, &format!("{path}[{index}]"))),
        _ => None,
    }
}

#[test]
fn a_field_that_the_kind_does_not_have_is_found() {
    let account = serde_json::json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "labells": {"a": "b"}},
    });
    assert_eq!(
        same::<ServiceAccount>(&account).unwrap_err(),
        ".metadata.labells is not a field of its kind"
    );
}
