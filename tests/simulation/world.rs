//! A machine: a disk, a clock, processes that come to a point at every call, and what may befall them there.
//!
//! Every call of a process to its file system is a *point*: before it, the schedule may go on with another
//! process, fail the call, kill the process (its locks fall), cut the power, or let time pass.
//! A process that has died gets an error from every further call, without any effect, and so runs out quickly; what
//! it would still say is not listened to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mq::store::spool::fs::{Fault, Names};

use super::choices::{Choices, next_random};
use super::disk::{Disk, Ino, errno, error};
use super::kinds::KINDS;
use super::ledger::Ledger;

/// A process's number.
pub type Pid = usize;

/// An open file description's number: what a lock belongs to.
pub type Description = u64;

/// A call, as the schedule sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub verb: &'static str,
    /// With what it may fail.
    pub errors: &'static [i32],
}

/// What may still befall a run, and how often it does when chosen by seed.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How often a process that could go on is made to wait for another.
    pub switches: u32,
    /// How many calls fail.
    pub errors: u32,
    /// How many processes are killed.
    pub kills: u32,
    /// How often the power goes.
    pub cuts: u32,
    /// Whether it goes once more when all is done.
    pub ends_in_cut: bool,
    /// How often the clock jumps.
    pub ticks: u32,
    /// One point in so many is a switch.
    pub switch_one_in: u64,
    /// One point in so many is a misfortune.
    pub fault_one_in: u64,
}

impl Limits {
    /// Nothing happens but what processes do.
    pub const CALM: Self = Self {
        switches: 0,
        errors: 0,
        kills: 0,
        cuts: 0,
        ends_in_cut: false,
        ticks: 0,
        switch_one_in: 2,
        fault_one_in: 2,
    };
}

/// How far the clock may jump at once: into the next second, past a temporary's youth, past a claim.
const TICKS_MS: [u64; 4] = [0, 1_000, 6_000, 31_000];

/// More calls than any schedule needs: one that makes more goes in circles.
const MOST_CALLS: u64 = 60_000;

#[derive(Debug, Default)]
struct Process {
    is_alive: bool,
    is_done: bool,
    call: Option<Call>,
    /// What the call it stands before is to fail with.
    failure: Option<i32>,
    waits_for: Option<Ino>,
    /// It is inside of an operation.
    is_busy: bool,
    /// Somebody else was, too, at some time since it began.
    had_company: bool,
    /// One of them was alive.
    had_living_company: bool,
    /// A call of this operation was made to fail.
    was_disturbed: bool,
    /// This operation was answered with an error.
    has_failed: bool,
    /// Descriptions that a command has inherited.
    inherited: Vec<Description>,
}

/// What a run did, for the figures.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub calls: u64,
    pub errors: u64,
    pub kills: u64,
    pub cuts: u64,
    pub operations: u64,
    /// How many operations of each kind ended well, and how many with an error.
    pub ends: [[u64; 2]; KINDS.len()],
}

/// What the schedule does next.
pub enum Next {
    Run(Pid),
    Finished,
}

pub struct World {
    pub disk: Disk,
    pub model: Names,
    /// Nobody can tell what file system it is.
    pub is_unknown: bool,
    /// Two names can be exchanged: not on every file system that is bare.
    pub can_exchange: bool,
    pub choices: Choices,
    pub limits: Limits,
    pub ledger: Ledger,
    pub counts: Counts,
    /// Every choice is to be gone through: no more of them than needed.
    pub is_exhaustive: bool,
    /// In which order directories list their names.
    pub listing: usize,
    /// The mistake that the engine is told to make.
    pub fault: Option<Fault>,
    pub violation: Option<String>,
    /// The clock has jumped under somebody.
    pub has_jumped: bool,
    /// How often the power went.
    pub boot: u32,
    random: u64,
    last: Pid,
    processes: Vec<Process>,
    open: BTreeMap<Description, (Ino, Pid)>,
    locks: BTreeMap<Ino, Description>,
    descriptions: u64,
    history: Option<String>,
}

/// The world as all processes of a run share it.
pub type Shared = Arc<Mutex<World>>;

