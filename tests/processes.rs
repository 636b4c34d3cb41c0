//! Many real processes at once, killed at random, and calls to the system that fail: nothing is lost (I1), nothing
//! has two holders (I2), nothing is torn (I3), every failure is told (I9).

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mq::domain::{NewMessage, Policy, Priority, QueueName, Visibility};
use mq::store::spool::Spool;
use mq::store::{ClaimRequest, Store as _};

use common::{eventually, expect, has, mq, mq_bin, run, scratch, skipped};

fn put_numbered(spool: &Path, queue: &str, count: usize) {
    let mut child = mq(spool, &["put", queue, "--lines"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for n in 0..count {
        writeln!(stdin, "message {n}").unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// The paths of a whole tree, through a queue and back, byte for byte.
#[test]
fn i3_every_path_of_a_tree_comes_back() {
    let dir = scratch();
    let found = Command::new("find").args(["/usr", "-xdev", "-print0"]).output().unwrap().stdout;
    assert!(found.len() > 10_000, "no tree worth the name");
    let mut put =
        mq(dir.path(), &["put", "paths", "--null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (put.stdin.take().unwrap(), put.stdout.take().unwrap());
    let bytes = found.clone();
    let feeder = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let mut ids = String::new();
    stdout.read_to_string(&mut ids).unwrap();
    feeder.join().unwrap();
    assert!(put.wait().unwrap().success());
    let paths = found.iter().filter(|byte| **byte == 0).count();
    assert_eq!(ids.lines().collect::<BTreeSet<_>>().len(), paths, "an id for each");
    let back = expect(dir.path(), &["get", "paths", "--count", "all", "--null", "--delete"], 0);
    assert!(back == found, "what came back is not what was put");
    expect(dir.path(), &["get", "paths"], 1);
    eprintln!("{paths} paths put and received");
}

/// What a cron job would do, eight times at once: every message is handled by exactly one of them.
#[test]
fn i2_eight_copies_of_a_script_lose_and_double_nothing() {
    const SCRIPT: &str = "
        while mq get q --receipt-file r.$1 >body.$1 2>/dev/null; do
            cat body.$1 >>handled.$1
            mq delete --receipt-file r.$1 || exit 9
        done
        test $? -ne 9";
    let dir = scratch();
    put_numbered(&dir.path().join("spool"), "q", 400);
    // The bodies have no newline of their own.
    let script = SCRIPT.replace("cat body.$1", "{ cat body.$1; echo; }");
    let path = format!("{}:{}", mq_bin().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let copies: Vec<_> = (0..8)
        .map(|n| {
            Command::new("sh")
                .args(["-c", &script, "sh", &n.to_string()])
                .current_dir(dir.path())
                .env("PATH", &path)
                .env("MQ_SPOOL", dir.path().join("spool"))
                .spawn()
                .unwrap()
        })
        .collect();
    for mut copy in copies {
        assert!(copy.wait().unwrap().success());
    }
    let mut handled: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..8 {
        let text = std::fs::read_to_string(dir.path().join(format!("handled.{n}"))).unwrap_or_default();
        text.lines().for_each(|line| *handled.entry(line.to_owned()).or_default() += 1);
    }
    let want: BTreeMap<String, usize> = (0..400).map(|n| (format!("message {n}"), 1)).collect();
    assert_eq!(handled, want);
    let stat: serde_json::Value =
        serde_json::from_slice(&expect(&dir.path().join("spool"), &["stat", "q", "--json"], 0)).unwrap();
    assert_eq!((&stat["ready"], &stat["claimed"]), (&0.into(), &0.into()));
}

/// Six receivers at four groups, with a handler that fails now and then: of each group one message at a time is handled, and
/// in the order of the puts.
#[test]
fn i2_i8_groups_keep_their_order_under_contention() {
    const HANDLER: &str = "
        mkdir busy.$MQ_GROUP || { echo two at once >>wrong; exit 0; }
        read -r n
        if [ $((n % 5)) -eq 0 ] && [ ! -e failed.$MQ_GROUP.$n ]; then
            : >failed.$MQ_GROUP.$n
            rmdir busy.$MQ_GROUP
            exit 75
        fi
        echo $n >>order.$MQ_GROUP
        rmdir busy.$MQ_GROUP";
    const EACH: u32 = 25;
    let dir = scratch();
    let spool = dir.path().join("spool");
    std::fs::write(dir.path().join("handler"), HANDLER).unwrap();
    for n in 1..=EACH {
        for group in ["ann", "bob", "cyd", "dan"] {
            expect(&spool, &["put", "q", "--group", group, "--durability", "none", "-m", &format!("{n}\n")], 0);
        }
    }
    let copies: Vec<_> = (0..6)
        .map(|_| {
            let receive = "while mq get q --wait 3s -- sh handler 2>/dev/null || [ $? -eq 75 ]; do :; done";
            let path = format!("{}:{}", mq_bin().parent().unwrap().display(), std::env::var("PATH").unwrap());
            let mut shell = Command::new("sh");
            shell.args(["-c", receive]).current_dir(dir.path()).env("PATH", path).env("MQ_SPOOL", &spool);
            shell.spawn().unwrap()
        })
        .collect();
    for mut copy in copies {
        copy.wait().unwrap();
    }
    assert!(!dir.path().join("wrong").exists(), "I2: two of a group at once");
    let want = (1..=EACH).fold(String::new(), |text, n| format!("{text}{n}\n"));
    for group in ["ann", "bob", "cyd", "dan"] {
        assert_eq!(std::fs::read_to_string(dir.path().join(format!("order.{group}"))).unwrap(), want, "I8: {group}");
    }
    expect(&spool, &["get", "q"], 1);
}

/// Senders and receivers under random SIGKILL. What a sender was told is delivered; what was deleted is not
/// delivered again; what nobody put never appears.
#[test]
fn i1_i3_i4_random_kills_lose_nothing() {
    let dir = scratch();
    let spool = dir.path().join("spool");
    expect(&spool, &["create", "q", "visibility=1s"], 0);
    let end = Instant::now() + Duration::from_secs(8);
    let (mut kills, mut round) = (0, 0_u32);
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    let mut received: BTreeMap<String, u32> = BTreeMap::new();
    let take = |bytes: &[u8], received: &mut BTreeMap<String, u32>| {
        for line in String::from_utf8_lossy(bytes).lines() {
            // The last line of one that was killed may be torn; its message is not deleted then.
            if let Ok(envelope) = serde_json::from_str::<serde_json::Value>(line) {
                let (id, body) = (envelope["id"].as_str().unwrap(), envelope["body"].as_str().unwrap());
                assert!(body.starts_with("body of ") && body.ends_with(" whole"), "I3: torn: {body:?}");
                *received.entry(id.to_owned()).or_default() += 1;
            }
        }
    };
    while Instant::now() < end {
        round += 1;
        let lines: Vec<String> = (0..40).map(|n| format!("body of {round}-{n} whole\n")).collect();
        let lines = lines.concat();
        let mut put = mq(&spool, &["put", "q", "--lines"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = put.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || drop(stdin.write_all(lines.as_bytes())));
        let mut get = mq(&spool, &["get", "q", "--count", "30", "--json", "--delete"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed after a time that walks through all that they do.
        std::thread::sleep(Duration::from_micros(u64::from(round * 137 % 9000)));
        for child in [&mut put, &mut get] {
            kills += u32::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
        }
        let put = put.wait_with_output().unwrap();
        acknowledged
            .extend(String::from_utf8_lossy(&put.stdout).lines().filter(|id| id.len() == 36).map(str::to_owned));
        take(&get.wait_with_output().unwrap().stdout, &mut received);
        feeder.join().unwrap();
    }
    eventually("the last message", || {
        let got = run(&spool, &["get", "q", "--count", "all", "--json", "--delete"]);
        take(&got.stdout, &mut received);
        let stat: serde_json::Value = serde_json::from_slice(&expect(&spool, &["stat", "q", "--json"], 0)).unwrap();
        ["ready", "claimed", "held", "delayed"].iter().all(|state| stat[state] == 0)
    });
    let lost: Vec<_> = acknowledged.iter().filter(|id| !received.contains_key(*id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let stat: serde_json::Value = serde_json::from_slice(&expect(&spool, &["stat", "q", "--json"], 0)).unwrap();
    assert_eq!((&stat["corrupt"], &stat["strays"]), (&0.into(), &0.into()));
    let twice = received.values().filter(|n| **n > 1).count();
    eprintln!("{round} rounds, {kills} kills, {} acknowledged, lost 0, delivered twice {twice}", acknowledged.len());
    assert!(kills > 50, "only {kills} were killed in time");
}

/// The claim of a command outlives mq, and ends with the command.
#[test]
fn i2_a_held_claim_lives_as_long_as_its_command() {
    let dir = scratch();
    let spool = dir.path().join("spool");
    let (started, go_on) = (dir.path().join("started"), dir.path().join("go-on"));
    expect(&spool, &["put", "q", "-m", "the body"], 0);
    assert!(common::quiet(Command::new("mkfifo").arg(&go_on)));
    let script = format!("cat >{0}.tmp; mv {0}.tmp {0}; read x <{1}", started.display(), go_on.display());
    let mut holder = mq(&spool, &["get", "q", "--", "sh", "-c", &script]).spawn().unwrap();
    eventually("the command's start", || started.exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    // mq is dead, its command is not.
    expect(&spool, &["get", "q"], 1);
    std::fs::write(&go_on, "\n").unwrap();
    eventually("the end of the claim", || run(&spool, &["get", "q", "--delete"]).stdout == b"the body");
}

/// Every sync that a put makes is made to fail, one after the other.
#[test]
fn i9_a_failing_sync_is_a_failed_put_and_leaves_nothing() {
    if !has("strace") {
        return skipped("strace");
    }
    // Both orders, if the machine has a file system for each.
    for dir in [scratch(), tempfile::tempdir().unwrap()] {
        let spool = dir.path().join("spool");
        expect(&spool, &["create", "q"], 0);
        let mut failed = 0;
        for nth in 1..10 {
            let log = dir.path().join("log");
            let inject = format!("inject=fsync,fdatasync,syncfs:error=EIO:when={nth}");
            let output = Command::new("strace")
                .args(["-qq", "-o", log.to_str().unwrap(), "-e", "trace=fsync,fdatasync,syncfs", "-e", &inject])
                .arg(mq_bin())
                .arg("--spool")
                .arg(&spool)
                .args(["put", "q", "-m", "x"])
                .output()
                .unwrap();
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            if log.is_empty() && !output.status.success() {
                return skipped("ptrace");
            }
            if !log.contains("INJECTED") {
                break;
            }
            if output.status.success() {
                // Only the sync of what the message has left behind may fail unpunished: it is safe by then.
                assert!(nth > 2, "a failed sync went unnoticed: {log}");
                expect(&spool, &["get", "q", "--delete"], 0);
                continue;
            }
            failed += 1;
            assert_eq!(output.status.code(), Some(74), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout.is_empty() && !output.stderr.is_empty());
            expect(&spool, &["get", "q"], 1);
            assert_eq!(std::fs::read_dir(spool.join("q/tmp")).unwrap().count(), 0, "litter");
        }
        assert!(failed >= 2, "only {failed} syncs failed");
    }
}

/// A message or a directory of them that cannot be read hides itself and no other.
#[test]
fn i7_what_cannot_be_read_keeps_nothing_else() {
    if !has("strace") {
        return skipped("strace");
    }
    let dir = scratch();
    let spool = dir.path().join("spool");
    let path = |pick: fn(&std::path::Path) -> bool| {
        let all = walkdir::WalkDir::new(spool.join("q/ready")).sort_by_file_name().into_iter();
        all.map(|entry| entry.unwrap().into_path()).find(|path| pick(path)).unwrap()
    };
    for get in [&["get", "q"][..], &["get", "q", "--delete"]] {
        for what in ["message", "leaf"] {
            expect(&spool, &["put", "q", "-m", "first", "--priority", "5"], 0);
            expect(&spool, &["put", "q", "-m", "second", "--priority", "4"], 0);
            let first = path(|path| path.components().any(|part| part.as_os_str() == "5") && path.is_file());
            let unread = if what == "leaf" { first.parent().unwrap().to_owned() } else { first };
            // A timed claim is opened where it was moved to.
            let inject = if what == "leaf" || get.len() > 2 { unread.clone() } else { spool.join("q/claimed") };
            let output = Command::new("strace")
                .args(["-qq", "-o", "/dev/null", "-e", "trace=open,openat", "-e", "inject=open,openat:error=EIO", "-P"])
                .arg(&inject)
                .arg(mq_bin())
                .arg("--spool")
                .arg(&spool)
                .args(get)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            if inject == unread {
                assert_eq!(output.stdout, b"second", "{what}, {get:?}: {told}");
                assert!(told.contains(unread.to_str().unwrap()), "{what}, {get:?}: {told}");
            } else {
                // What has come back cannot be seen: what is ready is delivered.
                assert_eq!(output.stdout, b"first", "{what}, {get:?}: {told}");
            }
            expect(&spool, &["purge", "q"], 0);
        }
    }
}

/// Senders that all need the same new directory at the same moment: each of them gets its message in.
#[test]
fn i1_senders_do_not_trip_over_a_directory_that_another_makes() {
    let dir = scratch();
    let put_many = || {
        let spool = Spool::open(dir.path()).unwrap();
        let (queue, mut new) = ("q".parse().unwrap(), NewMessage::default());
        for n in (0..=u8::MAX).cycle().take(2000) {
            // A directory for each priority: ten times as many to trip over.
            new.priority = Priority::new(n % 10).unwrap();
            spool.put(&queue, &new, &mut &b"body"[..]).unwrap();
        }
    };
    expect(dir.path(), &["create", "q", "durability=none"], 0);
    std::thread::scope(|threads| (0..8).for_each(|_| drop(threads.spawn(put_many))));
    let bodies = expect(dir.path(), &["get", "q", "--count", "all", "--lines", "--delete"], 0);
    assert_eq!(bodies.len(), 16_000 * "body\n".len());
}

/// A queue that is dropped when it is empty, while others put to it and receive: what was acknowledged is received.
#[test]
fn i1_dropping_an_empty_queue_takes_nothing_with_it() {
    let dir = scratch();
    let queue: QueueName = "q".parse().unwrap();
    let end = Instant::now() + Duration::from_secs(3);
    let open = || Spool::open(dir.path()).unwrap();
    let (acknowledged, received) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let drops = AtomicU32::new(0);
    let receive = || {
        let want = ClaimRequest { visibility: Visibility::Held, most: 50 };
        let spool = open();
        let Ok(claims) = spool.claim(&queue, &want) else { return };
        let receipts: Vec<_> = claims.deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        for (result, receipt) in spool.delete(&receipts).into_iter().zip(&receipts) {
            // The whole queue can be on its way to be looked through: then the message comes back.
            if result.is_ok() {
                received.lock().unwrap().insert(receipt.name.id);
            }
        }
    };
    std::thread::scope(|threads| {
        for n in 0..3 {
            let (open, queue, acknowledged) = (&open, &queue, &acknowledged);
            threads.spawn(move || {
                while Instant::now() < end {
                    let spool = open();
                    let _ = spool.create_queue(queue, &Policy::default(), None);
                    let batch = vec![(NewMessage::default(), b"body".to_vec()); 1 + 9 * n];
                    acknowledged.lock().unwrap().extend(spool.put_batch(queue, &batch).ids);
                    acknowledged.lock().unwrap().extend(spool.put(queue, &NewMessage::default(), &mut &b"x"[..]));
                }
            });
        }
        for _ in 0..2 {
            threads.spawn(|| {
                while Instant::now() < end {
                    receive();
                }
            });
            threads.spawn(|| {
                while Instant::now() < end {
                    drops.fetch_add(u32::from(open().drop_queue(&queue, false).is_ok()), Ordering::Relaxed);
                }
            });
        }
    });
    eventually("the last message", || {
        receive();
        open().stat(&queue).map_or(true, |stat| stat.messages() == 0)
    });
    let (acknowledged, received) = (acknowledged.into_inner().unwrap(), received.into_inner().unwrap());
    let lost = acknowledged.difference(&received).count();
    eprintln!("{} acknowledged, {} drops, {lost} lost", acknowledged.len(), drops.load(Ordering::Relaxed));
    assert_eq!(lost, 0);
}

/// A power cut can leave a message under the temporary's name as well as under its own (seen in images of a Btrfs):
/// it is one message all the same.
#[test]
fn i2_a_message_that_kept_the_name_of_its_temporary_is_delivered_once() {
    let dir = scratch();
    let id = String::from_utf8(expect(dir.path(), &["put", "q", "-m", "x"], 0)).unwrap().trim().to_owned();
    let named = dir.path().join(format!("q/ready/5/000000000000/00/0000000000000000.5.{id}.0"));
    std::fs::hard_link(named, dir.path().join("q/tmp").join(&id)).unwrap();
    common::let_time_pass(dir.path());
    expect(dir.path(), &["list", "q"], 0);
    assert_eq!(std::fs::read_dir(dir.path().join("q/tmp")).unwrap().count(), 0, "I7: left over");
    assert_eq!(expect(dir.path(), &["get", "q", "--count", "all", "--lines", "--delete"], 0), b"x\n");
    // A second name outside the queue, as a copy by hard links makes one, is none that would be delivered.
    let id = String::from_utf8(expect(dir.path(), &["put", "q", "-m", "y"], 0)).unwrap().trim().to_owned();
    let named = dir.path().join(format!("q/ready/5/000000000000/00/0000000000000001.5.{id}.0"));
    std::fs::hard_link(&named, dir.path().join("copy")).unwrap();
    std::fs::rename(&named, dir.path().join("q/tmp").join(&id)).unwrap();
    common::let_time_pass(dir.path());
    assert_eq!(expect(dir.path(), &["get", "q", "--count", "all", "--lines", "--delete"], 0), b"y\n");
}

/// The counter of a queue is not synced at every put: after a power cut it may be behind, or be gone. What is put then
/// still comes out behind what was put before.
#[test]
fn i8_the_counter_never_goes_back() {
    let dir = scratch();
    let state = dir.path().join("q/state");
    let numbers = || -> Vec<u64> {
        let mut names: Vec<String> = Vec::new();
        for entry in walkdir::WalkDir::new(dir.path().join("q/ready")).into_iter().flatten() {
            names.extend(entry.file_type().is_file().then(|| entry.file_name().to_string_lossy().into_owned()));
        }
        names.sort();
        names.iter().map(|name| u64::from_str_radix(&name[..16], 16).unwrap()).collect()
    };
    for n in 0..300 {
        expect(dir.path(), &["put", "q", "--durability", "none", "-m", &n.to_string()], 0);
    }
    assert_eq!(numbers(), (0..300).collect::<Vec<_>>(), "dense");
    // Another boot has written it, and some puts of that boot never reached it.
    let behind = format!("{:36} {:016x}", "00000000-0000-4000-8000-000000000000", 290);
    std::fs::write(&state, format!("{behind} {:08x}\n", crc32c::crc32c(behind.as_bytes()))).unwrap();
    expect(dir.path(), &["put", "q", "-m", "300"], 0);
    // Torn, empty: what lies in the queue tells.
    for (n, torn) in [(301, &b"a8585a6e-3b29-4ae1"[..]), (302, b"")] {
        std::fs::write(&state, torn).unwrap();
        expect(dir.path(), &["put", "q", "-m", &n.to_string()], 0);
    }
    let given = numbers();
    assert_eq!(given.len(), 303);
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    let bodies = expect(dir.path(), &["get", "q", "--count", "all", "--lines", "--delete"], 0);
    let bodies: Vec<u32> = String::from_utf8(bodies).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(bodies, (0..303).collect::<Vec<_>>());
}

/// Many queues made at once by many: every put gets its queue.
#[test]
fn queues_are_made_by_all_who_need_them_at_once() {
    let dir = scratch();
    std::thread::scope(|threads| {
        for n in 0..8 {
            let spool = dir.path();
            threads.spawn(move || {
                for m in 0..15 {
                    expect(spool, &["put", &format!("own-{n}-{m}"), "-m", "x"], 0);
                    expect(spool, &["put", &format!("shared-{m}"), "-m", "x"], 0);
                }
            });
        }
    });
    assert_eq!(String::from_utf8(expect(dir.path(), &["list"], 0)).unwrap().lines().count(), 8 * 15 + 15);
}

/// Receivers that sleep are woken by a put, each by one.
#[test]
fn waiting_receivers_are_woken() {
    let dir = scratch();
    let spool = dir.path().join("spool");
    expect(&spool, &["create", "q"], 0);
    let waiting: Vec<_> = (0..4)
        .map(|_| mq(&spool, &["get", "q", "--wait", "20s", "--delete"]).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for n in 0..4 {
        expect(&spool, &["put", "q", "-m", &n.to_string()], 0);
    }
    let bodies: BTreeSet<Vec<u8>> = waiting.into_iter().map(|child| child.wait_with_output().unwrap().stdout).collect();
    assert_eq!(bodies, (0..4).map(|n| n.to_string().into_bytes()).collect());
}

/// A body of any length goes through in little memory. (A gigabyte takes a few seconds on most disks.)
#[test]
fn a_gigabyte_goes_through_in_16_mib_of_memory() {
    const LEN: usize = 1 << 30;
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let mut put =
        mq(&spool, &["put", "q", "--durability", "none"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = put.stdin.take().unwrap();
    let chunk: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[usize::from(n.is_multiple_of(3))]).collect();
    let mut crc = 0;
    for _ in 0..LEN / chunk.len() {
        stdin.write_all(&chunk).unwrap();
        crc = crc32c::crc32c_append(crc, &chunk);
    }
    let put_kib = peak_kib(put.id());
    drop(stdin);
    assert!(put.wait().unwrap().success());
    let mut get = mq(&spool, &["get", "q", "--delete"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = get.stdout.take().unwrap();
    let (mut buffer, mut len, mut back, mut get_kib) = (vec![0; 1 << 20], 0, 0, 0);
    loop {
        let got = stdout.read(&mut buffer).unwrap();
        if got == 0 {
            break;
        }
        len += got;
        back = crc32c::crc32c_append(back, &buffer[..got]);
        if len > LEN / 2 && get_kib == 0 {
            get_kib = peak_kib(get.id());
        }
    }
    assert!(get.wait().unwrap().success());
    assert_eq!((len, back), (LEN, crc), "I3: not what was put");
    eprintln!("1 GiB: peak of put {put_kib} KiB, of get {get_kib} KiB");
    assert!(put_kib.max(get_kib) <= 16 * 1024, "put {put_kib} KiB, get {get_kib} KiB");
}

/// The most memory that a process has had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
