//! Kubernetes' own Service tests: what the scenarios say about each, and the page that shows it.

mod catalogue;
mod document;

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use self::catalogue::{Answer, Catalogue};
use super::{outcome::Outcome, results::Verdicts};
use crate::{console, layout::Layout, process};

/// The page, from the root of the checkout.
const PAGE: &str = "docs/conformance.md";

/// Compare the test cluster's catalogue with what became of its tests, and bring the page up to date. Where `CI` is set, a page
/// that was not is a failure: the next commit would leave it so.
pub(super) fn run(layout: &Layout, verdicts: &Verdicts) -> Result<Outcome> {
    let mut command = Command::new(layout.debug_binary("kpr-cluster"));
    let catalogue = Catalogue::parse(&process::capture(command.arg("conformance"))?)?;
    let open = unanswered(&catalogue, verdicts);
    if !open.is_empty() {
        for problem in &open {
            console::note(problem);
        }
        return Ok(Outcome::broken(format!("{} titles are not answered", open.len())));
    }
    let path = layout.root.join(PAGE);
    let changed = update(&path, &document::page(&catalogue))?;
    if !changed {
        return Ok(Outcome::good());
    }
    console::note(&format!("{} written", path.display()));
    Ok(if env::var_os("CI").is_some() {
        Outcome::broken(format!("{PAGE} is not up to date: run cargo xtask test and commit it"))
    } else {
        Outcome::good()
    })
}

/// Each title whose tests did not all pass, and why.
fn unanswered(catalogue: &Catalogue, verdicts: &Verdicts) -> Vec<String> {
    let mut problems = Vec::new();
    for title in catalogue.files.iter().flat_map(|file| &file.titles) {
        let Answer::Tests(tests) = &title.answer else { continue };
        if tests.is_empty() {
            problems.push(format!("\"{}\" names no test", title.upstream));
        }
        for (target, test) in tests {
            let became = match verdicts.passed(test) {
                Some(true) => continue,
                Some(false) => "did not pass",
                None => "was not run",
            };
            problems.push(format!("\"{}\": {target}::{test} {became}", title.upstream));
        }
    }
    problems
}

/// Write the page if the file says something else. True if it did.
fn update(path: &Path, page: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|old| old == page) {
        return Ok(false);
    }
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalogue() -> Catalogue {
        let catalogue = json!([{"file": "service.go", "titles": [
            {"upstream": "should serve", "conformance": true, "tests": [["services", "serves"], ["nodes", "serves_nodes"]]},
            {"upstream": "should wait", "conformance": false, "tests": [["services", "waits"]]},
            {"upstream": "should speak DNS", "conformance": false, "notApplicable": "kpr has no DNS"},
        ]}]);
        Catalogue::parse(&catalogue.to_string()).unwrap()
    }

    fn after(lines: &[&str]) -> Vec<String> {
        let mut verdicts = Verdicts::default();
        for line in lines {
            verdicts.add_line(line);
        }
        unanswered(&catalogue(), &verdicts)
    }

    #[test]
    fn a_title_is_answered_when_all_of_its_tests_passed() {
        let all = ["test serves ... ok", "test serves_nodes ... ok", "test waits ... ok"];
        assert_eq!(after(&all), Vec::<String>::new());
    }

    #[test]
    fn a_test_that_failed_or_did_not_run_leaves_its_title_open() {
        assert_eq!(
            after(&["test serves ... FAILED", "test serves_nodes ... ok"]),
            [
                "\"should serve\": services::serves did not pass",
                "\"should wait\": services::waits was not run"
            ]
        );
    }

    #[test]
    fn the_page_is_written_only_when_it_changes() {
        let path = env::temp_dir().join(format!("xtask-conformance-{}.md", std::process::id()));
        assert!(update(&path, "one").unwrap());
        assert!(!update(&path, "one").unwrap());
        assert!(update(&path, "two").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        fs::remove_file(path).unwrap();
    }
}
