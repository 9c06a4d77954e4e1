//! The ratios of a run as a picture (SVG): a bar for each benchmark, with its quartiles, and a mark where its limit is.

use std::fmt::Write as _;

use crate::results::{Limit, Measured};

/// Where bars begin, and how long one of ratio 1 is, in pixels.
const LEFT: f64 = 240.0;
const ONE: f64 = 300.0;
/// What fits: longer bars are cut off, and their figure tells.
const MOST: f64 = 2.0;
const ROW: f64 = 20.0;
const TOP: f64 = 28.0;

/// Draws them. Names are the catalogue's own: nothing in them needs to be escaped.
pub(crate) fn svg(benchmarks: &[Measured]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a number of benchmarks")]
    let height = TOP + ROW * benchmarks.len() as f64 + 8.0;
    let width = LEFT + MOST * ONE + 90.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for tenths in [0, 5, 10, 15, 20] {
        let ratio = f64::from(tenths) / 10.0;
        let (x, color) = (place(ratio), if tenths == 10 { "#444444" } else { "#dddddd" });
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{height}\" stroke=\"{color}\"/>\
             <text x=\"{x:.1}\" y=\"18\" text-anchor=\"middle\">{ratio}</text>"
        );
    }
    let mut y = TOP;
    for measured in benchmarks {
        svg.push_str(&row(measured, y));
        y += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}

fn row(measured: &Measured, y: f64) -> String {
    let Measured {
        name,
        ratio,
        spread: [low, high],
        limit,
        met,
        ..
    } = measured;
    let color = if *met == Some(false) { "#c0504d" } else { "#4f81bd" };
    let (middle, end) = (y + ROW / 2.0, place(*ratio));
    let mut row = format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\
         <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{color}\"/>\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#000000\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{ratio:.2}</text>",
        LEFT - 6.0,
        middle + 4.0,
        y + 4.0,
        end - LEFT,
        ROW - 8.0,
        place(*low),
        place(*high),
        place(high.max(*ratio)) + 6.0,
        middle + 4.0,
    );
    if let Some(Limit::AtMost(limit) | Limit::AtLeast(limit)) = limit {
        let x = place(*limit);
        let _ = write!(
            row,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#e08000\" stroke-width=\"3\"/>",
            y + 1.0,
            y + ROW - 1.0
        );
    }
    row.push('\n');
    row
}

fn place(ratio: f64) -> f64 {
    LEFT + ratio.clamp(0.0, MOST) * ONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::results;

    #[test]
    fn a_bar_is_as_long_as_its_ratio_and_its_limit_is_marked() {
        let drawn = svg(&results().benchmarks);
        // 1.225 of 300 pixels, and a mark at 1.25.
        assert!(drawn.contains("width=\"367.5\""), "{drawn}");
        assert!(drawn.contains("x1=\"615.0\" x2=\"615.0\""), "{drawn}");
    }

    #[test]
    fn a_limit_that_is_not_met_has_another_color() {
        let results = results();
        let color = |met| {
            let measured = results.benchmarks.iter().find(|measured| measured.met == met).unwrap();
            row(measured, 0.0).contains("#c0504d")
        };
        assert_eq!(
            [color(Some(true)), color(Some(false)), color(None)],
            [false, true, false]
        );
    }
}
