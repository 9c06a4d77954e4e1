//! Left-aligned columns, three blanks apart, as kubectl prints them.

use std::fmt::{self, Write};

const GAP: usize = 3;

/// A table; every row has as many cells as the header.
#[derive(Clone, Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
    indent: usize,
}

impl<const N: usize> Table<N> {
    /// A table that has only its header.
    pub(super) fn new(header: [&str; N]) -> Self {
        Self {
            rows: vec![header.map(str::to_owned)],
            indent: 0,
        }
    }

    /// Every line begins with this many blanks.
    pub(super) fn indent(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (width, cell) in widths.iter().zip(row) {
                write!(line, "{cell:<width$}", width = width + GAP)?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new(["ID", "Frontend"]).indent(2);
        table.row(["1".into(), "10.96.0.1:443/TCP".into()]);
        table.row(["10000".into(), String::new()]);
        assert_eq!(
            table.to_string(),
            "  ID      Frontend\n  1       10.96.0.1:443/TCP\n  10000\n"
        );
    }
}
