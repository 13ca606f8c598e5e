//! A statement as CSV (RFC 4180), safe to open in a spreadsheet.

use super::decimal;
use super::statement::{BillLine, Statement};

const HEAD: [&str; 16] = [
    "tenant_id",
    "tenant",
    "month",
    "is_final",
    "item",
    "kind",
    "engine",
    "model",
    "unit",
    "quantity",
    "price",
    "per",
    "amount",
    "currency",
    "calls",
    "unpriced",
];

pub fn of(statement: &Statement) -> String {
    let mut text = row(HEAD.map(str::to_owned));
    for line in &statement.bill.lines {
        text += &row(cells(statement, line));
    }
    text + &row(total(statement))
}

fn cells(statement: &Statement, line: &BillLine) -> [String; HEAD.len()] {
    let own = |text: &Option<String>| text.as_deref().map(safe).unwrap_or_default();
    [
        statement.tenant_id.to_string(),
        safe(&statement.tenant_name),
        statement.month.to_string(),
        statement.is_final.to_string(),
        line.item.as_str().to_owned(),
        line.kind.map(|kind| kind.to_string()).unwrap_or_default(),
        own(&line.engine),
        own(&line.model),
        line.unit.to_string(),
        line.quantity.to_string(),
        line.price_micros.map(decimal).unwrap_or_default(),
        line.per.to_string(),
        decimal(line.amount_micros),
        safe(&statement.bill.currency),
        String::new(),
        line.unpriced.to_string(),
    ]
}

fn total(statement: &Statement) -> [String; HEAD.len()] {
    let mut cells = [const { String::new() }; HEAD.len()];
    cells[0] = statement.tenant_id.to_string();
    cells[1] = safe(&statement.tenant_name);
    cells[2] = statement.month.to_string();
    cells[3] = statement.is_final.to_string();
    cells[4] = "total".to_owned();
    cells[12] = decimal(statement.bill.total_micros);
    cells[13] = safe(&statement.bill.currency);
    cells[14] = statement.sums.calls.to_string();
    cells[15] = statement.bill.lines.iter().any(|line| line.unpriced).to_string();
    cells
}

/// Text that spreadsheets do not interpret as a formula (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn safe(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn row<const N: usize>(cells: [String; N]) -> String {
    cells.map(|cell| quoted(&cell)).join(",") + "\r\n"
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader of RFC 4180 makes of a row.
    fn read(row: &str) -> Vec<String> {
        let (mut cells, mut cell, mut within) = (Vec::new(), String::new(), false);
        let mut rest = row.strip_suffix("\r\n").expect("a row's end").chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if within && rest.peek() == Some(&'"') => cell.push(rest.next().expect("a quote")),
                '"' => within = !within,
                ',' if !within => cells.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        cells.push(cell);
        cells
    }

    proptest! {
        #[test]
        fn a_row_reads_back(cells: [String; 3]) {
            prop_assert_eq!(read(&row(cells.clone())), cells);
        }

        #[test]
        fn no_cell_is_a_formula(text in "[=+@\t\r\n-]?.{0,10}") {
            prop_assert!(!safe(&text).starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        }
    }

    #[test]
    fn formulas_and_quotes_are_harmless() {
        assert_eq!(safe("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(safe("Acme"), "Acme");
        assert_eq!(row(["a \"b\", c".to_owned(), String::new()]), "\"a \"\"b\"\", c\",\r\n");
    }
}
