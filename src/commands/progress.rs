//! What those who sit and wait are told: how far a long command has come.
//!
//! Invariant: nothing of it is seen where nobody sits, and nothing of it is left when the command has ended.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Says on a terminal how far it has come.
pub(super) struct Progress {
    done: &'static str,
    count: u64,
    /// When to say it next; `None` where nobody reads it.
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// What takes no longer needs no word.
    const FIRST_AFTER: Duration = Duration::from_millis(500);
    const EVERY: Duration = Duration::from_millis(100);

    /// Of a command that writes nothing to stdout meanwhile.
    pub(super) fn new(done: &'static str) -> Self {
        let next = std::io::stderr().is_terminal().then(|| Instant::now() + Self::FIRST_AFTER);
        Self { done, count: 0, next, is_shown: false }
    }

    /// Of a command that writes to stdout: a terminal that shows that needs no more, and would show both in one line.
    pub(super) fn beside_stdout(done: &'static str) -> Self {
        let all = Self::new(done);
        if std::io::stdout().is_terminal() { Self { next: None, ..all } } else { all }
    }

    /// How many are done.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// One more is done; the next may be.
    pub(super) fn step(&mut self) -> ControlFlow<()> {
        self.add(1);
        ControlFlow::Continue(())
    }

    /// So many more are done, or none, and it goes on all the same.
    pub(super) fn add(&mut self, more: u64) {
        self.count += more;
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if next <= now {
            self.next = Some(now + Self::EVERY);
            self.is_shown = true;
            let _ = write!(std::io::stderr(), "\rmq: {} {} so far", self.done, self.count);
        }
    }

    /// Leaves the line to what is said next.
    pub(super) fn finish(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        *self = Self { next: None, is_shown: false, ..*self };
    }
}
