//! The catalogue fits upstream's list, the scenarios, and the test targets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{Cover, FILES, File};

/// Upstream's titles: a file per upstream file, called like it, with a title per line; `[C]` before one is for Conformance.
const UPSTREAM: &str = "src/conformance/upstream";

#[test]
fn no_title_is_there_twice() {
    for File { name, titles } in FILES {
        let mut seen = BTreeSet::new();
        for title in *titles {
            assert!(seen.insert(title.upstream), "{name}: {}", title.upstream);
        }
    }
}

#[test]
fn every_upstream_title_is_there_and_no_other() {
    let ours: BTreeSet<(String, String, bool)> = FILES
        .iter()
        .flat_map(|file| {
            file.titles
                .iter()
                .map(|title| (file.name.to_owned(), title.upstream.to_owned(), title.conformance))
        })
        .collect();
    let upstream = upstream();
    let missing: Vec<_> = upstream.difference(&ours).collect();
    let unknown: Vec<_> = ours.difference(&upstream).collect();
    assert!(missing.is_empty(), "not in the catalogue: {missing:#?}");
    assert!(unknown.is_empty(), "not in {UPSTREAM}: {unknown:#?}");
}

#[test]
fn what_is_not_applicable_has_its_reason() {
    for title in FILES.iter().flat_map(|file| file.titles) {
        match title.cover {
            Cover::NotApplicable(why) => assert!(why.len() > 20, "{}: {why}", title.upstream),
            _ => assert!(!title.cover.tests().is_empty(), "{} names no test", title.upstream),
        }
    }
}

#[test]
fn every_test_that_is_named_exists_and_its_name_is_unique() {
    // The harness prints a test's name and not its target: it must say enough.
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files("tests", "rs") {
        let target = path.file_stem().unwrap().to_string_lossy().into_owned();
        for name in test_names(&fs::read_to_string(&path).unwrap()) {
            targets.entry(name).or_default().push(target.clone());
        }
    }
    for title in FILES.iter().flat_map(|file| file.titles) {
        for (target, test) in title.cover.tests() {
            let found = targets.get(test).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(found, [target], "{}: where {test} is", title.upstream);
        }
    }
}

#[test]
fn scenarios_claim_the_titles_that_they_cover_and_no_others() {
    let covered: BTreeSet<&str> = FILES
        .iter()
        .flat_map(|file| file.titles)
        .filter(|title| !title.cover.tests().is_empty())
        .map(|title| title.upstream)
        .collect();
    let claims: Vec<String> = files("src/scenario", "rs")
        .iter()
        .flat_map(|path| claimed(&fs::read_to_string(path).unwrap()))
        .collect();
    let claimed: BTreeSet<&str> = claims.iter().map(String::as_str).collect();
    let silent: Vec<_> = covered.difference(&claimed).collect();
    let unknown: Vec<_> = claimed.difference(&covered).collect();
    assert!(
        silent.is_empty(),
        "in the catalogue, but no scenario's documentation has it: {silent:#?}"
    );
    assert!(unknown.is_empty(), "claimed, but not in the catalogue: {unknown:#?}");
}

#[test]
fn claims_are_read_over_several_lines_and_several_at_a_time() {
    let source = "/// What it does.\n///\n/// Upstream: \"should be\n/// good\"\npub async fn a() {}\n\
                  /// Upstream: \"one\"\n/// Upstream: \"two\"\nfn b() {}\n// Upstream: \"none\"\n";
    assert_eq!(claimed(source), ["should be good", "one", "two"]);
}

fn upstream() -> BTreeSet<(String, String, bool)> {
    let mut titles = BTreeSet::new();
    for path in files(UPSTREAM, "txt") {
        let file = format!("{}.go", path.file_stem().unwrap().to_string_lossy());
        for line in fs::read_to_string(&path).unwrap().lines() {
            let (title, conformance) = line.strip_prefix("[C] ").map_or((line, false), |title| (title, true));
            let new = titles.insert((file.clone(), title.to_owned(), conformance));
            assert!(new, "twice in {}: {line}", path.display());
        }
    }
    titles
}

/// The files with this extension below a folder of this package.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found
}

/// The functions below `#[test]` or `#[tokio::test…]`, by name.
fn test_names(source: &str) -> Vec<String> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in source.lines() {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            names.extend(rest.split('(').next().map(str::to_owned));
            is_test = false;
        }
    }
    names
}

/// The titles in lines `/// Upstream: "…"`.
fn claimed(source: &str) -> Vec<String> {
    let mut titles = Vec::new();
    let mut open: Option<String> = None;
    for line in source.lines() {
        let Some(text) = line.trim().strip_prefix("///").map(str::trim) else {
            assert!(open.is_none(), "no end of a title: {open:?}");
            continue;
        };
        let text = match (open.take(), text.strip_prefix("Upstream: \"")) {
            (Some(title), _) => format!("{title} {text}"),
            (None, Some(title)) => title.to_owned(),
            (None, None) => continue,
        };
        match text.strip_suffix('"') {
            Some(title) => titles.push(title.to_owned()),
            None => open = Some(text),
        }
    }
    titles
}
