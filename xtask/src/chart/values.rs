//! Reads `values.yaml` and its comments. Only as much of YAML as that file uses: keys, two spaces a level, and every default on
//! one line. What is not of that form is refused, and so is a value that no comment describes.

use anyhow::{Context, Result, bail, ensure};

/// Begins the description of the value below.
const DESCRIPTION: &str = "# -- ";
/// Begins a section.
const SECTION: &str = "# @section -- ";

/// Values that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) values: Vec<Value>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// As `--set` takes it, such as `operator.replicas`.
    pub(super) path: String,
    /// As it is written.
    pub(super) default: String,
    pub(super) description: String,
}

/// All sections, in their order.
pub(super) fn sections(text: &str) -> Result<Vec<Section>> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(line).with_context(|| format!("line {}", index + 1))?;
    }
    Ok(reader.sections)
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    /// The keys that lead to where the reader is.
    keys: Vec<String>,
    /// The description that is being read; empty between two values.
    description: Vec<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        let content = line.trim_start();
        let spaces = line.len() - content.len();
        if content.is_empty() {
            self.description.clear();
        } else if let Some(title) = content.strip_prefix(SECTION) {
            self.sections.push(Section {
                title: title.to_owned(),
                values: Vec::new(),
            });
        } else if let Some(text) = content.strip_prefix(DESCRIPTION) {
            self.description = vec![text.to_owned()];
        } else if let Some(text) = content.strip_prefix('#') {
            // Goes on with a description, or is a remark for whoever reads the file.
            if !self.description.is_empty() {
                self.description.push(text.trim().to_owned());
            }
        } else {
            self.key(spaces, content)?;
        }
        Ok(())
    }

    fn key(&mut self, spaces: usize, content: &str) -> Result<()> {
        let (key, default) = content.split_once(':').context("neither a comment nor a key")?;
        ensure!(
            !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric()),
            "{key:?} is no name of a value"
        );
        ensure!(
            spaces.is_multiple_of(2) && spaces / 2 <= self.keys.len(),
            "{key} is indented by {spaces} spaces"
        );
        self.keys.truncate(spaces / 2);
        self.keys.push(key.to_owned());
        let default = default.trim();
        if default.is_empty() {
            ensure!(
                self.description.is_empty(),
                "{key} holds other values: describe each of them"
            );
            return Ok(());
        }
        let path = self.keys.join(".");
        // It holds nothing: what is indented below it would be read as if it did.
        if self.description.is_empty() {
            bail!("{path} has no description: write `{DESCRIPTION}…` above it");
        }
        let description = self.description.drain(..).collect::<Vec<_>>().join(" ");
        let section = self.sections.last_mut().context("a value before the first section")?;
        section.values.push(Value {
            path,
            default: default.to_owned(),
            description,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_path_default_and_description() {
        let text = "# A remark.\n\n# @section -- First\n\n# -- How many\n# there are.\nreplicas: 2\n\nimage:\n  # -- From where.\n  \
                    repository: example.org/kpr\n  pull:\n    # -- When.\n    policy: Always\n# -- Taints.\ntolerations: [{operator: Exists}]\n";
        let value = |path: &str, default: &str, description: &str| Value {
            path: path.to_owned(),
            default: default.to_owned(),
            description: description.to_owned(),
        };
        let values = vec![
            value("replicas", "2", "How many there are."),
            value("image.repository", "example.org/kpr", "From where."),
            value("image.pull.policy", "Always", "When."),
            value("tolerations", "[{operator: Exists}]", "Taints."),
        ];
        let title = "First".to_owned();
        assert_eq!(sections(text).unwrap(), [Section { title, values }]);
    }

    #[test]
    fn a_value_without_a_description_and_a_list_over_several_lines_are_refused_with_their_line() {
        let refused = |text: &str| format!("{:#}", sections(text).unwrap_err());
        assert_eq!(
            refused("# @section -- S\nreplicas: 2\n"),
            "line 2: replicas has no description: write `# -- …` above it"
        );
        assert!(refused("# @section -- S\n# -- Taints.\ntolerations:\n  - operator: Exists\n").starts_with("line 3: "));
        assert!(refused("# -- Early.\nreplicas: 2\n").contains("before the first section"));
        assert!(refused("# @section -- S\na:\n   # -- Odd.\n   b: 1\n").contains("indented by 3"));
    }
}
