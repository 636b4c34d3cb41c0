//! `stat --watch`: looks again and again.
//!
//! On a terminal the last look stays on the screen. Anywhere else nothing is taken back: a line for each queue and look,
//! each written whole, as vmstat(8) does. Nothing has to be put in order in the end, so a signal just ends it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;

use super::flow::{Flow, Flows};
use super::words::{self, oldest, rate};
use super::{Looks, StatArgs, json};
use crate::commands::streams::{Stdout, StdoutError};
use crate::commands::{Outcome, note};
use crate::domain::QueueName;
use crate::store::{StateName, Store, chain};

/// Looks until `args` or a signal says that it is enough.
pub(super) fn run(store: &dyn Store, args: &StatArgs, every: Duration) -> Result<Outcome> {
    let is_screen = !args.json && std::io::stdout().is_terminal();
    let mut flows = Flows::default();
    let mut told = BTreeSet::new();
    let mut taken = 0;
    loop {
        let looks = Looks::take(store, args.queue.as_ref())?;
        flows.look(&looks);
        taken += 1;
        let text = if args.json {
            json::lines(&looks, Some(&flows))
        } else if is_screen {
            screen(&words::shown(args, &looks, Some(&flows))?, taken == 1, size())
        } else {
            lines(args, &looks, &flows, taken == 1)?
        };
        Stdout.write_all(text.as_bytes()).map_err(StdoutError)?;
        // A queue that is not there (any more) has nothing to wait for; one of many is no reason to miss the others.
        let is_over = args.queue.is_some() && !looks.failed.is_empty();
        if is_over || args.times.is_some_and(|times| taken >= times) {
            return Ok(looks.outcome());
        }
        if !is_screen {
            tell_failures(&looks, &mut told);
        }
        // After the look, however long that took: who looks must not be all that goes on.
        Stdout::rest(every)?;
    }
}

/// Says once of each queue that it cannot be counted.
fn tell_failures(looks: &Looks, told: &mut BTreeSet<QueueName>) {
    told.retain(|queue| looks.failed.iter().any(|(failed, _)| failed == queue));
    for (queue, error) in &looks.failed {
        if told.insert(queue.clone()) {
            note(chain(error));
        }
    }
}

/// A line for each queue, the first time under a heading.
fn lines(args: &StatArgs, looks: &Looks, flows: &Flows, is_first: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    // With one QUEUE there is no need to say which, and so there is room for the rest in 80 columns.
    let named = args.queue.is_none();
    if is_first {
        write!(text, "{:<20}", "TIME")?;
        for state in StateName::ALL {
            write!(text, " {:>7}", state.as_str().to_uppercase())?;
        }
        writeln!(text, " {:>6} {:>5} {:>5}{}", "OLDEST", "IN/S", "OUT/S", if named { "  QUEUE" } else { "" })?;
    }
    for look in &looks.counted {
        let time = looks.now.to_rfc3339();
        write!(text, "{:<20}", time.split_once('.').map_or(time.clone(), |(second, _)| format!("{second}Z")))?;
        for state in StateName::ALL {
            write!(text, " {:>7}", look.stat.of(state).messages)?;
        }
        let flow = flows.of(&look.queue);
        let (came_in, went_out) = (rate(flow, Flow::in_per_s), rate(flow, Flow::out_per_s));
        write!(text, " {:>6} {came_in:>5} {went_out:>5}", oldest(&look.stat, looks.now))?;
        writeln!(text, "{}", if named { format!("  {}", look.queue) } else { String::new() })?;
    }
    Ok(text)
}

/// How many rows and columns the terminal has; one that does not know says 0.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    size.map_or((0, 0), |size| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// The bytes that put `text` onto the screen in the place of what was there, as far as it fits.
fn screen(text: &str, is_first: bool, (rows, columns): (usize, usize)) -> String {
    // The last row is the cursor's: a newline there would scroll the first one away.
    let rows = if rows == 0 { usize::MAX } else { rows - 1 };
    let columns = if columns == 0 { usize::MAX } else { columns };
    let mut bytes = String::from(if is_first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    for line in text.lines().take(rows) {
        bytes.extend(line.chars().take(columns));
        // The rest of what was in this line.
        bytes.push_str("\x1b[K\n");
    }
    // And all that was below.
    bytes.push_str("\x1b[J");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_drawn_over_the_one_before_and_never_scrolls() {
        assert_eq!(screen("one\ntwo\n", true, (0, 0)), "\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J");
        assert_eq!(screen("one\n", false, (24, 80)), "\x1b[Hone\x1b[K\n\x1b[J");
        assert_eq!(screen("one\ntwo\nthree\n", false, (3, 2)), "\x1b[Hon\x1b[K\ntw\x1b[K\n\x1b[J");
    }
}
