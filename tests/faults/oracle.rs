//! Holds what a verb left behind against what was there before and what the verb said.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mq::domain::{NewMessage, QueueName, Receipt, Unique, Visibility};
use mq::store::spool::fsck::{FindingKind, Repair};
use mq::store::spool::{Order, Spool};
use mq::store::{ClaimRequest, Notice, Store as _, UniquePut};

use super::inject::Ran;
use super::verbs::{Evidence, Promise, Verb};
use super::world::{Kind, Message, SET_ASIDE, STRAYS, Spot, World, look};
use crate::common::{let_time_pass, mq_bin};

/// The statuses that a failure may have: those of exit.rs but `usage` and `internal error`.
const FAILURES: [i32; 6] = [65, 66, 73, 74, 75, 77];

/// A message as an unharmed receiver gets it.
struct Got {
    queue: String,
    body: Vec<u8>,
    /// Before this delivery.
    deliveries: u32,
}

/// What a case left.
struct After<'a> {
    dir: &'a Path,
    verb: &'a Verb,
    world: &'a World,
    ran: &'a Ran,
    order: Order,
    /// Where the messages were when the verb had ended.
    spots: BTreeMap<String, Vec<Spot>>,
    /// All that could be received in the end.
    got: BTreeMap<String, Got>,
    wrong: Vec<String>,
}

/// Everything that is wrong with what `verb` left in `dir`.
pub(crate) fn judge(dir: &Path, verb: &Verb, world: &World, ran: &Ran, order: Order) -> Vec<String> {
    let spots = look(&dir.join("spool"));
    let mut after = After { dir, verb, world, ran, order, spots, got: BTreeMap::new(), wrong: Vec::new() };
    let policy = after.policy();
    after.words();
    if ran.status == Some(verb.status) && ran.status == Some(0) {
        after.done_before_time_passes(policy.as_deref());
    }
    after.sources();
    if verb.is_of_a_directory() {
        after.repeat();
    }
    let drained = if let Promise::Mends { is_drained_first } = verb.promise {
        after.drain_and_mend(is_drained_first)
    } else {
        after.drain()
    };
    if let Err(error) = drained {
        after.wrong.push(format!("the spool does not work any more: {error}"));
        return after.wrong;
    }
    after.account();
    if let Err(error) = after.next_of_the_key() {
        after.wrong.push(format!("the next put with the key fails: {error}"));
    }
    after.leftovers();
    after.wrong
}

