//! What only a spool has: other processes. A second `Spool` on the same directory stands for one.

use mq::domain::lifecycle::State;
use mq::domain::{MessageId, NewMessage, Policy, Visibility};
use mq::store::spool::Order;
use mq::store::spool::fs::{Fs as _, RealFs};
use mq::store::{ClaimRequest, Error, Store};

use super::bench::{Bench, START, is_done, is_stale, name, q, secs, text, with_delay, with_priority};

fn in_both_orders(test: impl Fn(&Bench, &dyn Store)) {
    for order in [Order::RollForward, Order::Classical] {
        let bench = Bench::spool(order);
        let other = bench.opened_again();
        test(&bench, &*other);
    }
}

const HELD: ClaimRequest = ClaimRequest { visibility: Visibility::Held, most: 1 };
const TIMED: ClaimRequest = ClaimRequest { visibility: Visibility::Timed(None), most: 1 };

#[test]
fn i1_another_process_sees_every_message_in_its_state() {
    in_both_orders(|b, other| {
        for body in ["held", "claimed", "ready"] {
            b.put(body);
        }
        b.put_as(&with_delay(secs(9)), "delayed");
        let hold = b.hold().unwrap();
        b.claim().unwrap();
        let stat = other.stat(&q()).unwrap();
        assert_eq!((stat.ready, stat.delayed, stat.claimed, stat.held), (1, 1, 1, 1));
        assert_eq!(stat, b.stat());
        assert_eq!(other.queues().unwrap(), [q()]);
        drop(hold);
    });
}

/// A batch has its numbers a while before its messages are put. One that takes long must not look like messages that went.
#[test]
#[allow(clippy::disallowed_methods)] // The test plays the process that puts.
fn a_batch_that_is_being_put_has_not_come_and_gone() {
    in_both_orders(|b, other| {
        b.put("a");
        let before = other.stat(&q()).unwrap().numbers.unwrap();
        assert_eq!((before.next, before.there), (1, 1));
        let ready = b.path_of("ready/5/000000000000/00");
        let name = std::fs::read_dir(&ready).unwrap().next().unwrap().unwrap().file_name();
        let batch = b.path_of("tmp").join(MessageId::new(START, &[1; 10]).to_string());
        std::fs::create_dir_all(batch.join("0")).unwrap();
        let writer = std::fs::File::open(&batch).unwrap();
        fs2::FileExt::lock_exclusive(&writer).unwrap();
        std::fs::copy(ready.join(&name), batch.join("0").join(&name)).unwrap();
        let stat = other.stat(&q()).unwrap();
        assert_eq!((stat.messages(), stat.temporaries), (1, 1));
        assert_eq!(stat.numbers.unwrap().there, 2);
    });
}

#[test]
fn i2_another_process_cannot_claim_what_is_claimed() {
    in_both_orders(|b, other| {
        b.put("a");
        b.put("b");
        let hold = b.hold().unwrap();
        b.claim().unwrap();
        assert!(other.claim(&q(), &TIMED).unwrap().deliveries.is_empty());
        assert!(other.claim(&q(), &HELD).unwrap().deliveries.is_empty());
        drop(hold);
        let back = other.claim(&q(), &HELD).unwrap().deliveries;
        assert_eq!(back[0].deliveries, 2);
    });
}

#[test]
fn i5_receipts_are_good_and_stale_in_every_process() {
    in_both_orders(|b, other| {
        b.put("a");
        b.put("b");
        let (first, second) = (b.claim_for(5).unwrap().receipt, b.claim_for(5).unwrap().receipt);
        assert!(is_done(&other.delete(std::slice::from_ref(&first))));
        assert!(is_stale(&b.store.delete(&[first])));
        assert!(is_done(&other.extend(std::slice::from_ref(&second), secs(50))));
        assert!(is_done(&b.store.release(std::slice::from_ref(&second), Some(secs(0)))));
        assert_eq!(other.claim(&q(), &TIMED).unwrap().deliveries[0].deliveries, 2);
        assert!(is_stale(&b.store.release(&[second], Some(secs(0)))));
    });
}

