//! Small cases, gone through to the end: every schedule with so many switches, and so many misfortunes at every call.

use mq::domain::Policy;
use mq::store::spool::fs::Names;

use super::caps::{room_and_archive, room_for_one, room_for_two};
use super::operations::{CLAIM, DELETE, Operation, PUT, TAKE, Then};
use super::plan::{Plan, backing_off, parks_what_is_old, two_deliveries, with_archive, with_short_archive};
use super::world::Limits;

/// A case and what may happen in it.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub before: &'static [Operation],
    pub processes: &'static [&'static [Operation]],
    pub policy: fn() -> Policy,
    /// Switches between processes.
    pub switches: u32,
    /// Errors, kills, power cuts and jumps of the clock: each of them at most so often.
    pub misfortunes: [u32; 4],
    /// Whether the power goes when all is done.
    pub ends_in_cut: bool,
}

impl Scenario {
    pub fn plan(&self, model: Names) -> Plan {
        let [errors, kills, cuts, ticks] = self.misfortunes;
        Plan {
            model: Some(model),
            policy: self.policy,
            before: self.before,
            processes: self.processes,
            limits: Limits {
                switches: self.switches,
                errors,
                kills,
                cuts,
                ticks,
                ends_in_cut: self.ends_in_cut,
                ..Limits::CALM
            },
            fault: None,
        }
    }
}

const NOTHING: [u32; 4] = [0, 0, 0, 0];
const ERROR: [u32; 4] = [1, 0, 0, 0];
const KILL: [u32; 4] = [0, 1, 0, 0];
const CUT: [u32; 4] = [0, 0, 1, 0];
const TICK: [u32; 4] = [0, 0, 0, 1];

const MORTAL: Operation = Operation::Put { delay_s: 0, priority: 5, ttl_s: 2, durable: true, long: false };
const BATCH: Operation = Operation::PutBatch { count: 2, delay_s: 0 };
const ATOMIC: Operation = Operation::PutAtomic { count: 2 };
const DELAYED: Operation = Operation::Put { delay_s: 3, priority: 5, ttl_s: 0, durable: true, long: false };
const UNSYNCED: Operation = Operation::Put { delay_s: 0, priority: 5, ttl_s: 0, durable: false, long: false };
const CLAIM_THREE: Operation = Operation::Claim { most: 3, visibility_s: 30 };
const SHORT: Operation = Operation::Claim { most: 1, visibility_s: 0 };
const RELEASE: Operation = Operation::Release { which: 0, delay_s: Some(0) };
const LATER: Operation = Operation::Release { which: 0, delay_s: Some(4) };
const FAILED: Operation = Operation::Release { which: 0, delay_s: None };
const EXTEND: Operation = Operation::Extend { which: 0, visibility_s: 60 };
const COMMAND: Operation = Operation::ClaimHeld { most: 1, then: Then::Command };
const GIVE_BACK: Operation = Operation::ClaimHeld { most: 1, then: Then::Release };
const VANISH: Operation = Operation::ClaimHeld { most: 1, then: Then::Vanish };
const FAIL: Operation = Operation::ClaimHeld { most: 1, then: Then::Fail };
const REPAIR: Operation = Operation::Fsck { repair: true };
const UNIQUE: Operation = Operation::PutUnique { key: 0, window_s: 0, delay_s: 0, group: None };
const WINDOW: Operation = Operation::PutUnique { key: 0, window_s: 40, delay_s: 0, group: None };
const GROUP: Operation = Operation::PutGroup { group: 0, count: 1, delay_s: 0 };
const GROUP_BATCH: Operation = Operation::PutGroup { group: 0, count: 3, delay_s: 0 };
const UNIQUE_IN_GROUP: Operation = Operation::PutUnique { key: 0, window_s: 0, delay_s: 0, group: Some(0) };
const LOOK_FOR_DAMAGE: Operation = Operation::Fsck { repair: false };
const MOVE: Operation = Operation::MoveAll { back: false };
/// What is put with a time to live is too old after it.
const PASS: Operation = Operation::Pass { seconds: 125 };
const BACK: Operation = Operation::MoveAll { back: true };
const MOVE_ONE: Operation = Operation::MoveOne { which: 1 };
const PURGE_ONE: Operation = Operation::PurgeOne { which: 1 };
const EDIT: Operation = Operation::Edit { which: 0 };
const REPLAY: Operation = Operation::Replay { which: None, most: u64::MAX };
const REPLAY_ONE: Operation = Operation::Replay { which: Some(0), most: u64::MAX };
const REPLAY_FIRST: Operation = Operation::Replay { which: None, most: 1 };
const NOTE: Operation = Operation::NoteFailure { which: 0 };
const WAITING: Operation = Operation::ClaimWaiting;

