//! fsck in both orders, and among senders and receivers: what lives is none of its business.

#![allow(clippy::disallowed_methods)] // The tests' own files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mq::domain::{Clock as _, ManualClock, NewMessage, Policy, SystemClock, Visibility};
use mq::store::spool::fs::RealFs;
use mq::store::spool::fsck::{Finding, FindingKind, Repair, Summary};
use mq::store::spool::{Order, Spool};
use mq::store::{ClaimRequest, Error, Store};
use tempfile::TempDir;

use super::bench::{name, q, scratch, secs, text, with_delay};

const ALL: ClaimRequest = ClaimRequest { visibility: Visibility::Timed(None), most: 100 };

struct Fixture {
    dir: TempDir,
    order: Order,
}

impl Fixture {
    fn new(order: Order) -> Self {
        let fixture = Self { dir: scratch(), order };
        fixture.open().create_queue(&q(), &Policy::default(), None).unwrap();
        fixture
    }

    fn open(&self) -> Spool {
        Spool::open(self.dir.path()).unwrap().with_order(self.order)
    }

    fn fsck(&self, repair: bool) -> (Vec<Finding>, Summary) {
        let mut found = Vec::new();
        let summary = self.open().fsck(&[], repair, &mut |finding| found.push(finding)).unwrap();
        assert_eq!((summary.found, summary.order), (found.len() as u64, self.order));
        (found, summary)
    }

    /// The message files in a part of a queue, sorted.
    fn files(&self, part: &str) -> Vec<PathBuf> {
        let walk = walkdir::WalkDir::new(self.dir.path().join(part)).sort_by_file_name().into_iter();
        walk.map(Result::unwrap).filter(|e| e.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
    }

    fn put(&self, queue: &str, body: &str) {
        self.open().put(&name(queue), &NewMessage::default(), &mut body.as_bytes()).unwrap();
    }

    fn drain(&self, queue: &str) -> Vec<String> {
        let mut claims = self.open().claim(&name(queue), &ALL).unwrap();
        assert_eq!(claims.notices, []);
        claims.deliveries.iter_mut().map(text).collect()
    }
}

fn in_both_orders(test: impl Fn(&Fixture)) {
    for order in [Order::RollForward, Order::Classical] {
        test(&Fixture::new(order));
    }
}

fn kinds(found: &[Finding]) -> Vec<(FindingKind, Repair)> {
    found.iter().map(|finding| (finding.kind, finding.repair.clone())).collect()
}

/// The message's name with another delivery count.
fn counted(path: &Path, deliveries: u32) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    format!("{}.{deliveries}", name.rsplit_once('.').unwrap().0)
}

