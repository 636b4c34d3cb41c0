//! The one table that comes out.

use std::fmt;

use super::samples::Samples;

const HEAD: [&str; 6] = ["what", "runs", "floor", "measured", "ratio", "goal"];

/// Rows of text, one column each for [`HEAD`].
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 6]>,
}

/// The text of a cell in which nothing belongs.
pub(crate) const NOTHING: &str = "-";

impl Table {
    /// A line that says what the rows below it have in common.
    pub(crate) fn section(&mut self, title: impl Into<String>) {
        self.rows.push([title.into(), String::new(), String::new(), String::new(), String::new(), String::new()]);
    }

    pub(crate) fn row(&mut self, what: &str, runs: usize, cells: [&str; 4]) {
        let [floor, measured, ratio, goal] = cells.map(str::to_owned);
        self.rows.push([format!("  {what}"), runs.to_string(), floor, measured, ratio, goal]);
    }

    /// A row whose ratio is how many times as long as its floor it takes.
    pub(crate) fn against(&mut self, what: &str, floor: &Samples, measured: &Samples, goal: &str) {
        let ratio = format!("{:.2} ×", measured.ratio_to(floor));
        self.row(what, measured.len(), [&floor.to_string(), &measured.to_string(), &ratio, goal]);
    }

    /// A row of something that has neither floor nor goal.
    pub(crate) fn alone(&mut self, what: &str, measured: &Samples) {
        self.row(what, measured.len(), [NOTHING, &measured.to_string(), NOTHING, NOTHING]);
    }

    /// A sentence where a row would be.
    pub(crate) fn note(&mut self, sentence: &str) {
        self.section(format!("  {sentence}"));
    }
}

/// Whether a row is a line of text, which the columns do not have to make room for.
fn is_text(row: &[String; 6]) -> bool {
    row[1..].iter().all(String::is_empty)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = HEAD.map(str::to_owned);
        let mut widths = HEAD.map(str::len);
        for row in self.rows.iter().filter(|row| !is_text(row)) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in std::iter::once(&head).chain(&self.rows) {
            if is_text(row) {
                writeln!(f, "{}", row[0])?;
                continue;
            }
            let [what, runs, floor, measured, ratio, goal] = row;
            let line = format!(
                "{what:<0$}  {runs:>1$}  {floor:>2$}  {measured:>3$}  {ratio:>4$}  {goal}",
                widths[0], widths[1], widths[2], widths[3], widths[4]
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
