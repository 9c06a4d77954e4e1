//! The generated parts of the Helm chart: the CRDs in it, and the table of values in its README.

mod table;
mod values;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The table is written between these lines of the README; what is around them is written by hand.
const BEGIN: &str = "<!-- Values: written by `cargo xtask codegen`. -->\n";
const END: &str = "<!-- End of values. -->\n";

/// Every generated file of the chart, and what it should be.
pub(crate) fn files(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let chart = root.join("charts/kpr");
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let readme = chart.join("README.md");
    let sections = values::sections(&read(&chart.join("values.yaml"))?).context("charts/kpr/values.yaml")?;
    let written = between(&read(&readme)?, &table::markdown(&sections)).context("charts/kpr/README.md")?;
    let mut files = vec![(readme, written)];
    // Helm takes CRDs only from inside the chart, and a package holds no links.
    for crd in crds(&root.join("crds"))? {
        let name = crd.file_name().context("a CRD's file has no name")?;
        files.push((chart.join("crds").join(name), read(&crd)?));
    }
    Ok(files)
}

fn crds(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    found.sort();
    Ok(found)
}

/// The text with `table` between the two lines.
fn between(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN:?}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line {END:?}"))?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_generated_files_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = files(root).unwrap();
        assert_eq!(files.len(), 3, "the README and two CRDs");
        for (path, content) in &files {
            let committed = fs::read_to_string(path).unwrap_or_default();
            assert!(
                committed == *content,
                "{} is out of date: run `cargo xtask codegen`",
                path.display()
            );
        }
        let shipped = crds(&root.join("charts/kpr/crds")).unwrap().len();
        assert_eq!(shipped, files.len() - 1, "the chart has no CRD of its own");
    }

    #[test]
    fn the_table_replaces_what_is_between_the_lines() {
        let text = format!("# Chart\n{BEGIN}old\n{END}The end.\n");
        let expected = format!("# Chart\n{BEGIN}\nnew\n\n{END}The end.\n");
        assert_eq!(between(&text, "new\n").unwrap(), expected);
        assert_eq!(between(&expected, "new\n").unwrap(), expected);
        assert!(between("# Chart\n", "new").is_err());
    }
}
