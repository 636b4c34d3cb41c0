//! What those who sit and wait are told: how far a long command has come.
//!
//! Invariant: nothing of it is seen where nobody sits, and nothing of it is left when the command has ended.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::streams::{Interrupted, Signals};

/// Says on a terminal how far it has come.
pub(super) struct Progress {
    done: &'static str,
    count: u64,
    /// When to say it next; `None` where nobody reads it.
    next: Option<Instant>,
    is_shown: bool,
    /// Of a command that does one step after the other.
    signals: Option<Signals>,
}

impl Progress {
    /// What takes no longer needs no word.
    const FIRST_AFTER: Duration = Duration::from_millis(500);
    const EVERY: Duration = Duration::from_millis(100);

    /// Of a command that writes nothing to stdout meanwhile.
    pub(super) fn new(done: &'static str) -> Self {
        let next = std::io::stderr().is_terminal().then(|| Instant::now() + Self::FIRST_AFTER);
        Self { done, count: 0, next, is_shown: false, signals: None }
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

    /// One more is done; the next may be, unless a signal has come that asks to end.
    ///
    /// Until the first one is done there is nothing to be said of it, and a signal ends the program as it always does.
    pub(super) fn step(&mut self) -> ControlFlow<()> {
        if self.count == 0 {
            // Where that is not to be had, it goes on to die of them.
            self.signals = Signals::catch_between_steps().ok();
        }
        self.add(1);
        self.interrupted().map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()))
    }

    /// The signal that came between two steps.
    pub(super) fn interrupted(&self) -> Option<Interrupted> {
        self.signals.as_ref().and_then(Signals::pending)
    }

    /// Waits so long until the next step, or until a signal comes.
    pub(super) fn rest(&self, time: Duration) -> ControlFlow<()> {
        match &self.signals {
            Some(signals) => signals.rest(time),
            None => std::thread::sleep(time),
        }
        self.interrupted().map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()))
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
        (self.next, self.is_shown) = (None, false);
    }
}