/// What a mover leaves that dies between its link and its unlink.
#[test]
fn i2_a_message_with_two_names_loses_one() {
    in_both_orders(|f| {
        f.put("q", "a");
        f.put("q", "b");
        let path = f.files("q/ready").remove(0);
        let until = f.dir.path().join("q/claimed/4000000000");
        std::fs::create_dir(&until).unwrap();
        std::fs::set_permissions(&until, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::hard_link(&path, until.join(counted(&path, 1))).unwrap();
        let (found, _) = f.fsck(false);
        assert_eq!(kinds(&found), [(FindingKind::TwoNames, Repair::Would)], "{found:?}");
        assert_eq!(found[0].path, path, "the claim stays");
        assert_eq!(kinds(&f.fsck(true).0), [(FindingKind::TwoNames, Repair::Done)]);
        assert!(!path.exists() && until.join(counted(&path, 1)).exists());
        let (found, summary) = f.fsck(false);
        assert_eq!((found, summary.messages), (Vec::new(), 2));
        assert_eq!(summary.set_aside, u64::from(f.order == Order::RollForward));
        assert_eq!(f.drain("q"), ["b"]);
    });
}

/// What a repair leaves that dies between the link and the unlink of a message that lay under a name that is none. Only
/// in the classical order is there such a moment.
#[test]
fn i4_a_message_that_a_repair_left_half_moved_does_not_come_back() {
    for is_mended_first in [false, true] {
        for odd in ["ready/0 odd", "claimed/held/x.bak", "delayed/y", "ready/5/z"] {
            let f = Fixture::new(Order::Classical);
            f.put("q", "a");
            let path = f.files("q/ready").remove(0);
            let odd = f.dir.path().join("q").join(odd);
            std::fs::hard_link(&path, &odd).unwrap();
            if is_mended_first {
                let (found, _) = f.fsck(false);
                assert_eq!(kinds(&found), [(FindingKind::TwoNames, Repair::Would)], "{found:?}");
                assert_eq!(kinds(&f.fsck(true).0), [(FindingKind::TwoNames, Repair::Done)]);
                assert_eq!(found[0].path, odd);
                let (found, summary) = f.fsck(false);
                assert_eq!((found, summary.messages), (Vec::new(), 1));
            }
            let claims = f.open().claim(&q(), &ALL).unwrap();
            assert!(!odd.exists(), "{} is another name of the message that was claimed", odd.display());
            assert_eq!(claims.deliveries.len(), 1);
            for delivery in claims.deliveries {
                f.open().delete(&[delivery.receipt]).remove(0).unwrap();
            }
            assert_eq!(f.fsck(true).0, []);
            assert_eq!(f.drain("q"), [""; 0]);
        }
    }
}

/// Whatever a person calls a second name, in whatever order: a repair removes it and keeps the one that receivers find.
#[test]
fn i1_a_second_name_that_no_receiver_finds_is_removed() {
    in_both_orders(|f| {
        f.put("q", "a");
        let path = f.files("q/ready").remove(0);
        for odd in [f.dir.path().join("q/ready/odd"), f.dir.path().join("q/claimed").join(path.file_name().unwrap())] {
            std::fs::hard_link(&path, &odd).unwrap();
            assert_eq!(kinds(&f.fsck(true).0), [(FindingKind::TwoNames, Repair::Done)]);
            assert!(!odd.exists() && path.exists());
        }
        assert_eq!(f.fsck(false).0, []);
        assert_eq!(f.drain("q"), ["a"]);
    });
}

/// The other name that a misplaced message has is no better than this one, or is somebody's outside.
#[test]
fn i1_a_misplaced_message_with_two_names_gets_its_place() {
    in_both_orders(|f| {
        for (at, other) in ["q/ready/again", "a user's own"].into_iter().enumerate() {
            f.put("q", "a");
            let odd = f.dir.path().join("q/ready/odd");
            std::fs::rename(f.files("q/ready").remove(0), &odd).unwrap();
            std::fs::hard_link(&odd, f.dir.path().join(other)).unwrap();
            let (found, _) = f.fsck(true);
            assert!(found.iter().all(|finding| finding.repair == Repair::Done || finding.kind == FindingKind::Stray));
            assert!(!odd.exists() && !f.dir.path().join("q/ready/again").exists());
            assert_eq!(f.fsck(false).1.found, at as u64, "what is outside is left alone");
            assert_eq!(f.drain("q"), ["a"]);
        }
    });
}

#[test]
fn i2_a_message_with_a_name_in_two_queues_loses_one() {
    in_both_orders(|f| {
        f.open().create_queue(&name("p"), &Policy::default(), None).unwrap();
        f.put("p", "p");
        f.put("q", "a");
        let path = f.files("q/ready").remove(0);
        let leaf = f.files("p/ready").remove(0).parent().unwrap().to_owned();
        let there = counted(&path, 0).replacen("0000000000000000", "0000000000000001", 1);
        std::fs::hard_link(&path, leaf.join(there)).unwrap();
        // The counter of p would have been raised before.
        f.put("p", "later");
        let (found, _) = f.fsck(true);
        assert!(found.iter().any(|finding| finding.kind == FindingKind::TwoNames), "{found:?}");
        let mut bodies = [f.drain("p"), f.drain("q")].concat();
        bodies.sort();
        assert_eq!(bodies, ["a", "later", "p"]);
    });
}

/// A move takes a message's other names away, and not what somebody has copied.
#[test]
fn i1_a_copy_in_another_queue_is_not_taken_for_a_second_name() {
    in_both_orders(|f| {
        f.open().create_queue(&name("p"), &Policy::default(), None).unwrap();
        f.put("p", "p");
        f.put("q", "a");
        let path = f.files("q/ready").remove(0);
        let leaf = f.files("p/ready").remove(0).parent().unwrap().to_owned();
        std::fs::copy(&path, leaf.join(path.file_name().unwrap())).unwrap();
        std::fs::hard_link(&path, f.dir.path().join("a user's own")).unwrap();
        assert_eq!(f.drain("q"), ["a"]);
        let mut bodies = f.drain("p");
        bodies.sort();
        assert_eq!(bodies, ["a", "p"], "they have one number, and may be of one millisecond");
    });
}

/// What `cp -al` makes of a spool. Where no move looks for other names, it does no harm.
#[test]
fn names_outside_the_spool_are_told_once_a_queue() {
    in_both_orders(|f| {
        let outside = scratch();
        f.open().create_queue(&name("p"), &Policy::default(), None).unwrap();
        for body in ["a", "b", "c"] {
            f.put("q", body);
        }
        f.put("p", "p");
        for (at, path) in f.files("q/ready").iter().skip(1).enumerate() {
            std::fs::hard_link(path, outside.path().join(at.to_string())).unwrap();
        }
        // All of its names are in the spool.
        std::fs::hard_link(f.files("p/ready").remove(0), f.dir.path().join("p/notes")).unwrap();
        for repair in [false, true] {
            let (found, _) = f.fsck(repair);
            let told: Vec<_> = found.iter().filter(|finding| finding.kind != FindingKind::Stray).collect();
            if f.order == Order::RollForward {
                assert_eq!(told.len(), 0, "{told:?}");
                continue;
            }
            assert_eq!((told.len(), told[0].kind), (1, FindingKind::OutsideNames), "{told:?}");
            assert_eq!((&told[0].path, &told[0].repair), (&f.files("q/ready")[1], &Repair::ByHand));
            assert!(told[0].what.contains("1 of 2") && told[0].what.contains("1 more"), "{told:?}");
        }
        assert_eq!(f.drain("q"), ["a", "b", "c"]);
        assert_eq!(outside.path().read_dir().unwrap().count(), 2, "what is outside stays");
    });
}

/// A repair by root makes nothing that the queue's owner cannot use.
#[test]
fn i1_what_a_repair_makes_is_the_owners() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    const NOBODY: Option<u32> = Some(65534);
    let walk = |f: &Fixture| walkdir::WalkDir::new(f.dir.path()).into_iter().map(Result::unwrap).collect::<Vec<_>>();
    in_both_orders(|f| {
        if chown(f.dir.path(), NOBODY, NOBODY).is_err() {
            return eprintln!("skipped: needs root");
        }
        for body in ["torn", "a", "b"] {
            f.put("q", body);
        }
        let ready = f.files("q/ready");
        let file = std::fs::File::options().write(true).open(&ready[0]).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        std::fs::rename(&ready[1], f.dir.path().join("q/delayed").join(ready[1].file_name().unwrap())).unwrap();
        std::fs::rename(&ready[2], f.dir.path().join("q/claimed/odd")).unwrap();
        std::fs::rename(&ready[0], f.dir.path().join("q/ready").join(ready[0].file_name().unwrap())).unwrap();
        for dir in ["q/spare", "q/corrupt", "q/ready/5"] {
            std::fs::remove_dir_all(f.dir.path().join(dir)).unwrap();
        }
        for part in ["q/state", "q/lock", "q/sweep", "q/wake", "format"] {
            std::fs::remove_file(f.dir.path().join(part)).unwrap();
        }
        let _ = std::fs::remove_file(f.dir.path().join("lock"));
        for entry in walk(f) {
            chown(entry.path(), NOBODY, NOBODY).unwrap();
        }
        let (mut found, spool) = (Vec::new(), Spool::for_fsck(f.dir.path()).with_order(f.order));
        spool.fsck(&[], true, &mut |finding| found.push(finding)).unwrap();
        assert!(found.iter().all(|finding| finding.repair == Repair::Done), "{found:?}");
        assert!(found.iter().all(|finding| finding.kind != FindingKind::WrongOwner), "{found:?}");
        for entry in walk(f) {
            let meta = entry.metadata().unwrap();
            assert_eq!((meta.uid(), meta.gid()), (65534, 65534), "{}", entry.path().display());
        }
        // What a repair leaves that is killed before it has given it away, or another verb of root's.
        std::fs::write(f.dir.path().join("lock"), "").unwrap();
        chown(f.dir.path().join("lock"), Some(0), Some(0)).unwrap();
        assert_eq!(kinds(&f.fsck(true).0), [(FindingKind::WrongOwner, Repair::Done)]);
        assert_eq!(f.fsck(false).0, []);
        assert_eq!((f.files("q/corrupt").len(), f.drain("q")), (2, vec!["a".to_owned(), "b".to_owned()]));
    });
}