impl After<'_> {
    fn bad(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    fn message(&self, label: &str) -> &Message {
        &self.world.messages[label]
    }

    fn label_of(&self, id: &str) -> Option<&'static str> {
        self.world.messages.iter().find(|(_, message)| message.id == id).map(|(label, _)| *label)
    }

    /// Whether the message's body has arrived where the verb had to bring it.
    fn is_evident(&self, label: &str, evidence: Evidence) -> bool {
        let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&self.message(label).body);
        match evidence {
            Evidence::Stdout => has(&self.ran.stdout),
            Evidence::File(name) => std::fs::read(self.dir.join(name)).is_ok_and(|bytes| has(&bytes)),
            Evidence::None => true,
        }
    }

    /// The ids that were printed whole.
    fn printed(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.ran.stdout).into_owned();
        text.split_inclusive('\n').filter(|line| line.len() == 37).map(|line| line.trim().to_owned()).collect()
    }

    /// I9: how it ended, and what it said about that.
    fn words(&mut self) {
        let (ran, verb) = (self.ran, self.verb);
        if ran.stderr.contains("panicked") {
            self.bad(format!("it panicked: {}", ran.stderr));
        }
        let Some(status) = ran.status else { return };
        // A repair that could not mend all ends with 1, and what it says on stdout is its sentence.
        if verb.args[0] == "fsck" && status == 1 && String::from_utf8_lossy(&ran.stdout).contains("found ") {
            return;
        }
        if status != verb.status && !FAILURES.contains(&status) {
            self.bad(format!("status {status} is none for a failed call"));
        }
        if status != verb.status && ran.stderr.trim().is_empty() && !ran.was_cut_off(2) {
            self.bad("I9: it failed without a word");
        }
    }

    /// What was read is left as it was.
    fn sources(&mut self) {
        for (name, bytes) in &self.verb.files {
            if std::fs::read(self.dir.join(name)).ok().as_ref() != Some(bytes) {
                self.bad(format!("{name} was changed"));
            }
        }
    }

    /// Does it once more, undisturbed: what is there already is passed over, and the rest comes.
    fn repeat(&mut self) {
        let_time_pass(&self.dir.join("spool"));
        let mut mq = Command::new(mq_bin());
        mq.current_dir(self.dir).args(["--spool", "spool"]).args(&self.verb.args).stdin(Stdio::null());
        let output = mq.output().expect("mq runs");
        if !output.status.success() {
            self.bad(format!("it cannot be repeated: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }

    fn policy(&self) -> Option<String> {
        let Promise::Sets { queue, .. } = self.verb.promise else { return None };
        Some(std::fs::read_to_string(self.dir.join("spool").join(queue).join("policy.json")).unwrap_or_default())
    }

    /// What a status of 0 says, looked up before any claim or delay can have ended.
    fn done_before_time_passes(&mut self, policy: Option<&str>) {
        match &self.verb.promise {
            Promise::Puts { queue, state, bodies } => {
                let printed = self.printed();
                if printed.len() != bodies.len() {
                    self.bad(format!("I9: {} ids for {} messages", printed.len(), bodies.len()));
                }
                for id in printed {
                    self.is_at(&id, queue, state);
                }
            }
            Promise::Claims { labels, told, most } => {
                let out: Vec<&str> =
                    labels.iter().copied().filter(|label| self.is_evident(label, Evidence::Stdout)).collect();
                self.handed_out(out.len(), *most);
                let told = self.told(*told);
                for label in out {
                    let id = self.message(label).id.clone();
                    self.is_at(&id, "q", "claimed");
                    if !told.contains(&id) {
                        self.bad(format!("no receipt was told that fits the claim of {label}"));
                    }
                }
            }
            Promise::Places { labels, queue, state } => {
                for label in labels {
                    let id = self.message(label).id.clone();
                    self.is_at(&id, queue, state);
                }
            }
            Promise::Edits { label, .. } => {
                let id = self.message(label).id.clone();
                self.is_at(&id, "q", "ready");
            }
            Promise::Replays { queue, bodies } => {
                let is_there = |spot: &Spot| spot.queue == *queue && spot.place == "ready";
                let is_new = |id: &str| self.label_of(id).is_none();
                let new = self.spots.iter().filter(|(id, spots)| is_new(id) && spots.iter().any(is_there)).count();
                if new != bodies.len() {
                    self.bad(format!("I9: {new} of {} messages were put again", bodies.len()));
                }
            }
            Promise::Sets { text, .. } => {
                if !policy.is_some_and(|policy| policy.contains(text)) {
                    self.bad(format!("the policy is {policy:?}"));
                }
            }
            Promise::Drops { queue, .. } => {
                if self.dir.join("spool").join(queue).exists() {
                    self.bad("the queue is still there");
                }
            }
            Promise::Deletes { .. } | Promise::Returns { .. } | Promise::Mends { .. } | Promise::Looks => {}
        }
    }

    /// Fewer than could be had are allowed, if it is said why.
    fn handed_out(&mut self, count: usize, most: usize) {
        if count == 0 || (count < most && self.ran.stderr.trim().is_empty()) {
            self.bad(format!("I9: {count} of {most} messages were handed out, and no word about the others"));
        }
    }

    /// The ids of those messages whose claims the told receipts name.
    fn told(&self, where_to: Evidence) -> BTreeSet<String> {
        let text = match where_to {
            Evidence::None => self.ran.stderr.clone(),
            Evidence::Stdout => String::from_utf8_lossy(&self.ran.stdout).into_owned(),
            Evidence::File(name) => std::fs::read_to_string(self.dir.join(name)).unwrap_or_default(),
        };
        let is_other = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let receipts = text.split(is_other).filter_map(|word| word.parse::<Receipt>().ok());
        let fits = |receipt: &Receipt| {
            let name = receipt.name.to_string();
            self.spots.values().flatten().any(|spot| spot.path.file_name().is_some_and(|file| *file == *name))
        };
        receipts.filter(fits).map(|receipt| receipt.name.id.to_string()).collect()
    }

    fn is_at(&mut self, id: &str, queue: &str, state: &str) {
        let spots = self.spots.get(id).map_or(&[][..], Vec::as_slice);
        let there = |spot: &Spot| spot.queue == queue && spot.place.split('/').next() == Some(state);
        // A move in the classical order that was cut short leaves two names of one file; whoever moves it next, removes
        // the other.
        let most = if self.order == Order::Classical { 2 } else { 1 };
        if spots.len() > most || !spots.iter().any(there) {
            let who = self.label_of(id).unwrap_or(id);
            let spots: Vec<_> = spots.iter().map(|spot| format!("{}/{}", spot.queue, spot.place)).collect();
            self.bad(format!("{who} should be in {queue}/{state}, and is in {spots:?}"));
        }
    }

    /// Has the repair done once more, undisturbed, and receives all that there is: before that as well, since what was
    /// delivered and deleted then must not come back.
    fn drain_and_mend(&mut self, is_drained_first: bool) -> mq::store::Result<()> {
        let root = self.dir.join("spool");
        let_time_pass(&root);
        if is_drained_first {
            let queue: QueueName = "q".parse().expect("a name");
            self.drain_queue(&Spool::open(&root)?, &queue)?;
            let_time_pass(&root);
        }
        self.mend(&root, true)?;
        self.mend(&root, false)?;
        self.drain()?;
        self.mend(&root, true)?;
        self.drain()
    }

    /// Repairs, or only looks: what is left to a person are the files that are nobody's.
    fn mend(&mut self, root: &Path, repair: bool) -> mq::store::Result<()> {
        let mut left = Vec::new();
        let summary = Spool::for_fsck(root).fsck(&[], repair, &mut |finding| {
            if finding.kind != FindingKind::Stray && finding.repair != Repair::Done {
                left.push(format!("{}: {}: {:?}", finding.path.display(), finding.what, finding.repair));
            }
        })?;
        if !left.is_empty() || summary.left() != STRAYS.len() as u64 {
            self.bad(format!("after an undisturbed repair {} things are wrong: {left:?}", summary.left()));
        }
        Ok(())
    }

    /// What may lie in a queue that is drained: nothing that is set aside, nothing that is nobody's, but for what was
    /// damaged before.
    fn is_expected(&self, set_aside: u64, strays: u64) -> bool {
        match self.verb.promise {
            // The other queue is that of the dead letters.
            Promise::Mends { .. } if (set_aside, strays) == (0, 0) => true,
            Promise::Mends { is_drained_first } => {
                // The copy may have been delivered.
                let is_all = set_aside == SET_ASIDE || is_drained_first && set_aside + 1 == SET_ASIDE;
                is_all && strays == STRAYS.len() as u64
            }
            _ => (set_aside, strays) == (0, 0),
        }
    }

    /// Receives all that there is once time has passed, by the engine in this process.
    fn drain(&mut self) -> mq::store::Result<()> {
        let root = self.dir.join("spool");
        let end = Instant::now() + Duration::from_secs(20);
        let spool = Spool::open(&root)?;
        let hidden = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
        if std::fs::read_dir(&root).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(hidden))) {
            // Whoever makes or drops a queue puts in order what others have left.
            let queue: QueueName = "zz".parse().expect("a name");
            spool.create_queue(&queue, &mq::domain::Policy::default(), None)?;
            spool.drop_queue(&queue, true)?;
        }
        loop {
            let_time_pass(&root);
            let mut left = 0;
            let queues = spool.queues()?;
            for queue in &queues {
                let queue = queue.clone();
                spool.change_policy_if_paused(&queue)?;
                self.drain_queue(&spool, &queue)?;
                let stat = spool.stat(&queue)?;
                left += stat.messages() + stat.temporaries;
                if !self.is_expected(stat.corrupt, stat.strays) {
                    self.bad(format!("{queue}: {} corrupt, strays {:?}", stat.corrupt, stat.stray_examples));
                    return Ok(());
                }
            }
            // What is received may have made a queue of dead letters.
            if left == 0 && spool.queues()? == queues {
                return Ok(());
            }
            if Instant::now() > end {
                self.bad(format!("I7: {left} messages or temporaries cannot be received: {:?}", look(&root)));
                return Ok(());
            }
            // A command that outlived its mq still holds its message.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn drain_queue(&mut self, spool: &Spool, queue: &QueueName) -> mq::store::Result<()> {
        loop {
            let claims = spool.claim(queue, &ClaimRequest { visibility: Visibility::Held, most: 128 })?;
            let is_torn = |notice: &&Notice| matches!(notice, Notice::Quarantined { .. });
            for notice in claims.notices.iter().filter(|notice| !(self.verb.world == Kind::Damaged && is_torn(notice)))
            {
                self.wrong.push(format!("a receiver is told: {notice}"));
            }
            if claims.deliveries.is_empty() {
                return Ok(());
            }
            let mut receipts = Vec::new();
            for mut delivery in claims.deliveries {
                let mut body = Vec::new();
                delivery.body.read_to_end(&mut body).expect("a body");
                let id = delivery.message.id.to_string();
                let got = Got { queue: queue.to_string(), body, deliveries: delivery.deliveries - 1 };
                let was_there = self.got.insert(id.clone(), got).is_some();
                // Of which a person has made a copy.
                if was_there && self.label_of(&id) != Some("twin") {
                    self.bad(format!("I2, I4: {id} is there twice, or is back"));
                }
                receipts.push(delivery.receipt);
            }
            spool.delete(&receipts).into_iter().collect::<mq::store::Result<()>>()?;
        }
    }

    /// Which of the messages that were there may be gone now.
    fn may_be_gone(&self) -> BTreeSet<&'static str> {
        let mut gone: BTreeSet<&'static str> = match &self.verb.promise {
            Promise::Deletes { labels, evidence, .. } => {
                labels.iter().copied().filter(|label| self.is_evident(label, *evidence)).collect()
            }
            Promise::Drops { labels, .. } => labels.iter().copied().collect(),
            _ => BTreeSet::new(),
        };
        if self.order == Order::Classical {
            // Nobody was promised anything by a temporary in this order.
            gone.insert("orphan");
        }
        gone
    }

    /// Every message that was there, and every one that came.
    fn account(&mut self) {
        let may_be_gone = self.may_be_gone();
        let world = self.world;
        for (label, message) in &world.messages {
            if !self.verb.queues.contains(&message.queue) {
                continue;
            }
            let wrong = match self.got.get(&message.id) {
                None if may_be_gone.contains(label) => continue,
                None => format!("I1: {label} is lost"),
                Some(got) if !self.may_be_body(label, &got.body) => format!("I3: {label} is not what was put"),
                Some(got) if got.deliveries < message.deliveries && !self.was_moved(label) => {
                    format!("I6: the count of {label} fell from {} to {}", message.deliveries, got.deliveries)
                }
                Some(_) => continue,
            };
            self.bad(wrong);
        }
        self.account_for_new();
        self.account_for_gone();
    }

    /// Whether it is what was put, or what it was to become; where that was done, nothing else.
    fn may_be_body(&self, of: &str, found: &[u8]) -> bool {
        let is_old = found == self.message(of).body.as_bytes();
        match self.verb.promise {
            Promise::Edits { label, body } if label == of => {
                found == body.as_bytes() || is_old && self.ran.status != Some(0)
            }
            _ => is_old,
        }
    }

    /// A move to another queue sets the count to 0.
    fn was_moved(&self, label: &str) -> bool {
        self.verb.args[0] == "move" && self.got[&self.message(label).id].queue == self.verb.args[2]
    }

    /// What nobody knew before has to be what the verb was given, each at most once, and whatever it printed the id of.
    fn account_for_new(&mut self) {
        let mut expected: Vec<&[u8]> = Vec::new();
        let mut is_one = false;
        if let Promise::Puts { bodies, .. } | Promise::Replays { bodies, .. } = &self.verb.promise {
            expected = bodies.iter().map(Vec::as_slice).collect();
            // (A replay says what it has done when it fails.)
            is_one = bodies.len() == 1 && matches!(self.verb.promise, Promise::Puts { .. });
        }
        let known: BTreeSet<&String> = self.world.messages.values().map(|message| &message.id).collect();
        let printed = if expected.is_empty() { Vec::new() } else { self.printed() };
        let mut wrong = Vec::new();
        for (n, id) in printed.iter().enumerate() {
            match self.got.get(id) {
                None => wrong.push(format!("I9, I1: the id of message {n} was printed, and it is not there")),
                Some(got) if got.body != expected[n] => wrong.push(format!("I3: message {n} is not what was put")),
                Some(_) => {}
            }
        }
        for (id, got) in self.got.iter().filter(|(id, _)| !known.contains(id)) {
            match expected.iter().position(|body| *body == got.body) {
                Some(at) => drop(expected.swap_remove(at)),
                None => wrong.push(format!("unexpected: {id}: {:?}", String::from_utf8_lossy(&got.body))),
            }
            // Told nothing else, its sender puts it once more. (Of a batch that fails it is said that some may be
            // there; and an id that cannot be printed is that of a message that is there, which is said too.)
            let failed = self.ran.status.is_some_and(|status| status != 0);
            // An import says how many it made, and can be repeated.
            let is_counted = self.ran.stderr.contains("imported 1 message");
            if is_one
                && failed
                && !self.ran.stderr.contains("could not be written")
                && !is_counted
                && !self.ran.was_cut_off(2)
            {
                wrong.push(format!("I9: the put of {id} failed, and it is there"));
            }
        }
        if self.verb.is_of_a_directory() && !expected.is_empty() {
            wrong.push(format!("I1: {} messages did not come when it was repeated", expected.len()));
        }
        if matches!(self.verb.promise, Promise::Replays { .. }) && self.ran.status == Some(0) && !expected.is_empty() {
            wrong.push("I1: a message that was put again is lost".to_owned());
        }
        self.wrong.extend(wrong);
    }

    /// What a status of 0, or that of a command, says about what was deleted or given back.
    fn account_for_gone(&mut self) {
        let is_gone = |after: &Self, label: &str| !after.got.contains_key(&after.message(label).id);
        if let Promise::Drops { labels, .. } = &self.verb.promise {
            let gone = labels.iter().filter(|label| is_gone(self, label)).count();
            if gone != 0 && gone != labels.len() {
                self.bad(format!("a queue is dropped whole or not at all, and {gone} of its messages are gone"));
            }
        }
        if self.ran.status != Some(self.verb.status) {
            return;
        }
        match &self.verb.promise {
            Promise::Deletes { labels, evidence, most } => {
                let out: Vec<&str> = labels.iter().copied().filter(|label| self.is_evident(label, *evidence)).collect();
                self.handed_out(out.len(), *most);
                for label in out.iter().filter(|label| !is_gone(self, label)).collect::<Vec<_>>() {
                    self.bad(format!("I4: {label} was deleted and is back"));
                }
            }
            Promise::Drops { labels, .. } if labels.iter().any(|label| !is_gone(self, label)) => {
                self.bad("I4: the queue was dropped, and its messages are back");
            }
            Promise::Returns { label, file } => {
                // (One that cannot be read keeps no other, which is told.)
                let is_passed_over = self.ran.stderr.contains("a message was passed over: ");
                if !is_passed_over && !self.is_evident(label, Evidence::File(file)) {
                    self.bad("the command did not get the body");
                }
                let got = self.got.get(&self.message(label).id);
                if got.is_some_and(|got| got.deliveries != 1) {
                    self.bad("I6: the failed delivery was not counted");
                }
            }
            _ => {}
        }
    }

    /// When the message of a unique key is gone the key is free, and who takes it leaves nothing of the one before.
    fn next_of_the_key(&mut self) -> mq::store::Result<()> {
        let Some(key) = self.verb.args.iter().position(|arg| arg == "--unique").map(|at| &self.verb.args[at + 1])
        else {
            return Ok(());
        };
        let (spool, queue) = (Spool::open(self.dir.join("spool"))?, self.verb.queues[0].parse().expect("a name"));
        let unique = Unique { key: key.parse().expect("a key"), window: None };
        for _ in 0..2 {
            let put = spool.put_unique(&queue, &NewMessage::default(), &unique, &mut &b"next"[..])?;
            if let UniquePut::Present(id) = put {
                self.bad(format!("the key of a message that is gone is in force: {id}"));
            }
            let request = ClaimRequest { visibility: Visibility::Held, most: 9 };
            let end = Instant::now() + Duration::from_secs(20);
            // (A program that another thread starts this moment has its locks until it begins.)
            while spool.stat(&queue)?.messages() > 0 && Instant::now() < end {
                for delivery in spool.claim(&queue, &request)?.deliveries {
                    spool.delete(&[delivery.receipt]).pop().expect("a result")?;
                }
            }
        }
        Ok(())
    }

    /// I7: nothing but the skeletons of the queues is left.
    fn leftovers(&mut self) {
        let root = self.dir.join("spool");
        let mut left = Vec::new();
        for entry in walkdir::WalkDir::new(&root).min_depth(1).into_iter().flatten() {
            let inside = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let parts: Vec<&str> = inside.split('/').collect();
            let belongs = match parts.as_slice() {
                ["format" | "lock"]
                | [
                    _,
                    "policy.json" | "state" | "lock" | "sweep" | "wake" | "tmp" | "ready" | "delayed" | "claimed"
                    | "corrupt" | "spare" | "skipped",
                ]
                | [_, "claimed", "held"]
                // A marker whose message never came goes when its minute is over.
                | [_, "expiry", ..]
                // What is deleted stays there for longer than all of this takes.
                | ["kept", "archive", ..]
                | [_, "spare", "0" | "1" | "2" | "3"] => true,
                [queue] => entry.file_type().is_dir() && !queue.starts_with('.'),
                // The tail of each priority stays, and the locks of unique keys and groups.
                [_, "ready", ..] | [_, "unique" | "groups"] | [_, "unique" | "groups", _] => entry.file_type().is_dir(),
                _ => false,
            };
            let is_damage = self.verb.world == Kind::Damaged
                && (parts.get(1) == Some(&"corrupt")
                    || inside.strip_prefix("q/").is_some_and(|inside| STRAYS.contains(&inside)));
            if !belongs && !is_damage {
                left.push(inside);
            }
        }
        if !left.is_empty() {
            self.bad(format!("I7: left over: {left:?}"));
        }
    }
}

/// What the oracle does to a queue that is paused, to get at what is in it.
trait Resume {
    fn change_policy_if_paused(&self, queue: &QueueName) -> mq::store::Result<()>;
}

impl Resume for Spool {
    fn change_policy_if_paused(&self, queue: &QueueName) -> mq::store::Result<()> {
        if self.policy(queue)?.paused {
            self.change_policy(queue, &mut |policy| {
                policy.paused = false;
                Ok(())
            })?;
        }
        Ok(())
    }
}
