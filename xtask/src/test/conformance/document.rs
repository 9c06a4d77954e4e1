//! The page about upstream's tests (pure). It is the same after every run in which nothing changed.

use std::fmt::Write as _;

use super::catalogue::{Answer, Catalogue, File, Title};

const HEAD: &str = "\
# Conformance

Written by `cargo xtask test` after a run in which every test named here passed; nobody edits it by hand.

Kubernetes tests its Service proxy with the programs in [`test/e2e/network`](https://github.com/kubernetes/kubernetes/tree/master/test/e2e/network). For each of
their titles this page says which scenario of ours does the same with real traffic in the test cluster (`e2e/cluster/src/scenario`), or why the title does not
concern kpr. **C** marks the tests of Conformance, which every certified cluster passes. Run one with

```console
# cargo xtask build && cargo test -p kpr-cluster --features privileged --test TARGET NAME
```
";

pub(super) fn page(catalogue: &Catalogue) -> String {
    let mut page = HEAD.to_owned();
    let files: Vec<&File> = catalogue.files.iter().filter(|file| !file.titles.is_empty()).collect();
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## Totals\n\n{}", totals(&files));
    for file in files {
        let _ = write!(page, "\n## {}\n\n| title | | kpr |\n|---|---|---|\n", file.name);
        for title in &file.titles {
            page.push_str(&row(title));
        }
    }
    page
}

fn totals(files: &[&File]) -> String {
    let mut table =
        String::from("| file | titles | of Conformance | pass | not applicable |\n|---|---:|---:|---:|---:|\n");
    let all = files.iter().flat_map(|file| &file.titles).collect::<Vec<_>>();
    for file in files {
        let titles: Vec<&Title> = file.titles.iter().collect();
        table.push_str(&sum(&format!("`{}`", file.name), &titles));
    }
    table.push_str(&sum("**all**", &all));
    table
}

fn sum(name: &str, titles: &[&Title]) -> String {
    let conformance = titles.iter().filter(|title| title.conformance).count();
    let passed = titles
        .iter()
        .filter(|title| matches!(title.answer, Answer::Tests(_)))
        .count();
    format!(
        "| {name} | {} | {conformance} | {passed} | {} |\n",
        titles.len(),
        titles.len() - passed
    )
}

fn row(title: &Title) -> String {
    let Title {
        upstream,
        conformance,
        answer,
    } = title;
    let mark = if *conformance { "**C**" } else { "" };
    let cell = match answer {
        Answer::NotApplicable(why) => format!("not applicable: {why}"),
        Answer::Tests(tests) => {
            let names: Vec<String> = tests
                .iter()
                .map(|(target, test)| format!("`{target}::{test}`"))
                .collect();
            format!("passes: {}", names.join(", "))
        }
    };
    format!("| {} | {mark} | {} |\n", escape(upstream), escape(&cell))
}

/// A pipe would end the cell.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_has_a_row_and_every_file_a_sum() {
        let catalogue = r#"[
            {"file": "service.go", "titles": [
                {"upstream": "should serve", "conformance": true, "tests": [["services", "serves"], ["nodes", "serves_nodes"]]},
                {"upstream": "should pipe a|b", "conformance": false, "notApplicable": "kpr has no pipes"}]},
            {"file": "empty.go", "titles": []}
        ]"#;
        let page = page(&Catalogue::parse(catalogue).unwrap());
        let tables = page.strip_prefix(HEAD).unwrap();
        assert_eq!(
            tables,
            "\n## Totals\n\n\
             | file | titles | of Conformance | pass | not applicable |\n|---|---:|---:|---:|---:|\n\
             | `service.go` | 2 | 1 | 1 | 1 |\n\
             | **all** | 2 | 1 | 1 | 1 |\n\
             \n## service.go\n\n| title | | kpr |\n|---|---|---|\n\
             | should serve | **C** | passes: `services::serves`, `nodes::serves_nodes` |\n\
             | should pipe a\\|b |  | not applicable: kpr has no pipes |\n"
        );
    }
}