const fn case(
    name: &'static str,
    before: &'static [Operation],
    processes: &'static [&'static [Operation]],
    switches: u32,
    misfortunes: [u32; 4],
) -> Scenario {
    Scenario { name, before, processes, policy: Policy::default, switches, misfortunes, ends_in_cut: false }
}

/// A case in a queue with a cap.
const fn capped(policy: fn() -> Policy, scenario: Scenario) -> Scenario {
    Scenario { policy, ..scenario }
}
/// One that is run with a mistake only: it would take long to go through to its end.
pub const TWO_CLAIMS_OF_AN_EDITED: Scenario =
    case("edit and two claims, one of them held", &[PUT], &[&[COMMAND], &[EDIT, CLAIM]], 3, NOTHING);
/// A case in a queue with an archive.
const fn archived(scenario: Scenario) -> Scenario {
    Scenario { policy: with_archive, ..scenario }
}

/// A case after which the power goes.
const fn and_cut(scenario: Scenario) -> Scenario {
    Scenario { ends_in_cut: true, ..scenario }
}

/// All of them. What one process does alone is failed, killed and cut off at every call; what several do at once is
/// switched at every call.
pub const SCENARIOS: &[Scenario] = &[
    case("put: errors", &[], &[&[PUT, PUT]], 0, ERROR),
    case("put: kills", &[], &[&[PUT, PUT]], 0, KILL),
    case("put: power cuts", &[], &[&[PUT, PUT]], 0, CUT),
    case("delayed put: errors", &[], &[&[DELAYED]], 0, ERROR),
    case("delayed put: power cuts", &[], &[&[DELAYED]], 0, CUT),
    case("unsynced put before a synced one: power cuts", &[], &[&[UNSYNCED, PUT]], 0, CUT),
    case("batch: errors", &[], &[&[BATCH]], 0, ERROR),
    case("batch: kills", &[], &[&[BATCH]], 0, KILL),
    case("batch: power cuts", &[PUT], &[&[BATCH, PUT]], 0, CUT),
    case("atomic batch: errors", &[PUT], &[&[ATOMIC]], 0, ERROR),
    case("atomic batch: kills", &[PUT], &[&[ATOMIC], &[CLAIM_THREE]], 0, KILL),
    case("atomic batch: power cuts", &[PUT], &[&[ATOMIC, PUT]], 0, CUT),
    case("atomic batch and claim", &[], &[&[ATOMIC], &[CLAIM_THREE]], 2, NOTHING),
    case("atomic batch and put", &[], &[&[ATOMIC], &[PUT]], 2, NOTHING),
    case("atomic batch of many: kills", &[], &[&[Operation::PutAtomic { count: 258 }]], 0, KILL),
    case("claim and delete: errors", &[PUT, PUT], &[&[CLAIM, DELETE]], 0, ERROR),
    case("claim and delete: kills", &[PUT, PUT], &[&[CLAIM, DELETE]], 0, KILL),
    case("claim and delete: power cuts", &[PUT, PUT], &[&[CLAIM, DELETE]], 0, CUT),
    case("several claimed at once: errors", &[PUT, PUT, PUT], &[&[CLAIM_THREE]], 0, ERROR),
    case("several claimed at once: kills", &[PUT, PUT, PUT], &[&[CLAIM_THREE]], 0, KILL),
    case("several claimed at once: power cuts", &[PUT, PUT, PUT], &[&[CLAIM_THREE, DELETE]], 0, CUT),
    case("held claim: errors", &[PUT], &[&[TAKE]], 0, ERROR),
    case("held claim: kills", &[PUT], &[&[COMMAND], &[CLAIM]], 1, KILL),
    case("held claim: power cuts", &[PUT], &[&[COMMAND]], 0, CUT),
    case("failed command: errors", &[PUT], &[&[FAIL, CLAIM]], 0, ERROR),
    case("release: errors", &[PUT, CLAIM], &[&[RELEASE, CLAIM]], 0, ERROR),
    case("release: power cuts", &[PUT, CLAIM], &[&[RELEASE, CLAIM]], 0, CUT),
    case("release with a delay: kills", &[PUT, CLAIM], &[&[LATER]], 0, KILL),
    case("extend: errors", &[PUT, CLAIM], &[&[EXTEND, DELETE]], 0, ERROR),
    case("extend: power cuts", &[PUT, CLAIM], &[&[EXTEND]], 0, CUT),
    case("extend: kills", &[PUT, CLAIM], &[&[EXTEND]], 0, KILL),
    case("release with a delay: errors", &[PUT, CLAIM], &[&[LATER]], 0, ERROR),
    case("note of a failure: errors", &[PUT, CLAIM], &[&[NOTE, DELETE]], 0, ERROR),
    case("note of a failure: kills", &[PUT, CLAIM], &[&[NOTE]], 0, KILL),
    case("look: errors", &[PUT, DELAYED, CLAIM], &[&[Operation::Look]], 0, ERROR),
    case("wait: errors", &[DELAYED], &[&[Operation::Wait, CLAIM]], 0, ERROR),
    case("wait for a message: errors", &[DELAYED], &[&[WAITING]], 0, ERROR),
    case("wait for a message and put", &[], &[&[WAITING], &[PUT]], 1, NOTHING),
    case("move to another queue: errors", &[Operation::Create, PUT, DELAYED], &[&[MOVE]], 0, ERROR),
    case("move to another queue: kills", &[Operation::Create, PUT, DELAYED], &[&[MOVE]], 0, KILL),
    case("move to another queue: power cuts", &[Operation::Create, PUT, DELAYED], &[&[MOVE]], 0, CUT),
    case("purge: errors", &[PUT, DELAYED, CLAIM], &[&[Operation::Purge, PUT]], 0, ERROR),
    case("purge: power cuts", &[PUT, DELAYED], &[&[Operation::Purge]], 0, CUT),
    case("purge: kills", &[PUT, DELAYED], &[&[Operation::Purge]], 0, KILL),
    case("purge of one: errors", &[PUT, PUT, CLAIM], &[&[PURGE_ONE]], 0, ERROR),
    case("purge of one: power cuts", &[PUT, DELAYED], &[&[PURGE_ONE]], 0, CUT),
    case("purge of one and claim", &[PUT, PUT], &[&[PURGE_ONE], &[CLAIM_THREE]], 1, NOTHING),
    case("move of one: errors", &[Operation::Create, PUT, PUT], &[&[MOVE_ONE]], 0, ERROR),
    case("move of one: kills", &[Operation::Create, PUT, PUT], &[&[MOVE_ONE]], 0, KILL),
    case("create and drop: errors", &[], &[&[Operation::Create, Operation::Drop]], 0, ERROR),
    case("drop of a queue that is not empty: errors", &[PUT, CLAIM, DELAYED], &[&[Operation::DropForce]], 0, ERROR),
    case("drop of a queue that is not empty: kills", &[PUT, CLAIM, DELAYED], &[&[Operation::DropForce]], 0, KILL),
    case("drop of a queue that is not empty: power cuts", &[PUT, CLAIM], &[&[Operation::DropForce]], 0, CUT),
    case("drop of a queue that is not empty, and put", &[PUT], &[&[Operation::DropForce], &[PUT]], 1, NOTHING),
    case("create and drop: kills", &[], &[&[Operation::Create, Operation::Drop]], 0, KILL),
    case("create and drop: power cuts", &[PUT], &[&[Operation::Create, Operation::Drop]], 0, CUT),
    case("policy: errors", &[], &[&[Operation::SetPolicy, PUT]], 0, ERROR),
    case("policy: kills", &[], &[&[Operation::SetPolicy]], 0, KILL),
    case("pause and resume: errors", &[PUT], &[&[Operation::Pause, CLAIM, Operation::Resume, CLAIM]], 0, ERROR),
    case("pause and resume: kills", &[PUT], &[&[Operation::Pause, Operation::Resume, CLAIM]], 0, KILL),
    case("pause and claim", &[PUT], &[&[Operation::Pause, Operation::Resume], &[CLAIM]], 1, NOTHING),
    case("check: errors", &[PUT, CLAIM, DELAYED], &[&[LOOK_FOR_DAMAGE]], 0, ERROR),
    case("repair: errors", &[PUT, CLAIM, DELAYED], &[&[REPAIR]], 0, ERROR),
    case("repair: kills", &[PUT, CLAIM, DELAYED], &[&[REPAIR]], 0, KILL),
    case("unique put: errors", &[], &[&[UNIQUE, UNIQUE]], 0, ERROR),
    case("unique put: kills", &[], &[&[UNIQUE], &[UNIQUE]], 0, KILL),
    case("unique put: power cuts", &[], &[&[UNIQUE], &[UNIQUE]], 0, CUT),
    case("unique put when it is there: power cuts", &[UNIQUE], &[&[UNIQUE, PUT]], 0, CUT),
    case("unique put and delete: errors", &[UNIQUE], &[&[CLAIM, DELETE, UNIQUE]], 0, ERROR),
    case("unique put and delete: kills", &[UNIQUE, CLAIM], &[&[DELETE], &[UNIQUE]], 0, KILL),
    case("unique put and delete: power cuts", &[UNIQUE, CLAIM], &[&[DELETE, UNIQUE]], 0, CUT),
    case("window and delete: errors", &[WINDOW, CLAIM], &[&[DELETE, WINDOW]], 0, ERROR),
    case("window and delete: kills", &[WINDOW, CLAIM], &[&[DELETE], &[WINDOW]], 0, KILL),
    case("window and delete: power cuts", &[WINDOW, CLAIM], &[&[DELETE, WINDOW]], 0, CUT),
    case("unique put and the delete of one with a window", &[WINDOW, CLAIM], &[&[WINDOW], &[DELETE]], 2, NOTHING),
    case("two unique puts", &[], &[&[UNIQUE], &[UNIQUE]], 2, NOTHING),
    case("unique put and the delete of the other", &[UNIQUE, CLAIM], &[&[UNIQUE], &[DELETE]], 2, NOTHING),
    case("unique put and sweep, and kill", &[], &[&[UNIQUE], &[CLAIM]], 1, KILL),
    case("move of a unique one: errors", &[Operation::Create, UNIQUE], &[&[MOVE, UNIQUE, BACK]], 0, ERROR),
    case("move of a unique one: kills", &[Operation::Create, UNIQUE], &[&[MOVE], &[UNIQUE]], 0, KILL),
    case("move of a unique one: power cuts", &[Operation::Create, UNIQUE], &[&[MOVE, UNIQUE]], 0, CUT),
    case("a unique one moves back: errors", &[Operation::Create, UNIQUE, MOVE], &[&[BACK, UNIQUE]], 0, ERROR),
    case("a unique one moves back: kills", &[Operation::Create, UNIQUE, MOVE], &[&[BACK], &[UNIQUE]], 0, KILL),
    case("a unique one moves back: power cuts", &[Operation::Create, UNIQUE, MOVE], &[&[BACK, UNIQUE]], 0, CUT),
    case("a unique one moves back, and a put", &[Operation::Create, UNIQUE, MOVE], &[&[BACK], &[UNIQUE]], 2, NOTHING),
    case("a unique one moves back twice", &[Operation::Create, UNIQUE, MOVE], &[&[BACK], &[BACK]], 2, NOTHING),
    case("two of a key move: kills", &[Operation::Create, UNIQUE, MOVE, UNIQUE], &[&[BACK, MOVE], &[UNIQUE]], 0, KILL),
    case(
        "one of a group and a key moves back: kills",
        &[Operation::Create, UNIQUE_IN_GROUP, MOVE],
        &[&[BACK], &[UNIQUE, GROUP]],
        0,
        KILL,
    ),
    case("one with a window moves: kills", &[Operation::Create, WINDOW], &[&[MOVE], &[WINDOW, BACK]], 0, KILL),
    case("put to a group: errors", &[], &[&[GROUP, GROUP]], 0, ERROR),
    case("put to a group: kills", &[], &[&[GROUP, GROUP], &[GROUP]], 0, KILL),
    case("put to a group: power cuts", &[], &[&[GROUP, GROUP]], 0, CUT),
    case("batch of a group: errors", &[GROUP], &[&[GROUP_BATCH]], 0, ERROR),
    case("batch of a group: kills", &[], &[&[GROUP_BATCH], &[GROUP]], 0, KILL),
    case("batch of a group: power cuts", &[], &[&[GROUP_BATCH, GROUP]], 0, CUT),
    case("turn in a group: errors", &[GROUP, GROUP, CLAIM], &[&[DELETE, CLAIM]], 0, ERROR),
    case("turn in a group: kills", &[GROUP, GROUP, CLAIM], &[&[DELETE], &[GROUP, CLAIM_THREE]], 0, KILL),
    case("turn in a group: power cuts", &[GROUP, GROUP, CLAIM], &[&[DELETE, CLAIM]], 0, CUT),
    case("unique put to a group: kills", &[UNIQUE_IN_GROUP, CLAIM], &[&[DELETE], &[UNIQUE_IN_GROUP]], 0, KILL),
    case("unique put to a group: power cuts", &[GROUP], &[&[UNIQUE_IN_GROUP, CLAIM, DELETE]], 0, CUT),
    case("move of a group: errors", &[Operation::Create, GROUP, GROUP], &[&[MOVE]], 0, ERROR),
    case("move of a group: kills", &[Operation::Create, GROUP, GROUP], &[&[MOVE]], 0, KILL),
    case("move of a group: power cuts", &[Operation::Create, GROUP, GROUP], &[&[MOVE]], 0, CUT),
    case("move of the first of a group: kills", &[Operation::Create, GROUP, GROUP], &[&[MOVE_ONE], &[CLAIM]], 0, KILL),
    case("purge of a group: kills", &[GROUP, GROUP], &[&[Operation::Purge], &[GROUP]], 0, KILL),
    case("repair of a group: kills", &[GROUP, GROUP, CLAIM], &[&[REPAIR]], 0, KILL),
    case("two puts to a group", &[], &[&[GROUP, CLAIM], &[GROUP, CLAIM]], 1, NOTHING),
    case("put to a group and the delete of the first", &[GROUP, CLAIM], &[&[GROUP], &[DELETE]], 2, NOTHING),
    case("two claims of a group", &[GROUP, GROUP], &[&[CLAIM, DELETE], &[CLAIM, DELETE]], 2, NOTHING),
    case("move of a group and claim", &[Operation::Create, GROUP, GROUP], &[&[MOVE], &[CLAIM, DELETE]], 1, NOTHING),
    case("two puts", &[], &[&[PUT], &[PUT]], 2, NOTHING),
    case("put and claim", &[], &[&[PUT], &[CLAIM, DELETE]], 2, NOTHING),
    case("put and batch", &[], &[&[PUT], &[BATCH]], 2, NOTHING),
    case("two claims", &[PUT, PUT], &[&[CLAIM, DELETE], &[CLAIM, DELETE]], 2, NOTHING),
    case("timed and held claim", &[PUT], &[&[CLAIM], &[TAKE]], 2, NOTHING),
    case("two held claims", &[PUT], &[&[COMMAND], &[TAKE]], 2, NOTHING),
    case("three claims", &[PUT], &[&[CLAIM], &[TAKE], &[CLAIM]], 1, NOTHING),
    case("a claim that ends at once, and a delete", &[PUT, SHORT], &[&[DELETE], &[CLAIM]], 2, NOTHING),
    case("a claim that ends, and a delete", &[PUT, CLAIM], &[&[DELETE], &[CLAIM]], 1, TICK),
    case("a claim that ends, and an extension", &[PUT, CLAIM], &[&[EXTEND], &[CLAIM]], 1, TICK),
    case("a claim that ends, and a release", &[PUT, CLAIM], &[&[RELEASE], &[CLAIM, DELETE]], 1, TICK),
    case("two deletes by one receipt", &[PUT, CLAIM], &[&[DELETE], &[DELETE]], 2, NOTHING),
    case("delete and extension", &[PUT, CLAIM], &[&[DELETE], &[EXTEND]], 2, NOTHING),
    case("put and power cut", &[], &[&[PUT], &[PUT]], 1, CUT),
    case("put and delete, and power cut", &[PUT, CLAIM], &[&[PUT], &[DELETE]], 1, CUT),
    case("claim and sweep, and kill", &[PUT, VANISH], &[&[CLAIM], &[CLAIM]], 1, KILL),
    and_cut(case("held claim given back: errors, and a power cut", &[PUT], &[&[GIVE_BACK, CLAIM, DELETE]], 0, ERROR)),
    and_cut(case("held claim given back: kills, and a power cut", &[PUT], &[&[GIVE_BACK], &[CLAIM, DELETE]], 0, KILL)),
    and_cut(case("claim: kills, and a power cut", &[PUT, SHORT], &[&[CLAIM], &[TAKE]], 0, KILL)),
    case("move and claim", &[Operation::Create, PUT], &[&[MOVE], &[CLAIM, DELETE]], 2, NOTHING),
    case("move and put", &[Operation::Create, PUT], &[&[MOVE], &[PUT]], 2, NOTHING),
    case("drop and move into it", &[Operation::Create, PUT], &[&[Operation::Drop], &[MOVE]], 2, NOTHING),
    case("two creates", &[], &[&[Operation::Create], &[Operation::Create]], 1, NOTHING),
    case("two policies", &[], &[&[Operation::SetPolicy], &[Operation::SetPolicy]], 2, NOTHING),
    case("repair and put", &[], &[&[REPAIR], &[PUT]], 1, NOTHING),
    case("repair and claim", &[PUT, PUT], &[&[REPAIR], &[CLAIM, DELETE]], 1, NOTHING),
    case("repair and held claim", &[PUT], &[&[REPAIR], &[COMMAND]], 1, NOTHING),
    case("put with a time to live: errors", &[], &[&[MORTAL, CLAIM, DELETE]], 0, ERROR),
    case("put with a time to live: kills", &[], &[&[MORTAL], &[CLAIM, DELETE]], 0, KILL),
    case("put with a time to live: power cuts", &[], &[&[MORTAL, CLAIM, DELETE]], 0, CUT),
    Scenario { policy: parks_what_is_old, ..case("too old: errors", &[MORTAL, PASS], &[&[CLAIM, PUT]], 0, ERROR) },
    Scenario { policy: parks_what_is_old, ..case("too old: kills", &[MORTAL, PASS], &[&[CLAIM], &[CLAIM]], 0, KILL) },
    Scenario { policy: parks_what_is_old, ..case("too old: power cuts", &[MORTAL, PASS], &[&[CLAIM, PUT]], 0, CUT) },
    Scenario {
        policy: parks_what_is_old,
        ..case("two who find it too old", &[MORTAL, PASS], &[&[CLAIM], &[CLAIM]], 2, NOTHING)
    },
    capped(room_for_two, case("put to a capped queue: errors", &[], &[&[PUT, PUT]], 0, ERROR)),
    capped(room_for_two, case("put to a capped queue: kills", &[], &[&[PUT], &[PUT]], 0, KILL)),
    capped(room_for_two, case("put to a capped queue: power cuts", &[], &[&[PUT, PUT]], 0, CUT)),
    capped(room_for_one, case("put to a full queue: kills", &[PUT, CLAIM], &[&[DELETE], &[PUT]], 0, KILL)),
    capped(room_for_two, case("batch to a capped queue: errors", &[PUT], &[&[BATCH]], 0, ERROR)),
    capped(room_for_two, case("batch to a capped queue: kills", &[], &[&[BATCH], &[PUT]], 0, KILL)),
    capped(room_for_two, case("atomic batch to a capped queue: errors", &[], &[&[ATOMIC]], 0, ERROR)),
    capped(room_for_two, case("atomic batch and put to a capped queue", &[], &[&[PUT], &[ATOMIC]], 2, NOTHING)),
    capped(room_for_one, case("unique put to a full queue: errors", &[UNIQUE], &[&[UNIQUE]], 0, ERROR)),
    capped(room_for_one, case("two puts to a capped queue", &[], &[&[PUT], &[PUT]], 2, NOTHING)),
    capped(room_for_one, case("two puts to a capped queue, and a while between", &[], &[&[PUT], &[PUT]], 1, TICK)),
    capped(room_for_one, case("put to a full queue and a delete", &[PUT, CLAIM], &[&[DELETE], &[PUT]], 2, NOTHING)),
    capped(room_for_two, case("put and batch to a capped queue", &[], &[&[PUT], &[BATCH]], 2, NOTHING)),
    capped(
        room_for_one,
        case("move into a capped queue", &[Operation::Create, PUT, MOVE], &[&[BACK], &[PUT]], 1, NOTHING),
    ),
    capped(room_for_one, case("move into a capped queue: kills", &[Operation::Create, PUT, MOVE], &[&[BACK]], 0, KILL)),
    Scenario {
        policy: two_deliveries,
        ..case("dead letter: errors", &[PUT, CLAIM, RELEASE, CLAIM], &[&[RELEASE]], 0, ERROR)
    },
    Scenario {
        policy: two_deliveries,
        ..case("dead letter: kills", &[PUT, CLAIM, RELEASE, CLAIM], &[&[RELEASE]], 0, KILL)
    },
    Scenario {
        policy: two_deliveries,
        ..case("dead letter: power cuts", &[PUT, CLAIM, RELEASE, CLAIM], &[&[RELEASE, PUT]], 0, CUT)
    },
    Scenario {
        policy: two_deliveries,
        ..case(
            "dead letter of a group: kills",
            &[GROUP, GROUP, CLAIM, RELEASE, CLAIM],
            &[&[RELEASE], &[CLAIM]],
            0,
            KILL,
        )
    },
    Scenario {
        policy: two_deliveries,
        ..case("dead letter of a group: cuts", &[GROUP, GROUP, CLAIM, RELEASE, CLAIM], &[&[RELEASE, CLAIM]], 0, CUT)
    },
    Scenario {
        policy: two_deliveries,
        ..case("dead letter and claim", &[PUT, CLAIM, RELEASE, CLAIM], &[&[RELEASE], &[CLAIM]], 1, NOTHING)
    },
    Scenario { policy: backing_off, ..case("back-off: errors", &[PUT, CLAIM], &[&[FAILED, CLAIM]], 0, ERROR) },
    Scenario { policy: backing_off, ..case("back-off: kills", &[PUT, CLAIM], &[&[FAILED, CLAIM]], 0, KILL) },
    Scenario { policy: backing_off, ..case("back-off: power cuts", &[PUT, CLAIM], &[&[FAILED, PUT]], 0, CUT) },
    Scenario { policy: backing_off, ..case("back-off and claim", &[PUT, CLAIM], &[&[FAILED], &[CLAIM]], 1, TICK) },
    case("edit: errors", &[PUT], &[&[EDIT, CLAIM, DELETE]], 0, ERROR),
    case("edit: kills", &[PUT], &[&[EDIT], &[CLAIM, DELETE]], 0, KILL),
    case("edit: power cuts", &[PUT], &[&[EDIT, EDIT, CLAIM]], 0, CUT),
    and_cut(case("edit: kills, and a power cut", &[PUT], &[&[EDIT], &[CLAIM, DELETE]], 0, KILL)),
    and_cut(case("edit: errors, and a power cut", &[PUT], &[&[EDIT, CLAIM, DELETE]], 0, ERROR)),
    case("edit of a delayed one: power cuts", &[DELAYED], &[&[EDIT]], 0, CUT),
    case("edit of an unsynced one: power cuts", &[UNSYNCED], &[&[EDIT]], 0, CUT),
    case("edit of what has come back: kills", &[PUT, CLAIM, RELEASE], &[&[EDIT], &[CLAIM]], 0, KILL),
    case("edit and claim", &[PUT], &[&[EDIT], &[CLAIM, DELETE]], 2, NOTHING),
    case("edit and held claim", &[PUT], &[&[EDIT], &[COMMAND]], 2, NOTHING),
    case("edit and claim: power cuts", &[PUT], &[&[EDIT], &[CLAIM]], 1, CUT),
    case("edit and delete by an old receipt", &[PUT, SHORT], &[&[EDIT], &[DELETE]], 2, NOTHING),
    case("edit of what becomes due", &[DELAYED], &[&[EDIT], &[CLAIM]], 1, TICK),
    case("two edits", &[PUT], &[&[EDIT], &[EDIT]], 2, NOTHING),
    case("edit and move", &[Operation::Create, PUT], &[&[EDIT], &[MOVE]], 2, NOTHING),
    case("edit and purge", &[PUT], &[&[EDIT], &[Operation::Purge]], 2, NOTHING),
    case("edit and repair", &[PUT], &[&[EDIT], &[REPAIR]], 1, NOTHING),
    case("edit of the first of a group", &[GROUP, GROUP], &[&[EDIT, CLAIM, DELETE, CLAIM]], 0, KILL),
    case("edit and turn in a group", &[GROUP, GROUP, CLAIM], &[&[EDIT], &[DELETE, CLAIM]], 2, NOTHING),
    case("edit of the one of a key", &[UNIQUE], &[&[EDIT], &[UNIQUE]], 1, NOTHING),
    archived(case("archived delete: errors", &[PUT, CLAIM], &[&[DELETE, PUT]], 0, ERROR)),
    archived(case("archived delete: kills", &[PUT, CLAIM], &[&[DELETE], &[CLAIM]], 0, KILL)),
    archived(case("archived delete: power cuts", &[PUT, CLAIM], &[&[DELETE, PUT]], 0, CUT)),
    archived(case("archived delete of one that is held: kills", &[PUT], &[&[TAKE], &[CLAIM]], 0, KILL)),
    archived(case("archived delete of one that is held: power cuts", &[PUT], &[&[TAKE, PUT]], 0, CUT)),
    archived(case("archived delete of a unique one: errors", &[UNIQUE, CLAIM], &[&[DELETE, UNIQUE]], 0, ERROR)),
    archived(case("archived delete of a unique one: kills", &[UNIQUE, CLAIM], &[&[DELETE], &[UNIQUE]], 0, KILL)),
    archived(case("archived delete of a unique one: power cuts", &[UNIQUE, CLAIM], &[&[DELETE, UNIQUE]], 0, CUT)),
    archived(case("archived delete of one with a window: kills", &[WINDOW, CLAIM], &[&[DELETE], &[WINDOW]], 0, KILL)),
    archived(case("archived delete of one with a window: cuts", &[WINDOW, CLAIM], &[&[DELETE, WINDOW]], 0, CUT)),
    archived(case("archived delete in a group: errors", &[GROUP, GROUP, CLAIM], &[&[DELETE, CLAIM]], 0, ERROR)),
    archived(case("archived delete in a group: kills", &[GROUP, GROUP, CLAIM], &[&[DELETE], &[CLAIM]], 0, KILL)),
    archived(case("archived delete in a group: power cuts", &[GROUP, GROUP, CLAIM], &[&[DELETE, CLAIM]], 0, CUT)),
    archived(case("archived delete and unique put", &[UNIQUE, CLAIM], &[&[UNIQUE], &[DELETE]], 2, NOTHING)),
    archived(case("archived delete and put to the group", &[GROUP, CLAIM], &[&[GROUP], &[DELETE]], 2, NOTHING)),
    archived(case("two archived deletes by one receipt", &[PUT, CLAIM], &[&[DELETE], &[DELETE]], 2, NOTHING)),
    archived(case(
        "two archived deletes of a unique one",
        &[UNIQUE_IN_GROUP, CLAIM],
        &[&[DELETE], &[DELETE]],
        2,
        NOTHING,
    )),
    archived(case("archived delete and extension", &[PUT, CLAIM], &[&[DELETE], &[EXTEND]], 2, NOTHING)),
    archived(case("a claim that ends, and an archived delete", &[PUT, CLAIM], &[&[DELETE], &[CLAIM]], 1, TICK)),
    archived(case("repair and archived delete: kills", &[PUT, CLAIM], &[&[DELETE], &[REPAIR]], 1, KILL)),
    and_cut(archived(case("archived delete: kills, and a power cut", &[PUT, CLAIM], &[&[DELETE]], 0, KILL))),
    archived(case("replay: errors", &[PUT, PUT, TAKE, TAKE], &[&[REPLAY, CLAIM]], 0, ERROR)),
    archived(case("replay: kills", &[PUT, PUT, TAKE, TAKE], &[&[REPLAY], &[CLAIM_THREE]], 0, KILL)),
    archived(case("replay: power cuts", &[PUT, PUT, TAKE, TAKE], &[&[REPLAY, CLAIM]], 0, CUT)),
    archived(case("replay of one: errors", &[PUT, PUT, TAKE, TAKE], &[&[REPLAY_ONE, REPLAY_ONE]], 0, ERROR)),
    archived(case("replay of one: kills", &[PUT, TAKE], &[&[REPLAY_ONE], &[REPLAY_ONE]], 0, KILL)),
    archived(case("replay of one: power cuts", &[PUT, TAKE], &[&[REPLAY_ONE, PUT]], 0, CUT)),
    archived(case("replay of the first: errors", &[PUT, PUT, TAKE, TAKE], &[&[REPLAY_FIRST, REPLAY]], 0, ERROR)),
    archived(case("replay of one that is there: kills", &[PUT, CLAIM], &[&[REPLAY_ONE, DELETE], &[CLAIM]], 0, KILL)),
    archived(case("archived delete and replay: errors", &[PUT, CLAIM], &[&[DELETE, REPLAY, CLAIM]], 0, ERROR)),
    archived(case("archived delete and replay: kills", &[PUT, CLAIM], &[&[DELETE], &[REPLAY, CLAIM]], 0, KILL)),
    archived(case("archived delete and replay: power cuts", &[PUT, CLAIM], &[&[DELETE, REPLAY]], 0, CUT)),
    and_cut(archived(case(
        "archived delete and replay: kills, and a power cut",
        &[PUT, CLAIM],
        &[&[DELETE], &[REPLAY]],
        0,
        KILL,
    ))),
    archived(case(
        "replay and a receipt of before",
        &[PUT, CLAIM, DELETE],
        &[&[REPLAY, DELETE, CLAIM, DELETE]],
        0,
        ERROR,
    )),
    archived(case(
        "replay and a receipt of before: kills",
        &[PUT, CLAIM, DELETE],
        &[&[REPLAY], &[DELETE, CLAIM]],
        0,
        KILL,
    )),
    archived(case("replay of what was replayed", &[PUT, TAKE, REPLAY, TAKE], &[&[REPLAY_ONE, REPLAY]], 0, KILL)),
    archived(case("replay of what was edited", &[PUT, EDIT, TAKE], &[&[REPLAY, EDIT], &[CLAIM]], 1, NOTHING)),
    archived(case("replay of a unique one", &[UNIQUE, TAKE], &[&[REPLAY], &[UNIQUE]], 2, NOTHING)),
    archived(case("replay of a unique one: kills", &[UNIQUE, CLAIM], &[&[DELETE], &[REPLAY, UNIQUE]], 0, KILL)),
    archived(case("replay in a group: errors", &[GROUP, TAKE, GROUP], &[&[REPLAY, CLAIM_THREE]], 0, ERROR)),
    archived(case("replay in a group: kills", &[GROUP, GROUP, CLAIM], &[&[DELETE, REPLAY], &[CLAIM_THREE]], 0, KILL)),
    archived(case("replay in a group: power cuts", &[GROUP, GROUP, TAKE], &[&[REPLAY, CLAIM, DELETE]], 0, CUT)),
    archived(case("replay and delete", &[PUT, CLAIM], &[&[REPLAY], &[DELETE]], 2, NOTHING)),
    archived(case(
        "replay and delete of a unique one in a group",
        &[UNIQUE_IN_GROUP, CLAIM],
        &[&[REPLAY], &[DELETE]],
        2,
        NOTHING,
    )),
    archived(case("replay and claim", &[PUT, TAKE], &[&[REPLAY], &[CLAIM, DELETE]], 2, NOTHING)),
    archived(case("replay and held claim", &[PUT, TAKE], &[&[REPLAY], &[TAKE, REPLAY]], 1, NOTHING)),
    archived(case("two replays", &[PUT, TAKE], &[&[REPLAY], &[REPLAY]], 2, NOTHING)),
    archived(case("replay and purge", &[PUT, TAKE], &[&[REPLAY], &[Operation::Purge]], 1, NOTHING)),
    archived(case("replay and repair: kills", &[PUT, CLAIM], &[&[DELETE, REPLAY], &[REPAIR]], 0, KILL)),
    archived(case("replay and the drop of the queue", &[PUT, TAKE], &[&[REPLAY], &[Operation::DropForce]], 1, NOTHING)),
    Scenario {
        policy: with_short_archive,
        ..case("replay and the end of the archive", &[PUT, TAKE], &[&[REPLAY], &[CLAIM]], 1, TICK)
    },
    capped(
        room_and_archive,
        case("replay to a full queue: errors", &[PUT, TAKE, PUT], &[&[REPLAY, TAKE, REPLAY]], 0, ERROR),
    ),
    capped(room_and_archive, case("replay and put to a capped queue", &[PUT, TAKE], &[&[REPLAY], &[PUT]], 2, NOTHING)),
];
