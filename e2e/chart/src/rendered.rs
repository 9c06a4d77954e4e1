//! What helm makes of the chart.

use anyhow::{Context, Result};
use serde_json::Value;

/// Objects, in helm's order.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// All of them, hooks and CRDs too.
    pub objects: Vec<Value>,
}

impl Rendered {
    /// Reads what `helm template` prints. A key that is there twice is an error.
    pub fn parse(yaml: &str) -> Result<Self> {
        let documents = yaml.split("\n---\n").map(|text| text.trim_start_matches("---\n"));
        let mut objects = Vec::new();
        for document in documents {
            let content = document.lines().any(|line| !line.is_empty() && !line.starts_with('#'));
            if content {
                let object = serde_saphyr::from_str(document).with_context(|| format!("not YAML:\n{document}"))?;
                objects.push(object);
            }
        }
        Ok(Self { objects })
    }

    /// The objects of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object of this kind and name, if there is one.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// The object of this kind and name.
    pub fn get(&self, kind: &str, name: &str) -> Result<&Value> {
        self.find(kind, name)
            .with_context(|| format!("{kind} {name} was not rendered"))
    }

    /// The specs of all pods, and the names of the objects that make them.
    pub fn pods(&self) -> Vec<(String, &Value)> {
        let pod = |object: &'_ Value| match object["kind"].as_str() {
            Some("Pod") => Some("/spec"),
            Some("Deployment" | "DaemonSet" | "Job") => Some("/spec/template/spec"),
            _ => None,
        };
        self.objects
            .iter()
            .filter_map(|object| {
                let spec = object.pointer(pod(object)?)?;
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                Some((name.to_owned(), spec))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "---\n# Source: a\nkind: A\nmetadata:\n  name: one\n---\n# Source: nothing\n\n---\n# Source: b\nkind: Pod\n\
                       metadata:\n  name: two\nspec:\n  hostNetwork: true\n";

    #[test]
    fn documents_are_read_and_empty_ones_left_out() {
        let rendered = Rendered::parse(TWO).unwrap();
        assert_eq!(rendered.objects.len(), 2);
        assert!(rendered.get("A", "one").is_ok() && rendered.find("A", "two").is_none());
        let pods = rendered.pods();
        assert_eq!((pods.len(), pods[0].0.as_str()), (1, "two"));
        assert_eq!(pods[0].1["hostNetwork"], true);
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error() {
        assert!(Rendered::parse("kind: A\nkind: B\n").is_err());
    }
}
