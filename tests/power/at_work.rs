//! Crash images of a disk that is taken at work: several senders and receivers run, and every now and then what the
//! disk holds at that moment is mounted as after a power cut and held against what had been acknowledged (I1, I3, I4,
//! I7).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use mq::domain::{QueueName, Visibility};
use mq::store::spool::Spool;
use mq::store::{ClaimRequest, Store as _};

use super::super::{field, lines_of};
use crate::common::{Dice, Image, expect, let_time_pass, mq, run, scratch, skipped};

/// A message whose sender was told that it is safe.
struct Put {
    at: Instant,
    body: String,
}

/// A message whose receiver was told that it is gone.
struct Deleted {
    /// Before the command was run.
    begun: Instant,
    /// After it had ended.
    at: Instant,
}

/// What has been acknowledged, and when.
#[derive(Default)]
struct Ledger {
    put: Mutex<BTreeMap<String, Put>>,
    deleted: Mutex<BTreeMap<String, Deleted>>,
    /// How many commands each of the workers has run.
    steps: [AtomicU64; WORKERS],
    is_over: AtomicBool,
}

const WORKERS: usize = 4;

/// More messages than this are not left lying, since each image is read to the end.
const DEPTH: usize = 120;

/// Ends the work, also when the test fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Ledger {
    fn note_put(&self, stdout: &[u8], bodies: &[String]) {
        let at = Instant::now();
        let ids: Vec<String> = lines_of(stdout).collect();
        assert_eq!(ids.len(), bodies.len(), "an id for each");
        let puts = ids.into_iter().zip(bodies).map(|(id, body)| (id, Put { at, body: body.clone() }));
        self.put.lock().unwrap().extend(puts);
    }

    fn note_deleted(&self, begun: Instant, ids: impl Iterator<Item = String>) {
        let at = Instant::now();
        self.deleted.lock().unwrap().extend(ids.map(|id| (id, Deleted { begun, at })));
    }

    fn depth(&self) -> usize {
        // A receiver can be faster than the note of its message's put.
        let deleted = self.deleted.lock().unwrap().len();
        self.put.lock().unwrap().len().saturating_sub(deleted)
    }

    /// One worker, until the work is over.
    fn work(&self, spool: &Path, number: usize, seed: u64) {
        let mut dice = Dice(seed * 1000 + number as u64);
        let mut claims: Vec<(String, String)> = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let step = self.steps[number].load(Ordering::Relaxed);
            match number {
                0 | 1 if self.depth() < DEPTH => self.send(spool, &format!("{number}-{step}"), &mut dice),
                2 => self.receive(spool, &mut dice, &mut claims),
                _ => self.receive_and_delete(spool, &mut dice),
            }
            self.steps[number].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, spool: &Path, name: &str, dice: &mut Dice) {
        let count = [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 20, 300][usize::try_from(dice.below(12)).unwrap()];
        let bodies: Vec<String> = (0..count).map(|n| format!("message {n} of {name}, whole")).collect();
        if let [body] = bodies.as_slice() {
            return self.note_put(&expect(spool, &["put", "q", "-m", body], 0), &bodies);
        }
        let input = spool.parent().unwrap().join(format!("input-{name}"));
        std::fs::write(&input, bodies.join("\n")).unwrap();
        let output = mq(spool, &["put", "q", "--lines"]).stdin(std::fs::File::open(&input).unwrap()).output().unwrap();
        std::fs::remove_file(&input).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.note_put(&output.stdout, &bodies);
    }

    fn receive(&self, spool: &Path, dice: &mut Dice, claims: &mut Vec<(String, String)>) {
        let claim = |claims: &mut Vec<(String, String)>, dice: &mut Dice| {
            let count = claims.len() as u64;
            (count > 0).then(|| claims.swap_remove(usize::try_from(dice.below(count)).unwrap()))
        };
        match dice.below(6) {
            0..2 => {
                let got = run(spool, &["get", "q", "--json", "--visibility", "1h", "--count", "3"]);
                claims.extend(lines_of(&got.stdout).map(|line| (field(&line, "receipt"), field(&line, "id"))));
            }
            2..4 => {
                if let Some((receipt, id)) = claim(claims, dice) {
                    let begun = Instant::now();
                    expect(spool, &["delete", &receipt], 0);
                    self.note_deleted(begun, std::iter::once(id));
                }
            }
            4 => {
                if let Some((receipt, id)) = claim(claims, dice) {
                    expect(spool, &["extend", &receipt, "--visibility", "2h"], 0);
                    claims.push((receipt, id));
                }
            }
            _ => {
                if let Some((receipt, _)) = claim(claims, dice) {
                    let delay = ["0s", "1h"][usize::try_from(dice.below(2)).unwrap()];
                    expect(spool, &["release", &receipt, "--delay", delay], 0);
                }
            }
        }
    }

    fn receive_and_delete(&self, spool: &Path, dice: &mut Dice) {
        let begun = Instant::now();
        match dice.below(4) {
            0 => {
                let got = run(spool, &["get", "q", "--", "sh", "-c", "cat >/dev/null; echo $MQ_ID"]);
                assert!(matches!(got.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&got.stderr));
                self.note_deleted(begun, lines_of(&got.stdout));
            }
            which => {
                let count = ["1", "20", "300"][usize::try_from(which - 1).unwrap()];
                let got = run(spool, &["get", "q", "--json", "--delete", "--count", count]);
                assert!(matches!(got.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&got.stderr));
                self.note_deleted(begun, lines_of(&got.stdout).map(|line| field(&line, "id")));
            }
        }
    }

    /// Waits until every command that runs now has ended, so that it is known what it has deleted.
    fn wait_for_those_at_work(&self) {
        let now: Vec<u64> = self.steps.iter().map(|steps| steps.load(Ordering::Relaxed)).collect();
        let has_ended = |n: usize| self.steps[n].load(Ordering::Relaxed) > now[n];
        crate::common::eventually("the end of the running commands", || (0..WORKERS).all(has_ended));
    }

    /// What is wrong with an image that was taken between the two instants.
    fn check(&self, found: &BTreeMap<String, Vec<u8>>, before: Instant, after: Instant) -> Vec<String> {
        let (put, deleted) = (self.put.lock().unwrap(), self.deleted.lock().unwrap());
        let mut wrong = Vec::new();
        for (id, put) in put.iter().filter(|(_, put)| put.at < before) {
            let may_be_gone = deleted.get(id).is_some_and(|deleted| deleted.begun < after);
            if !may_be_gone && !found.contains_key(id) {
                wrong.push(format!("I1: acknowledged and lost: {id}: {}", put.body));
            }
        }
        for (id, body) in found {
            if deleted.get(id).is_some_and(|deleted| deleted.at < before) {
                wrong.push(format!("I4: deleted and back: {id}"));
            }
            let text = String::from_utf8_lossy(body);
            // One whose sender was not told yet is whole as well.
            let is_right =
                put.get(id).map_or(text.starts_with("message ") && text.ends_with(", whole"), |put| put.body == text);
            if !is_right {
                wrong.push(format!("I3: not what was put: {id}: {text}"));
            }
        }
        wrong
    }
}