#[test]
fn i8_processes_that_take_turns_keep_the_order() {
    in_both_orders(|b, other| {
        for n in 0..600 {
            let store = if n % 2 == 0 { &*b.store } else { other };
            store.put(&q(), &NewMessage::default(), &mut n.to_string().as_bytes()).unwrap();
        }
        assert_eq!(b.drain("q"), (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn policies_and_queues_are_everybodys() {
    in_both_orders(|b, other| {
        other.change_policy(&q(), &mut |policy| policy.apply("visibility=9s")).unwrap();
        assert_eq!(b.store.policy(&q()).unwrap().visibility, secs(9));
        assert!(matches!(other.create_queue(&q(), &Policy::default(), None), Err(Error::QueueExists(_))));
        other.create_queue(&name("two"), &Policy::default(), None).unwrap();
        assert_eq!(b.store.queues().unwrap(), [q(), name("two")]);
        assert_eq!(b.store.drop_queue(&name("two"), false).unwrap(), 0);
        assert_eq!(other.queues().unwrap(), [q()]);
    });
}

#[test]
fn a_put_of_another_process_ends_a_wait() {
    in_both_orders(|b, other| {
        let mut watch = b.store.watch(&q()).unwrap();
        other.put(&q(), &NewMessage::default(), &mut "news".as_bytes()).unwrap();
        let begun = std::time::Instant::now();
        watch.wait(secs(60)).unwrap();
        assert!(begun.elapsed() < std::time::Duration::from_millis(900));
    });
}

/// A file of two names is what a mover leaves that dies; whose the other names are, the file says and not the id.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i1_a_file_that_only_has_the_id_of_another_is_no_name_of_it() {
    in_both_orders(|b, _| {
        b.put("kept");
        b.claim_for(5).unwrap();
        let kept = b.paths_below("claimed").into_iter().find(|path| path.is_file()).unwrap();
        b.put("linked");
        let linked = b.paths_below("ready").into_iter().find(|path| path.is_file()).unwrap();
        std::fs::hard_link(&linked, linked.with_file_name(kept.file_name().unwrap())).unwrap();
        let claims = b.store.claim(&q(), &ClaimRequest { most: 9, ..TIMED }).unwrap();
        assert_eq!(claims.notices.len(), 1, "one is not the message that it is called");
        b.advance(100);
        assert!(b.drain("q").contains(&"kept".to_owned()));
    });
}

/// Something in the very place where one message would go keeps that one, and no other.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i7_what_stands_in_the_way_of_one_message_keeps_no_other() {
    in_both_orders(|b, _| {
        b.put("first");
        b.put("second");
        let first = b.paths_below("ready").into_iter().filter(|path| path.is_file()).min().unwrap();
        let claimed = format!("{}.1", first.file_stem().unwrap().to_str().unwrap());
        let held = first.ancestors().nth(5).unwrap().join("claimed/held").join(&claimed);
        std::fs::create_dir(&held).unwrap();
        let mut claims = b.store.claim(&q(), &HELD).unwrap();
        assert_eq!(claims.deliveries.iter_mut().map(text).collect::<Vec<_>>(), ["second"]);
        assert!(claims.notices[0].to_string().contains(&claimed), "{:?}", claims.notices);
        drop(claims);
        std::fs::remove_dir(&held).unwrap();
        b.advance(2);
        assert_eq!(b.claim_from("q", Visibility::Timed(Some(secs(5))), 2).len(), 2);
        let way_back = first.with_file_name(&claimed);
        std::fs::create_dir(&way_back).unwrap();
        b.advance(100);
        assert_eq!(b.drain("q"), ["second"]);
        let error = b.store.claim(&q(), &TIMED).err().expect("there is one, and it cannot be had");
        assert!(error.to_string().contains(&claimed), "{error}");
        std::fs::remove_dir(&way_back).unwrap();
        assert_eq!(b.drain("q"), ["first"]);
    });
}

/// Something else in the place of a file or directory that receiving can do without: what is due comes all the same, and
/// before what is less urgent.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i7_what_stands_in_the_place_of_a_part_keeps_no_message() {
    for (at, part) in ["sweep", "wake", "state", "lock", "spare", "tmp", "corrupt"].into_iter().enumerate() {
        for kind in 0..3 {
            in_both_orders(|b, _| {
                b.put("ready");
                b.put_as(&NewMessage { delay: Some(secs(5)), ..with_priority(9) }, "due");
                let path = b.path_of(part);
                if path.is_dir() {
                    std::fs::remove_dir_all(&path).unwrap();
                } else {
                    std::fs::remove_file(&path).unwrap();
                }
                match kind {
                    0 => std::os::unix::fs::symlink("/nowhere", &path).unwrap(),
                    1 => std::fs::write(&path, b"\xff\xfe and so on, for longer than anything of ours is").unwrap(),
                    _ if at < 4 => std::fs::create_dir(&path).unwrap(),
                    _ => RealFs.make_bell(&path, 0o600).unwrap(),
                }
                b.advance(6);
                assert_eq!(b.claim().map(|mut due| text(&mut due)).as_deref(), Some("due"), "{part} {kind}");
                assert_eq!(b.claim().map(|mut ready| text(&mut ready)).as_deref(), Some("ready"), "{part} {kind}");
            });
        }
    }
}

/// A damaged message that cannot be set aside is told, and keeps no other.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i7_a_damaged_message_that_cannot_be_set_aside_keeps_no_other() {
    in_both_orders(|b, _| {
        b.put("damaged");
        b.put("whole");
        let damaged = b.paths_below("ready").into_iter().filter(|path| path.is_file()).min().unwrap();
        std::fs::write(&damaged, "nonsense").unwrap();
        std::fs::remove_dir(b.path_of("corrupt")).unwrap();
        std::fs::write(b.path_of("corrupt"), "").unwrap();
        let mut claims = b.store.claim(&q(), &TIMED).unwrap();
        assert_eq!(claims.deliveries.iter_mut().map(text).collect::<Vec<_>>(), ["whole"]);
        assert!(claims.notices[0].to_string().contains("corrupt"), "{:?}", claims.notices);
        std::fs::remove_file(b.path_of("corrupt")).unwrap();
        std::fs::create_dir(b.path_of("corrupt")).unwrap();
        b.advance(100);
        assert!(
            b.store.claim(&q(), &ClaimRequest { most: 9, ..TIMED }).unwrap().notices[0]
                .to_string()
                .contains("set aside")
        );
    });
}

/// Without the lock of the moves nothing moves in the classical order, which is said, and nobody waits for a lock that
/// is his own.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i9_what_stands_in_the_place_of_the_lock_of_the_moves_is_told() {
    let b = Bench::spool(Order::Classical);
    b.put("x");
    let lock = b.path_of("../lock");
    let message = b.paths_below("ready").into_iter().find(|path| path.is_file()).unwrap();
    let told = |request| {
        let error = b.store.claim(&q(), &request).err().expect("it cannot be claimed");
        assert!(error.to_string().ends_with(&format!("{}", lock.display())), "{error}");
    };
    for request in [HELD, TIMED, ClaimRequest { most: 9, ..HELD }] {
        std::fs::hard_link(&message, &lock).unwrap();
        told(request);
        std::fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink("/nowhere", &lock).unwrap();
        told(request);
        std::fs::remove_file(&lock).unwrap();
        std::fs::create_dir(&lock).unwrap();
        told(request);
        std::fs::remove_dir(&lock).unwrap();
    }
    assert_eq!(b.drain("q"), ["x"]);
}

