//! Left-aligned columns, three blanks apart, as kubectl prints them.

use std::{
    fmt::{self, Write},
    io,
};

use super::style;

const GAP: usize = 3;

/// A table; every row has as many cells as the header.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns are at least as wide.
    widths: Vec<usize>,
    indent: usize,
}

impl Table {
    /// A table that has only its header.
    pub(super) fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Self {
        let header: Vec<_> = header.into_iter().map(str::to_owned).collect();
        Self {
            widths: vec![0; header.len()],
            rows: vec![header],
            indent: 0,
        }
    }

    /// Every line begins with this many blanks.
    pub(super) fn indent(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints the rows that there are and forgets them: for a table that is too long to be laid out as a whole. Columns only get
    /// wider.
    pub(super) fn print_part(&mut self, out: &mut dyn io::Write) -> io::Result<()> {
        write!(out, "{self}")?;
        self.widths = self.widths();
        self.rows.clear();
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = self.widths.clone();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(style::width(cell));
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let mut line = String::new();
        for row in &self.rows {
            line.clear();
            line.extend(std::iter::repeat_n(' ', self.indent));
            for (width, cell) in widths.iter().zip(row) {
                let blanks = width + GAP - style::width(cell);
                write!(line, "{cell}{:blanks$}", "")?;
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

    #[test]
    fn a_coloured_cell_is_as_wide_as_it_is_seen() {
        let mut table = Table::new(["State", "ID"]);
        table.row([style::bad("gone"), "1".into()]);
        assert_eq!(style::plain(&table.to_string()), "State   ID\ngone    1\n");
    }

    #[test]
    fn a_table_in_parts_has_one_header_and_keeps_its_columns() {
        let mut table = Table::new(["ID", "Name"]);
        let mut out = Vec::new();
        table.row(["1000".into(), "a".into()]);
        table.print_part(&mut out).unwrap();
        table.row(["1".into(), "b".into()]);
        table.print_part(&mut out).unwrap();
        let expected = "ID     Name\n1000   a\n1      b\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