/// All that can be received from the queue when all claims and delays have ended.
fn receive_all(root: &Path, wrong: &mut Vec<String>) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let_time_pass(root);
    boot_again(&root.join("q/state"));
    let names = names_in(root);
    let spool = Spool::open(root).unwrap();
    let queue: QueueName = "q".parse().unwrap();
    loop {
        let request = ClaimRequest { visibility: Visibility::Timed(None), most: 5000 };
        let claims = match spool.claim(&queue, &request) {
            Ok(claims) => claims,
            Err(error) => {
                wrong.push(format!("it cannot be received from: {error:?}; what was in the image:\n{names}"));
                break;
            }
        };
        wrong.extend(claims.notices.iter().map(ToString::to_string));
        if claims.deliveries.is_empty() {
            break;
        }
        for mut delivery in claims.deliveries {
            let mut body = Vec::new();
            delivery.body.read_to_end(&mut body).unwrap();
            let id = delivery.message.id.to_string();
            if found.insert(id.clone(), body).is_some() {
                wrong.push(format!("I2: {id} is there twice"));
            }
        }
    }
    let stat = spool.stat(&queue).unwrap();
    let left = (stat.ready + stat.delayed + stat.held, stat.corrupt, stat.strays, stat.temporaries);
    if left != (0, 0, 0, 0) {
        wrong.push(format!("I7: left after a sweep: {left:?}: {:?}", stat.stray_examples));
    }
    found
}

