//! Wrong values are refused, with a message that says what is right.

use kpr_chart::Helm;

fn refused(helm: &Helm) -> String {
    let output = helm.template().unwrap();
    assert!(!output.success, "rendered:\n{}", output.stdout);
    output.stderr
}

#[test]
fn a_wrong_value_is_named_with_what_it_may_be() {
    let table: [(&str, &[&str]); 12] = [
        (
            "kubeProxyReplacement=probe",
            &["/kubeProxyReplacement", "'strict', 'partial'"],
        ),
        (
            "kubeproxyReplacement=strict",
            &["additional properties 'kubeproxyReplacement' not allowed"],
        ),
        (
            "operator.replica=2",
            &["/operator", "additional properties 'replica' not allowed"],
        ),
        (
            "operator.replicas=-1",
            &["/operator/replicas", "minimum: got -1, want 0"],
        ),
        ("k8sServicePort=https", &["/k8sServicePort"]),
        (
            "k8sServiceHost=https://10.0.0.1",
            &["/k8sServiceHost", "does not match pattern"],
        ),
        ("nodePort.range=30000", &["/nodePort/range"]),
        (
            "loadBalancer.algorithm=Maglev",
            &["/loadBalancer/algorithm", "'random', 'maglev'"],
        ),
        (
            "kubeProxy.policy=delete",
            &["/kubeProxy/policy", "'Observe', 'Disable'"],
        ),
        ("image.digest=0123", &["/image/digest"]),
        ("log.level=debgu", &["/log/level", "does not match pattern"]),
        ("operator.log.level=kpr_operator", &["/operator/log/level"]),
    ];
    for (value, expected) in table {
        let said = refused(&Helm::with(&[value]));
        for words in expected {
            assert!(said.contains(words), "{value}: {words:?} is not in {said}");
        }
    }
}

#[test]
fn what_only_several_values_together_tell_is_a_sentence_that_says_what_to_do() {
    let table: [(&[&str], &str); 4] = [
        (&[], "k8sServiceHost is empty: "),
        (
            &["k8sServiceHost=auto"],
            "Set k8sServiceHost and k8sServicePort to the API server's address",
        ),
        (
            &["kubeProxyReplacement=partial"],
            "serves only what is enabled, and nothing is: set clusterIP.enabled, ",
        ),
        (
            &[
                "kubeProxyReplacement=partial",
                "nodePort.enabled=true",
                "kubeProxy.policy=Disable",
            ],
            "kubeProxy.policy=Disable needs kubeProxyReplacement=strict",
        ),
    ];
    for (values, sentence) in table {
        let said = refused(&Helm::with_only(values));
        assert!(said.contains(sentence), "{values:?}: {sentence:?} is not in {said}");
    }
}

#[test]
fn the_schema_knows_every_value_and_values_yaml_every_property() {
    let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/kpr");
    let read = |name: &str| std::fs::read_to_string(chart.join(name)).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    compare(&values, &schema, "");
}

fn compare(values: &serde_json::Value, schema: &serde_json::Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(
        schema["additionalProperties"], false,
        "{path}: what is not known is refused"
    );
    for (name, value) in values.as_object().into_iter().flatten() {
        let property = properties.get(name);
        let property = property.unwrap_or_else(|| panic!("{path}.{name} is in values.yaml and not in the schema"));
        compare(value, property, &format!("{path}.{name}"));
    }
    for name in properties.keys() {
        // Helm gives `global` to every chart; selectors have defaults of their own.
        let elsewhere = name == "global" || path == ".pool.nodeSelector";
        assert!(
            elsewhere || values.get(name).is_some(),
            "{path}.{name} is in the schema and not in values.yaml"
        );
    }
}