/// All that a sweep and the last get leave of an emptied queue is its building, and the leaf at the tail.
#[test]
fn i7_an_emptied_queue_holds_nothing() {
    in_both_orders(|b, _| {
        for n in 0..1000 {
            let new = if n % 4 == 0 { with_delay(secs(n % 7)) } else { NewMessage::default() };
            b.put_as(&new, "body");
        }
        b.advance(100);
        drop(b.claim_from("q", Visibility::Held, 500));
        let mut deleted = 0;
        while let Some(delivery) = b.claim_for(3) {
            assert!(is_done(&b.store.delete(&[delivery.receipt])));
            deleted += 1;
        }
        assert_eq!(deleted, 1000);
        b.advance(10);
        assert_eq!(b.list("q"), []);
        assert_eq!(b.names_below("tmp"), 0);
        assert_eq!(b.names_below("claimed"), 1, "the place for held claims alone");
        assert_eq!(b.names_below("delayed"), 0);
        assert_eq!(b.names_below("ready"), 3, "a priority, a group, the leaf at the tail");
        assert_eq!(b.names_below("corrupt"), 0);
        let stat = b.stat();
        assert_eq!((stat.temporaries, stat.strays, stat.corrupt), (0, 0, 0));
    });
}

/// A body of any length keeps the claim only as long as somebody has it or the hold.
#[test]
fn i2_a_long_body_is_part_of_its_claim() {
    in_both_orders(|b, _| {
        b.put(&"x".repeat(300_000));
        let mut delivery = b.hold().unwrap();
        drop(delivery.hold.take());
        assert_eq!(super::bench::text(&mut delivery).len(), 300_000);
        drop(delivery);
        assert_eq!(b.states("q"), [(State::Ready, 1)]);
    });
}