/// After a power cut the machine has another boot id, by which the counter knows that it may be behind.
fn boot_again(state: &Path) {
    let text = std::fs::read_to_string(state).unwrap_or_default();
    // Empty or torn: it is made up from what lies in the queue.
    if let Some(next) = text.get(37..53) {
        let text = format!("00000000-0000-4000-8000-000000000000 {next}");
        std::fs::write(state, format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))).unwrap();
    }
}

/// All paths below a directory, with what tells two names of one file from two files.
fn names_in(root: &Path) -> String {
    let mut names = String::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name().into_iter().flatten() {
        let (inode, links) = entry.metadata().map_or((0, 0), |metadata| (metadata.ino(), metadata.nlink()));
        let inside = entry.path().strip_prefix(root).unwrap_or(entry.path()).display();
        let _ = writeln!(names, "  {inode} {links} {inside}");
    }
    names
}

fn survives_at_work(kind: &'static str, size: &str, images: usize, seed: u64) {
    let Some(outer) = Image::new_in(scratch(), "xfs", "3G") else { return };
    let Some(disk) = outer.inner(kind, size) else { return };
    if disk.at_this_moment().is_none() {
        return skipped("an XFS that can clone files");
    }
    let begun = Instant::now();
    let spool = disk.spool();
    expect(&spool, &["create", "q", "max-deliveries=1000"], 0);
    let ledger = Ledger::default();
    let (mut wrong, mut messages) = (Vec::new(), 0);
    std::thread::scope(|threads| {
        let _ending = Ending(&ledger.is_over);
        for number in 0..WORKERS {
            let (ledger, spool) = (&ledger, &spool);
            threads.spawn(move || ledger.work(spool, number, seed));
        }
        for number in 0..images {
            let before = Instant::now();
            let mut image = disk.at_this_moment().expect("a clone");
            let after = Instant::now();
            image.recover();
            let mut amiss = Vec::new();
            let found = receive_all(&image.spool(), &mut amiss);
            messages += found.len();
            drop(image);
            ledger.wait_for_those_at_work();
            amiss.extend(ledger.check(&found, before, after));
            wrong.extend(amiss.into_iter().map(|what| format!("image {number}: {what}")));
        }
    });
    assert!(wrong.is_empty(), "{kind}, seed {seed}:\n{}", wrong.join("\n"));
    let (put, deleted) = (ledger.put.lock().unwrap().len(), ledger.deleted.lock().unwrap().len());
    eprintln!(
        "{kind}: {images} crash images taken at work: 0 lost, 0 back, 0 torn ({put} puts and {deleted} deletes \
         acknowledged, {} messages an image, {:.0?})",
        messages / images,
        begun.elapsed(),
    );
}

#[test]
fn i1_i3_i4_i7_power_cuts_at_work_on_ext4() {
    survives_at_work("ext4", "96M", 200, 5);
}

#[test]
fn i1_i3_i4_i7_power_cuts_at_work_on_xfs() {
    survives_at_work("xfs", "310M", 12, 6);
}

#[test]
fn i1_i3_i4_i7_power_cuts_at_work_on_btrfs() {
    survives_at_work("btrfs", "320M", 30, 7);
}