/// Who receives from `from`, and lets go of some, until it is told to stop and there is nothing left.
fn receive(store: &Spool, request: &ClaimRequest, is_over: &AtomicBool, begun: Instant) -> usize {
    let (mut finished, mut round) = (0, 0);
    loop {
        let over = is_over.load(Ordering::SeqCst) || begun.elapsed() > secs(60);
        let claims = store.claim(&q(), request).unwrap();
        assert_eq!(claims.notices, []);
        if claims.deliveries.is_empty() && over {
            return finished;
        }
        for delivery in claims.deliveries {
            let receipts = [delivery.receipt];
            round += 1;
            match round % 5 {
                0 => store.release(&receipts, Some(secs(0))).remove(0).unwrap(),
                1 if delivery.hold.is_none() => drop(store.extend(&receipts, secs(90)).remove(0).unwrap()),
                _ => {}
            }
            if round % 5 != 0 {
                store.delete(&receipts).remove(0).unwrap();
                finished += 1;
            }
        }
    }
}

/// Senders, receivers, and people who make and drop queues, while one fsck after the other looks and mends: it finds
/// nothing, and every message is delivered.
#[test]
fn i1_i2_what_lives_is_no_finding_and_is_not_disturbed() {
    const PUTS: usize = 400;
    in_both_orders(|f| {
        let (sent, is_over, begun) = (AtomicBool::new(false), AtomicBool::new(false), Instant::now());
        let (sent, is_over) = (&sent, &is_over);
        std::thread::scope(|threads| {
            let fsck = [false, true].map(|repair| {
                threads.spawn(move || {
                    let mut runs = 0;
                    while !is_over.load(Ordering::SeqCst) {
                        let (found, _) = f.fsck(repair);
                        assert_eq!(found, [], "repair: {repair}");
                        runs += 1;
                    }
                    runs
                })
            });
            let maker = threads.spawn(move || {
                let store = f.open();
                while !sent.load(Ordering::SeqCst) {
                    store.create_queue(&name("short"), &Policy::default(), Some(0o2770)).unwrap();
                    store.put(&name("short"), &NewMessage::default(), &mut "x".as_bytes()).unwrap();
                    assert!(matches!(store.drop_queue(&name("short"), false), Err(Error::QueueNotEmpty { .. })));
                    store.change_policy(&name("short"), &mut |policy| policy.apply("delay=1s")).unwrap();
                    store.drop_queue(&name("short"), true).unwrap();
                }
            });
            let sender = threads.spawn(move || {
                let store = f.open();
                for n in 0..PUTS {
                    let new = if n % 50 == 0 { with_delay(secs(1)) } else { NewMessage::default() };
                    store.put(&q(), &new, &mut n.to_string().as_bytes()).unwrap();
                    if n % 20 == 0 {
                        let batch = vec![(NewMessage::default(), b"batch".to_vec()); 20];
                        assert_eq!(store.put_batch(&q(), &batch).ids.len(), 20);
                    }
                }
            });
            let held = ClaimRequest { visibility: Visibility::Held, most: 1 };
            let receivers = [held, ALL, ClaimRequest { most: 3, ..ALL }]
                .map(|request| threads.spawn(move || receive(&f.open(), &request, sent, begun)));
            sender.join().unwrap();
            sent.store(true, Ordering::SeqCst);
            maker.join().unwrap();
            let mut finished: usize = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
            is_over.store(true, Ordering::SeqCst);
            assert!(fsck.into_iter().all(|fsck| fsck.join().unwrap() > 0));
            // Those that are delayed, and those that were released after a receiver had left.
            while finished < 2 * PUTS && begun.elapsed() < secs(60) {
                let claims = f.open().claim(&q(), &ALL).unwrap();
                finished += claims.deliveries.len();
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            assert_eq!(finished, 2 * PUTS);
        });
    });
}

/// A receiver that has the lock of the moves can have to make a dead-letter queue, for which it needs the lock that a
/// repair has.
#[test]
fn i9_a_repair_and_a_receiver_do_not_wait_for_each_other() {
    in_both_orders(|f| {
        f.open().change_policy(&q(), &mut |policy| policy.apply("max-deliveries=1")).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let store = f.open();
                for _ in 0..30 {
                    for _ in 0..3 {
                        store.put(&q(), &NewMessage::default(), &mut "x".as_bytes()).unwrap();
                    }
                    for _ in 0..2 {
                        let claims = store.claim(&q(), &ALL).unwrap();
                        for delivery in claims.deliveries {
                            let _ = store.release(&[delivery.receipt], Some(secs(0)));
                        }
                    }
                    let _ = store.drop_queue(&name("q.dead"), true);
                }
                is_over.store(true, Ordering::SeqCst);
            });
            let begun = Instant::now();
            while !is_over.load(Ordering::SeqCst) {
                assert!(begun.elapsed() < secs(60), "they wait for each other");
                f.put("q", "misplaced");
                if let Some(path) = f.files("q/ready").first() {
                    let _ = std::fs::rename(path, f.dir.path().join("q/ready").join(path.file_name().unwrap()));
                }
                f.fsck(true);
            }
        });
    });
}

/// A message that was put in the future: the clock has been set back since. One finding, however many there are.
#[test]
fn a_clock_that_was_set_back_is_told_once_a_queue() {
    in_both_orders(|f| {
        let ahead = SystemClock.now().plus(secs(3600));
        let spool = Spool::open_with(f.dir.path(), RealFs, ManualClock::at(ahead)).unwrap().with_order(f.order);
        for body in ["a", "b", "c"] {
            spool.put(&q(), &NewMessage::default(), &mut body.as_bytes()).unwrap();
        }
        for repair in [false, true] {
            let (found, _) = f.fsck(repair);
            assert_eq!(kinds(&found), [(FindingKind::Clock, Repair::ByHand)], "{found:?}");
        }
        assert_eq!(f.drain("q"), ["a", "b", "c"]);
    });
}
