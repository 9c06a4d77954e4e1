//! The own NodeDatapath, read with an eye for what this version of the agent does not know: an operator that is newer must be told
//! that a field had no effect.

use std::borrow::Cow;

use kpr_crds::NodeDatapath;
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer};

/// As many fields as the status takes.
const MOST: usize = 32;
/// As long as the status takes them, in bytes.
const LONGEST: usize = 253;

/// A NodeDatapath, and the fields of its spec that are not known here.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) object: NodeDatapath,
    /// Paths such as `spec.loadBalancer.weights`.
    pub(super) unknown: Vec<String>,
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut unknown = Vec::new();
        let object = serde_ignored::deserialize(deserializer, |path| {
            let path = plain(&path.to_string());
            if path.starts_with("spec.") && path.len() <= LONGEST && unknown.len() < MOST {
                unknown.push(path);
            }
        })?;
        Ok(Self { object, unknown })
    }
}

/// Optional fields and newtypes are steps of the path too, called `?`: users know nothing of them.
fn plain(path: &str) -> String {
    let steps: Vec<&str> = path.split('.').filter(|step| *step != "?").collect();
    steps.join(".")
}

impl Resource for Own {
    type DynamicType = ();
    type Scope = <NodeDatapath as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        NodeDatapath::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        NodeDatapath::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        NodeDatapath::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        NodeDatapath::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.object.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.object.meta_mut()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::watch::{Change, list::Named};

    /// The object with every field of its spec, as an operator writes it.
    fn written(change: impl FnOnce(&mut Value)) -> Own {
        let object = NodeDatapath::new("node-a", kpr_crds::NodeDatapathSpec::default());
        let mut value = serde_json::to_value(object).unwrap();
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn of_an_operator_of_the_same_version_every_field_is_known() {
        assert_eq!(written(|_| {}).unknown, [""; 0]);
    }

    #[test]
    fn a_field_of_a_newer_operator_is_named_and_the_rest_is_read() {
        let own = written(|object| {
            object["spec"]["loadBalancer"]["weights"] = json!({"a": 1});
            object["spec"]["speed"] = json!("high");
            object["spec"]["policy"] = json!("edge");
            // Not what an operator asks for.
            object["metadata"]["someday"] = json!(1);
            object["status"] = json!({"mood": "good"});
        });
        assert_eq!(own.unknown, ["spec.loadBalancer.weights", "spec.speed"]);
        let Change::Datapath(Some(input)) = Own::change(Some(own)) else {
            panic!("not a change of the datapath");
        };
        assert_eq!(input.spec.policy, "edge");
        assert_eq!(input.unknown_fields, ["spec.loadBalancer.weights", "spec.speed"]);
    }

    #[test]
    fn no_more_is_named_than_the_status_takes() {
        let own = written(|object| {
            for number in 0..100 {
                object["spec"][format!("field{number}")] = json!(number);
            }
            object["spec"]["x".repeat(300)] = json!(1);
        });
        assert_eq!(own.unknown.len(), MOST);
    }
}
