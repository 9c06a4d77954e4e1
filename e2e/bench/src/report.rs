//! The generated part of docs/performance.md, and the picture in it.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    plot,
    results::{Measured, Results},
};

const BEGIN: &str = "<!-- written by `cargo xtask bench --report`: begin -->\n";
const END: &str = "<!-- end -->\n";
/// Beside the document.
const PICTURE: &str = "performance.svg";

/// Puts what was measured between the document's markers, and draws it beside the document.
pub(crate) fn write(results: &Results, document: &Path) -> Result<()> {
    let text = fs::read_to_string(document).with_context(|| format!("read {}", document.display()))?;
    let text = replace(&text, &section(results)).with_context(|| format!("{} has no markers", document.display()))?;
    fs::write(document, text).with_context(|| format!("write {}", document.display()))?;
    let picture = document.with_file_name(PICTURE);
    fs::write(&picture, plot::svg(&results.benchmarks)).with_context(|| format!("write {}", picture.display()))
}

fn replace(document: &str, section: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some([before, BEGIN, section, END, after].concat())
}

fn section(results: &Results) -> String {
    let machine = &results.machine;
    let [begin, end] = machine.load;
    #[expect(clippy::cast_precision_loss, reason = "a number of processors")]
    let busy = if begin.max(end) >= machine.cpus as f64 {
        ": a busy machine"
    } else {
        ""
    };
    let few = if results.quick { "; few rounds (`--quick`)" } else { "" };
    let mut text = format!(
        "\nMeasured on {} with {} × {}, Linux {}; load {begin:.1} when the run began and {end:.1} when it ended{busy}{few}.\n\n\
         | benchmark | ours | against | ratio (quartiles) | limit | met |\n|---|---|---|---|---|---|\n",
        machine.date.strftime("%Y-%m-%d"),
        machine.cpus,
        machine.cpu,
        machine.kernel,
    );
    for measured in &results.benchmarks {
        text.push_str(&row(measured));
    }
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n![The ratios: bars are ours to the peer's, thin lines quartiles, orange marks limits]({PICTURE})\n"
    );
    let mut told = Vec::new();
    for measured in &results.benchmarks {
        let Measured {
            name, what, against, ..
        } = measured;
        if !told.contains(&name) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "* `{name}`: {what}, against {against}.");
            told.push(name);
        }
    }
    text.push('\n');
    text
}

fn row(measured: &Measured) -> String {
    let Measured {
        name,
        unit,
        ours,
        peer,
        ratio,
        spread: [low, high],
        limit,
        met,
        ..
    } = measured;
    let limit = limit.map_or_else(|| "–".to_owned(), |limit| limit.to_string());
    let met = match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "–",
    };
    format!("| `{name}` | {ours:.1} {unit} | {peer:.1} {unit} | {ratio:.3} ({low:.3}–{high:.3}) | {limit} | {met} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn only_what_is_between_the_markers_is_written_anew() {
        let document = format!("# Performance\n\n{BEGIN}old\n{END}\n## More\n");
        let written = replace(&document, "new\n").unwrap();
        assert_eq!(written, format!("# Performance\n\n{BEGIN}new\n{END}\n## More\n"));
        assert_eq!(replace("no markers", "new"), None);
    }

    #[test]
    fn a_machine_that_had_more_to_do_than_processors_is_called_busy() {
        let mut results = results();
        results.machine.load = [0.5, 2.5];
        assert!(section(&results).contains("and 2.5 when it ended: a busy machine."));
    }

    #[test]
    fn a_row_tells_figures_limit_and_verdict() {
        let text = section(&results());
        for line in [
            "Measured on 2026-09-21 with 2 × AMD EPYC, Linux 6.18.44; load 0.2 when the run began and 1.5 when it ended.",
            "| `miss` | 61.2 ns | 50.0 ns | 1.225 (1.200–1.240) | ≤ 1.25 | yes |",
            "| `miss` | 61.2 ns | 50.0 ns | 1.225 (1.200–1.240) | ≥ 1.25 | **no** |",
            "| `miss` | 61.2 ns | 50.0 ns | 1.225 (1.200–1.240) | – | – |",
            "* `miss`: a packet of no service, against parse and one look-up.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
