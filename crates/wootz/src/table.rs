//! Tables in plain text, which read as Markdown too.

/// How a column's cells are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table that is printed when all its rows are known.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let columns = columns.into_iter().map(|(name, align)| (name.to_string(), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.columns[column].0.chars().count(), 3]).max().unwrap_or(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let write_row = |f: &mut std::fmt::Formatter<'_>, cells: &[String]| {
            for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(&self.columns) {
                match align {
                    Align::Left => write!(f, "| {cell:<width$} ")?,
                    Align::Right => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")
        };
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        write_row(f, &names)?;
        for (width, (_, align)) in widths.iter().zip(&self.columns) {
            match align {
                Align::Left => write!(f, "|{:-<1$}", "", width + 2)?,
                Align::Right => write!(f, "|{:-<1$}:", "", width + 1)?,
            }
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| write_row(f, row))
    }
}

/// A number of bytes, in the unit that suits it.
pub fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// A large count, with M or B for millions and billions.
pub fn count(value: u64) -> String {
    match value {
        1_000_000_000.. => format!("{:.2} B", value as f64 / 1e9),
        1_000_000.. => format!("{:.1} M", value as f64 / 1e6),
        1_000.. => format!("{:.1} K", value as f64 / 1e3),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_markdown() {
        let mut table = Table::new([("test", Align::Left), ("t/s", Align::Right)]);
        table.row(["pp512".into(), "1.5".into()]);
        table.row(["tg".into(), "1234.5".into()]);
        assert_eq!(
            table.to_string(),
            "| test  |    t/s |\n|-------|-------:|\n| pp512 |    1.5 |\n| tg    | 1234.5 |\n"
        );
    }

    #[test]
    fn sizes_take_the_unit_that_suits_them() {
        assert_eq!(
            (bytes(999), bytes(1536), bytes(30_152_832)),
            ("999 B".into(), "1.5 KiB".into(), "28.8 MiB".into())
        );
        assert_eq!(
            (count(46_200_000), count(7_000), count(5)),
            ("46.2 M".into(), "7.0 K".into(), "5".into())
        );
    }
}