/// Senders and receivers at once, over many leaves: whatever one finds gone that another has just removed is
/// no failure, and every message is delivered.
#[test]
fn i1_i9_many_at_once_lose_nothing_and_see_no_failure() {
    const EACH: usize = 1000;
    in_both_orders(|b, _| {
        let begun = std::time::Instant::now();
        let finished = std::sync::atomic::AtomicUsize::new(0);
        let open = || b.opened_in_real_time();
        let finish = |store: &dyn Store, claims: Vec<mq::store::Delivery>, is_kept: bool| {
            for delivery in claims {
                let receipts = [delivery.receipt];
                if is_kept {
                    store.delete(&receipts).remove(0).unwrap();
                    finished.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                } else {
                    store.release(&receipts, Some(secs(0))).remove(0).unwrap();
                }
            }
        };
        let finish = &finish;
        std::thread::scope(|threads| {
            threads.spawn(move || {
                let store = open();
                for n in 0..EACH {
                    store.put(&q(), &NewMessage::default(), &mut n.to_string().as_bytes()).unwrap();
                }
            });
            threads.spawn(move || {
                let store = open();
                for _ in 0..EACH / 20 {
                    let outcome = store.put_batch(&q(), &vec![(NewMessage::default(), b"batch".to_vec()); 20]);
                    assert!(outcome.error.is_none(), "{:?}", outcome.error);
                    assert_eq!(outcome.ids.len(), 20);
                }
            });
            for request in [HELD, TIMED, ClaimRequest { most: 7, ..TIMED }] {
                let finished = &finished;
                threads.spawn(move || {
                    let store = open();
                    let mut round = 0;
                    // Should another thread fail, this one must not go on for ever.
                    while finished.load(std::sync::atomic::Ordering::SeqCst) < 2 * EACH && begun.elapsed() < secs(60) {
                        let claims = store.claim(&q(), &request).unwrap();
                        assert_eq!(claims.notices, []);
                        round += 1;
                        finish(&*store, claims.deliveries, round % 5 != 0);
                    }
                });
            }
        });
        assert_eq!(b.stat().messages(), 0);
    });
}

/// In a spool of a group everybody has to take the lock of the moves, whoever made it under whatever umask.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own files.
fn the_lock_of_the_moves_is_the_groups() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = super::bench::scratch();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    let spool = mq::store::spool::Spool::open(dir.path()).unwrap().with_order(Order::Classical);
    spool.create_queue(&q(), &Policy::default(), Some(0o700)).unwrap();
    spool.put(&q(), &NewMessage::default(), &mut "x".as_bytes()).unwrap();
    assert_eq!(spool.claim(&q(), &TIMED).unwrap().deliveries.len(), 1);
    let mode = std::fs::metadata(dir.path().join("lock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

/// Who removed an old name and died before that was durable has left a mark: the next one makes it so, and takes the mark
/// away.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i4_a_removal_that_is_not_durable_is_made_so_by_the_next() {
    let b = Bench::spool(Order::Classical);
    let mark = b.path_of("../lock");
    let is_marked = || std::fs::metadata(&mark).unwrap().len() > 0;
    b.put("x");
    let receipt = b.claim().unwrap().receipt;
    assert!(!is_marked());
    std::fs::write(&mark, [0]).unwrap();
    assert!(is_done(&b.store.release(&[receipt], Some(secs(0)))));
    assert!(!is_marked());
    std::fs::write(&mark, [0]).unwrap();
    assert_eq!(b.drain("q"), ["x"]);
    assert!(!is_marked());
}

/// A spool can be the root of a file system, which has a directory that only root may look into: nobody looks there for
/// other names of a message.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i9_what_the_file_system_has_lost_is_not_looked_at() {
    let b = Bench::spool(Order::Classical);
    b.put("x");
    let ready = b.paths_below("ready").into_iter().find(|path| path.is_file()).unwrap();
    let lost = b.path_of("../lost+found");
    std::fs::create_dir(&lost).unwrap();
    let link = lost.join(ready.file_name().unwrap());
    std::fs::hard_link(&ready, &link).unwrap();
    assert_eq!(b.drain("q"), ["x"]);
    assert!(link.exists());
}

/// What a power cut leaves of a move that was not synced can be both of its names: the next one completes it.
#[test]
#[allow(clippy::disallowed_methods)] // The test's own meddling.
fn i7_both_names_of_a_move_are_no_obstacle() {
    in_both_orders(|b, _| {
        b.set(&["durability=none"]);
        b.put("x");
        let ready = b.paths_below("ready").into_iter().find(|path| path.is_file()).unwrap();
        let claimed = format!("claimed/held/{}.1", ready.file_stem().unwrap().to_str().unwrap());
        std::fs::hard_link(&ready, b.path_of(&claimed)).unwrap();
        let mut held = b.store.claim(&q(), &HELD).unwrap();
        assert_eq!(held.deliveries.iter_mut().map(text).collect::<Vec<_>>(), ["x"]);
        assert!(is_done(&b.store.delete(&[held.deliveries.remove(0).receipt])));
        assert_eq!(b.stat().messages(), 0);
    });
}
