//! The admission policy, evaluated as an API server does: an agent writes the status of its own node's object and nothing else.

use cel::{Context, Program, Value};
use kpr_chart::Helm;
use serde_json::{Value as Json, json};

const AGENT: &str = "system:serviceaccount:kube-system:kpr-agent";

/// A write of a NodeDatapath.
#[derive(Clone)]
struct Write {
    user: &'static str,
    node: Option<&'static str>,
    operation: &'static str,
    subresource: &'static str,
    resource: &'static str,
    name: &'static str,
}

/// What the agent of node-a does all day.
const OWN_STATUS: Write = Write {
    user: AGENT,
    node: Some("node-a"),
    operation: "UPDATE",
    subresource: "status",
    resource: "nodedatapaths",
    name: "node-a",
};

impl Write {
    fn request(&self) -> Json {
        let mut request = json!({
            "operation": self.operation,
            "name": self.name,
            "resource": {"group": "kpr.dev", "version": "v1alpha1", "resource": self.resource},
            "userInfo": {"username": self.user, "groups": ["system:serviceaccounts"]},
        });
        if !self.subresource.is_empty() {
            request["subResource"] = self.subresource.into();
        }
        if let Some(node) = self.node {
            request["userInfo"]["extra"] = json!({"authentication.kubernetes.io/node-name": [node]});
        }
        request
    }
}

fn evaluate(expression: &str, context: &Context<'_>) -> Value {
    let program = Program::compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    program
        .execute(context)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// Nothing, or what the API server says when it refuses.
fn refusal(write: &Write) -> Option<String> {
    let rendered = Helm::default().render().unwrap();
    let policy = &rendered.get("ValidatingAdmissionPolicy", "kpr-agent-own-node").unwrap()["spec"];
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let mut context = Context::default();
    context.add_variable("request", write.request()).unwrap();
    for condition in policy["matchConditions"].as_array().unwrap() {
        if evaluate(&text(&condition["expression"]), &context) == Value::Bool(false) {
            return None;
        }
    }
    let mut variables = std::collections::HashMap::new();
    for variable in policy["variables"].as_array().unwrap() {
        variables.insert(
            text(&variable["name"]),
            evaluate(&text(&variable["expression"]), &context),
        );
    }
    context.add_variable_from_value("variables", variables);
    let failed = policy["validations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|validation| evaluate(&text(&validation["expression"]), &context) != Value::Bool(true))?;
    assert_eq!(failed["reason"], "Forbidden");
    Some(match failed["messageExpression"].as_str() {
        Some(expression) => match evaluate(expression, &context) {
            Value::String(message) => message.to_string(),
            other => panic!("a message must be text, not {other:?}"),
        },
        None => text(&failed["message"]),
    })
}

#[test]
fn an_agent_writes_the_status_of_its_own_node() {
    assert_eq!(refusal(&OWN_STATUS), None);
}

#[test]
fn an_agent_writes_nothing_else() {
    let only_status = "agents of kpr write nothing of kpr.dev but the status of NodeDatapaths";
    let table = [
        (
            Write {
                name: "node-b",
                ..OWN_STATUS
            },
            "the agent of node node-a may not write the status of NodeDatapath node-b",
        ),
        (
            Write {
                subresource: "",
                ..OWN_STATUS
            },
            only_status,
        ),
        (
            Write {
                operation: "CREATE",
                subresource: "",
                ..OWN_STATUS
            },
            only_status,
        ),
        (
            Write {
                operation: "DELETE",
                subresource: "",
                ..OWN_STATUS
            },
            only_status,
        ),
        (
            Write {
                resource: "kubeproxyreplacements",
                ..OWN_STATUS
            },
            only_status,
        ),
    ];
    for (write, expected) in table {
        assert_eq!(refusal(&write).as_deref(), Some(expected));
    }
}

#[test]
fn a_token_that_names_no_node_writes_nothing() {
    for node in [None, Some("")] {
        let said = refusal(&Write { node, ..OWN_STATUS }).expect("it is refused");
        assert!(
            said.starts_with("this token does not say which node it belongs to"),
            "{said}"
        );
    }
}

#[test]
fn others_are_none_of_its_business() {
    let operator = Write {
        user: "system:serviceaccount:kube-system:kpr-operator",
        node: None,
        operation: "CREATE",
        subresource: "",
        ..OWN_STATUS
    };
    assert_eq!(refusal(&operator), None);
}

#[test]
fn it_is_asked_for_every_write_to_kprs_kinds_and_refuses_if_it_cannot_answer() {
    let rendered = Helm::default().render().unwrap();
    let policy = &rendered.get("ValidatingAdmissionPolicy", "kpr-agent-own-node").unwrap()["spec"];
    assert_eq!(policy["failurePolicy"], "Fail");
    assert_eq!(
        policy["matchConstraints"]["resourceRules"],
        json!([{"apiGroups": ["kpr.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["*/*"]}])
    );
    let binding = &rendered
        .get("ValidatingAdmissionPolicyBinding", "kpr-agent-own-node")
        .unwrap()["spec"];
    assert_eq!(
        binding,
        &json!({"policyName": "kpr-agent-own-node", "validationActions": ["Deny"]})
    );
}

#[test]
fn the_account_that_it_means_is_the_one_that_agents_have() {
    let rendered = Helm::with(&["serviceAccounts.agent.name=other"]).render().unwrap();
    let policy = rendered.get("ValidatingAdmissionPolicy", "kpr-agent-own-node").unwrap();
    assert!(policy.to_string().contains("system:serviceaccount:kube-system:other"));
    assert_eq!(
        rendered.get("DaemonSet", "kpr-agent").unwrap()["spec"]["template"]["spec"]["serviceAccountName"],
        "other"
    );
}
