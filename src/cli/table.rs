//! Rows in aligned columns.

use std::fmt;

/// A table with a head; without rows it says that there are none.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Table {
        Table { rows: vec![head.map(str::to_uppercase).to_vec()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)).to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.len() == 1 {
            return writeln!(f, "none");
        }
        write_aligned(f, &self.rows)
    }
}

/// Names and values, a line each.
pub struct Sheet(Vec<Vec<String>>);

impl Sheet {
    pub fn new() -> Sheet {
        Sheet(Vec::new())
    }

    pub fn line(mut self, name: &str, value: impl fmt::Display) -> Sheet {
        self.0.push(vec![name.to_owned(), printable(&value.to_string())]);
        self
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_aligned(f, &self.0)
    }
}

/// A value that may be absent.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Replaces control characters, so that the words of a caller or an engine cannot control the reader's terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn write_aligned(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["name", "calls"]);
        table.row(["Zoë & Söhne".into(), "3".into()]);
        table.row(["a\x1b[2Jb".into(), "12".into()]);
        assert_eq!(table.to_string(), "NAME         CALLS\nZoë & Söhne  3\na [2Jb       12\n");
        assert_eq!(Table::new(["name"]).to_string(), "none\n");
    }
}