/// The world, for a moment; never across a point.
pub fn hold(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub fn new(disk: Disk, model: Names, choices: Choices, keeps_history: bool) -> Self {
        Self {
            disk,
            model,
            is_unknown: false,
            can_exchange: model != Names::Bare,
            choices,
            limits: Limits::CALM,
            ledger: Ledger::default(),
            counts: Counts::default(),
            is_exhaustive: false,
            listing: 0,
            fault: None,
            violation: None,
            has_jumped: false,
            boot: 0,
            random: 7,
            last: 0,
            processes: Vec::new(),
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
            descriptions: 0,
            history: keeps_history.then(String::new),
        }
    }

    pub fn history(&self) -> &str {
        self.history.as_deref().unwrap_or_default()
    }

    /// Writes a line into the history, where one is kept.
    pub fn tell(&mut self, who: Option<Pid>, what: impl FnOnce() -> String) {
        let now_ms = self.disk.now_ms;
        if let Some(history) = &mut self.history {
            let who = who.map_or_else(|| "--".to_owned(), |pid| format!("p{pid}"));
            let _ = writeln!(history, "{:>9} {who} {}", now_ms - START_MS, what());
        }
    }

    /// Notes that an invariant does not hold; the first one counts.
    pub fn violate(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.tell(None, || format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub fn random(&mut self, pid: Pid) -> [u8; 10] {
        let (a, b) = (next_random(&mut self.random), next_random(&mut self.random));
        let drawn = std::array::from_fn(|at| if at < 8 { a.to_le_bytes()[at] } else { b.to_le_bytes()[at - 8] });
        self.ledger.note_drawn(pid, &drawn);
        drawn
    }

    pub fn boot_id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.boot)
    }

    /// Starts a new set of processes.
    pub fn set_processes(&mut self, count: usize) {
        self.processes = (0..count).map(|_| Process { is_alive: true, ..Process::default() }).collect();
        self.last = 0;
    }

    pub fn is_alive(&self, pid: Pid) -> bool {
        self.processes[pid].is_alive
    }

    pub fn finished(&mut self, pid: Pid) {
        self.processes[pid].is_done = true;
        // The dead have closed theirs when they died, but for what their commands live on with.
        if self.processes[pid].is_alive {
            self.close_all(pid);
        }
    }

    // Operations: what a process does between two things that it says.

    pub fn begin(&mut self, pid: Pid, what: impl FnOnce() -> String) {
        self.counts.operations += 1;
        let others = || self.processes.iter().enumerate().filter(|(other, p)| *other != pid && p.is_busy);
        let (company, living) = (others().next().is_some(), others().any(|(_, p)| p.is_alive));
        for process in self.processes.iter_mut().filter(|process| process.is_busy) {
            (process.had_company, process.had_living_company) = (true, true);
        }
        let process = &mut self.processes[pid];
        process.had_living_company = living;
        (process.is_busy, process.had_company, process.was_disturbed) = (true, company, false);
        process.has_failed = false;
        self.tell(Some(pid), what);
    }

    pub fn end(&mut self, pid: Pid, kind: usize) {
        // Who dies in the midst of it may have left anything half done: it goes on to be company.
        self.processes[pid].is_busy = false;
        self.counts.ends[kind][usize::from(self.processes[pid].has_failed)] += 1;
    }

    /// The operation was answered with an error.
    pub fn note_failed(&mut self, pid: Pid) {
        self.processes[pid].has_failed = true;
    }

    /// Nobody else did anything while this process was at it, and nothing failed.
    pub fn was_alone(&self, pid: Pid) -> bool {
        !self.processes[pid].had_company && !self.processes[pid].was_disturbed
    }

    /// As [`Self::was_alone`], but for those who died half way.
    pub fn was_alone_alive(&self, pid: Pid) -> bool {
        !self.processes[pid].had_living_company && !self.processes[pid].was_disturbed
    }

    pub fn was_disturbed(&self, pid: Pid) -> bool {
        self.processes[pid].was_disturbed
    }

    // Open files and their locks.

    pub fn open(&mut self, ino: Ino, pid: Pid) -> Description {
        self.descriptions += 1;
        self.open.insert(self.descriptions, (ino, pid));
        self.descriptions
    }

    pub fn close(&mut self, description: Description) {
        if let Some((ino, _)) = self.open.remove(&description)
            && self.locks.get(&ino) == Some(&description)
        {
            self.locks.remove(&ino);
        }
    }

    fn close_all(&mut self, pid: Pid) {
        let inherited = std::mem::take(&mut self.processes[pid].inherited);
        let own = self.open.iter().filter(|(description, (_, of))| *of == pid && !inherited.contains(description));
        for description in own.map(|(description, _)| *description).collect::<Vec<_>>() {
            self.close(description);
        }
    }

    /// A command gets a copy of every description that the process has locked: they live on when it dies.
    pub fn inherit_locks(&mut self, pid: Pid) {
        let own =
            self.locks.values().filter(|description| self.open.get(description).is_some_and(|(_, of)| *of == pid));
        self.processes[pid].inherited = own.copied().collect();
    }

    pub fn try_lock(&mut self, ino: Ino, description: Description) -> bool {
        *self.locks.entry(ino).or_insert(description) == description
    }

    pub fn unlock(&mut self, ino: Ino, description: Description) {
        if self.locks.get(&ino) == Some(&description) {
            self.locks.remove(&ino);
        }
    }

    pub fn wait_for(&mut self, pid: Pid, ino: Option<Ino>) {
        self.processes[pid].waits_for = ino;
    }

    // Points.

    /// A process comes to a point.
    pub fn arrive(&mut self, pid: Pid, call: Call) -> io::Result<()> {
        if !self.processes[pid].is_alive {
            return Err(error(errno::IO));
        }
        self.processes[pid].call = Some(call);
        Ok(())
    }

    /// It is its turn.
    pub fn depart(&mut self, pid: Pid) -> io::Result<()> {
        let process = &mut self.processes[pid];
        process.call = None;
        if !process.is_alive {
            return Err(error(errno::IO));
        }
        self.disk.now_ms += 1;
        match process.failure.take() {
            Some(errno) => {
                process.was_disturbed = true;
                Err(error(errno))
            }
            None => Ok(()),
        }
    }

    /// Decides what happens next.
    pub fn decide(&mut self) -> Next {
        self.counts.calls += 1;
        if self.counts.calls > MOST_CALLS {
            self.violate("the processes go in circles");
        }
        if self.violation.is_some() {
            self.kill_all();
        }
        if let Some(pid) = self.processes.iter().position(|p| !p.is_done && !p.is_alive) {
            // The dead run out first: they do nothing any more.
            return Next::Run(pid);
        }
        let able: Vec<Pid> = (0..self.processes.len()).filter(|pid| self.is_able(*pid)).collect();
        if able.is_empty() {
            if self.processes.iter().all(|process| process.is_done) {
                return Next::Finished;
            }
            self.violate("deadlock: every process waits for a lock");
            return self.decide();
        }
        let pid = self.choose_process(&able);
        self.last = pid;
        self.befall(pid);
        Next::Run(pid)
    }

    fn is_able(&self, pid: Pid) -> bool {
        let process = &self.processes[pid];
        !process.is_done && process.waits_for.is_none_or(|ino| !self.locks.contains_key(&ino))
    }

    fn choose_process(&mut self, able: &[Pid]) -> Pid {
        let Some(at) = able.iter().position(|pid| *pid == self.last) else {
            return able[self.choices.pick(able.len())];
        };
        if self.limits.switches == 0 {
            return able[at];
        }
        let by = self.choices.rarely(able.len(), self.limits.switch_one_in);
        self.limits.switches -= u32::from(by > 0);
        able[(at + by) % able.len()]
    }

    /// What befalls a process at its point, if anything does.
    fn befall(&mut self, pid: Pid) {
        let Some(call) = self.processes[pid].call else { return };
        let limits = &self.limits;
        let errors = if limits.errors > 0 { call.errors.len() } else { 0 };
        let kills = if limits.kills > 0 { 2 } else { 0 };
        let cuts = usize::from(limits.cuts > 0);
        let ticks = if limits.ticks > 0 { TICKS_MS.len() - 1 } else { 0 };
        let fate = self.choices.rarely(1 + errors + kills + cuts + ticks, limits.fault_one_in);
        let Some(fate) = fate.checked_sub(1) else { return };
        if fate < errors {
            self.limits.errors -= 1;
            self.counts.errors += 1;
            self.processes[pid].failure = Some(call.errors[fate]);
            self.ledger.order_may_differ |= self.boot > 0;
            self.tell(Some(pid), || format!("the next call fails: {}", error(call.errors[fate])));
        } else if fate < errors + kills {
            self.limits.kills -= 1;
            self.counts.kills += 1;
            self.tell(Some(pid), || format!("KILLED before {}", call.verb));
            if fate == errors {
                // The commands that it ran die with it.
                self.processes[pid].inherited.clear();
            }
            self.kill(pid);
        } else if fate < errors + kills + cuts {
            self.cut_power();
        } else {
            self.limits.ticks -= 1;
            self.has_jumped = true;
            self.pass_ms(TICKS_MS[1 + fate - errors - kills - cuts]);
        }
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.disk.now_ms += ms;
        self.tell(None, || format!("{ms} ms pass"));
    }

    fn kill(&mut self, pid: Pid) {
        let process = &mut self.processes[pid];
        process.is_alive = false;
        process.waits_for = None;
        let commands_live = !process.inherited.is_empty();
        self.close_all(pid);
        self.ledger.died(pid, commands_live, self.disk.now_ms);
    }

    pub fn kill_all(&mut self) {
        for pid in 0..self.processes.len() {
            self.processes[pid].is_alive = false;
            self.processes[pid].waits_for = None;
        }
    }

    /// Commands that outlived the processes that started them come to their end.
    pub fn end_commands(&mut self) {
        self.locks.clear();
        self.open.clear();
        self.ledger.all_died(self.disk.now_ms);
    }

    pub fn cut_power(&mut self) {
        self.limits.cuts = self.limits.cuts.saturating_sub(1);
        self.counts.cuts += 1;
        self.kill_all();
        self.end_commands();
        self.boot += 1;
        // On a disk that fails syncs, a message that nobody was promised may be found damaged.
        self.ledger.may_be_damaged |= self.disk.has_forgotten();
        let what = self.disk.crash(self.model, &mut self.choices, self.is_exhaustive);
        self.tell(None, || format!("POWER CUT: {what}"));
        self.ledger.power_was_cut();
    }
}

/// When every run begins.
pub const START_MS: u64 = 1_700_000_000_000;
