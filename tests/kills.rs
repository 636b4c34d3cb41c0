//! Senders, receivers and workers under random SIGKILL, and an account of every message: each one that was
//! acknowledged is handled (I1), none is handled twice unless the claim before had ended (I2), none is torn and none
//! appears that nobody put (I3), none comes back that was finished (I4), and in the end nothing is left (I7).
//!
//! A worker is a loop of `mq get q -- CMD` whose command notes what it handles. The SIGKILL hits mq alone, whose
//! command goes on and keeps the claim, or mq and its command together.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use common::{Dice, eventually, expect, let_time_pass, mq, run, scratch};

/// How long they are killed.
const RUN: Duration = Duration::from_secs(20);

/// How many do so at once.
const ACTORS: u64 = 4;

/// One delivery, as far as it was seen.
#[derive(Debug)]
struct Delivery {
    id: String,
    count: u64,
    body: Option<String>,
    /// When the command that made it ended, by the clock that all processes share.
    seen: SystemTime,
    end: End,
}

/// What became of a delivery's claim.
#[derive(Debug, PartialEq)]
enum End {
    /// It was finished: the message is gone for good.
    Finished,
    /// Its holder was killed or failed, and was dead at this moment.
    Dropped(SystemTime),
    /// It was for a time, and nobody acknowledged that it is finished.
    Timed(SystemTime),
    /// A command has it: its number tells.
    Command(u64),
}

/// How a command with a number ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ran {
    /// With status 0.
    Well,
    /// mq was killed, and the command went on.
    WithoutMq,
    /// Both were killed.
    Killed,
}

struct Account {
    spool: PathBuf,
    dir: PathBuf,
    /// The bodies of all that was ever given to a put.
    given: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<BTreeMap<String, String>>,
    deliveries: Mutex<Vec<Delivery>>,
    commands: Mutex<BTreeMap<u64, Ran>>,
    number: AtomicU64,
    processes: AtomicU64,
    kills: AtomicU64,
}

/// Lets a process run for a random while and kills it, with its process group if it leads one; whether that was in
/// time.
fn kill_after(child: &mut Child, dice: &mut Dice, most_us: u64, group: bool) -> bool {
    // Not for something to happen: any moment will do.
    std::thread::sleep(Duration::from_micros(dice.below(most_us)));
    if child.try_wait().unwrap().is_some() {
        return false;
    }
    if group {
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    } else {
        let _ = child.kill();
    }
    true
}

impl Account {
    /// What one of them does until the end.
    fn act(&self, seed: u64) {
        let mut dice = Dice(seed);
        let end = Instant::now() + RUN;
        while Instant::now() < end {
            match dice.below(6) {
                0 => self.send(&mut dice, 1),
                1 => self.send(&mut dice, 40),
                2 => self.receive_for_a_time(&mut dice),
                3 => self.receive_and_delete(&mut dice),
                _ => self.work(&mut dice),
            }
        }
    }

    fn number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a process that has ended. Its status, if it was not killed.
    fn count(&self, status: std::process::ExitStatus) -> Option<i32> {
        self.processes.fetch_add(1, Ordering::Relaxed);
        self.kills.fetch_add(u64::from(status.signal() == Some(9)), Ordering::Relaxed);
        status.code()
    }

    fn send(&self, dice: &mut Dice, count: u64) {
        let run = self.number();
        let bodies: Vec<String> = (0..count).map(|n| format!("message {n} of {run}, whole")).collect();
        self.given.lock().unwrap().extend(bodies.iter().cloned());
        let mut put = if let [body] = bodies.as_slice() {
            mq(&self.spool, &["put", "q", "-m", body])
        } else {
            let input = self.dir.join(format!("input-{run}"));
            std::fs::write(&input, bodies.join("\n")).unwrap();
            let mut put = mq(&self.spool, &["put", "q", "--lines"]);
            put.stdin(std::fs::File::open(&input).unwrap());
            std::fs::remove_file(&input).unwrap();
            put
        };
        let mut put = put.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        kill_after(&mut put, dice, if count == 1 { 8_000 } else { 25_000 }, false);
        let output = put.wait_with_output().unwrap();
        let status = self.count(output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let ids: Vec<&str> = text.split_inclusive('\n').filter(|id| id.len() == 37).map(str::trim).collect();
        assert!(status.is_none_or(|code| code == 0 && ids.len() == bodies.len()), "a put ended with {status:?}");
        // In the order of the input.
        self.acknowledged.lock().unwrap().extend(ids.into_iter().map(str::to_owned).zip(bodies));
    }

    fn receive_for_a_time(&self, dice: &mut Dice) {
        let mut get = mq(&self.spool, &["get", "q", "--json", "--visibility", "1s"]);
        let mut get = get.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        kill_after(&mut get, dice, 12_000, false);
        let output = get.wait_with_output().unwrap();
        self.count(output.status);
        let seen = SystemTime::now();
        for line in lines(&output.stdout) {
            let receipt = line["receipt"].as_str().unwrap();
            let until = humantime::parse_rfc3339(line["visible_until"].as_str().unwrap()).unwrap();
            let mut delete = mq(&self.spool, &["delete", receipt]).stderr(Stdio::null()).spawn().unwrap();
            kill_after(&mut delete, dice, 12_000, false);
            let status = self.count(delete.wait().unwrap());
            assert!(matches!(status, None | Some(0 | 66)), "a delete ended with {status:?}");
            let end = if status == Some(0) { End::Finished } else { End::Timed(until) };
            self.note(&line, seen, end);
        }
    }

    fn receive_and_delete(&self, dice: &mut Dice) {
        let mut get = mq(&self.spool, &["get", "q", "--json", "--delete", "--count", "25"]);
        let mut get = get.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        kill_after(&mut get, dice, 20_000, false);
        let output = get.wait_with_output().unwrap();
        let status = self.count(output.status);
        assert!(matches!(status, None | Some(0 | 1)), "a get ended with {status:?}");
        let seen = SystemTime::now();
        for line in lines(&output.stdout) {
            let end = if status == Some(0) { End::Finished } else { End::Dropped(seen) };
            self.note(&line, seen, end);
        }
    }

    fn note(&self, line: &Value, seen: SystemTime, end: End) {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let count = line["deliveries"].as_u64().unwrap();
        let delivery = Delivery { id: text("id"), count, body: Some(text("body")), seen, end };
        self.deliveries.lock().unwrap().push(delivery);
    }

    /// A turn of a worker. Its command tells the log when it begins and when it ends.
    fn work(&self, dice: &mut Dice) {
        const COMMAND: &str = "body=$(cat); echo \"begin $RUN $MQ_ID $MQ_DELIVERIES $body\" >>\"$LOG\"
            : work; echo \"end $RUN $MQ_ID $MQ_DELIVERIES\" >>\"$LOG\"";
        let run = self.number();
        let mut get = mq(&self.spool, &["get", "q", "--", "sh", "-c", COMMAND]);
        get.env("RUN", run.to_string()).env("LOG", self.log()).process_group(0);
        let mut get = get.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let group = dice.below(2) == 0;
        kill_after(&mut get, dice, 20_000, group);
        let status = self.count(get.wait().unwrap());
        let ran = match status {
            None if group => Ran::Killed,
            None => Ran::WithoutMq,
            Some(0 | 1) => Ran::Well,
            Some(other) => panic!("a worker ended with {other}"),
        };
        self.commands.lock().unwrap().insert(run, ran);
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Adds what the commands have noted. The positions in the log of each one's beginning and end.
    fn read_log(&self) -> BTreeMap<(String, u64), (usize, Option<usize>)> {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let mut at: BTreeMap<(String, u64), (usize, Option<usize>)> = BTreeMap::new();
        for (n, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            let (run, id, count) = (words[1].parse().unwrap(), words[2].to_owned(), words[3].parse().unwrap());
            if words[0] == "end" {
                at.get_mut(&(id, count)).expect("its beginning").1 = Some(n);
                continue;
            }
            let twice = at.insert((id.clone(), count), (n, None));
            assert!(twice.is_none(), "I2: {id} was handled twice as delivery {count}");
            let body = Some(words[4].to_owned());
            let seen = SystemTime::UNIX_EPOCH; // The log's order tells more.
            self.deliveries.lock().unwrap().push(Delivery { id, count, body, seen, end: End::Command(run) });
        }
        at
    }
}

/// The envelopes that were written whole.
fn lines(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout);
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// What is wrong with two deliveries of one message, the second of which was made after the first.
fn second_delivery(first: &Delivery, second: &Delivery, account: &Account, log: &Log) -> Option<String> {
    let place = |delivery: &Delivery| log.get(&(delivery.id.clone(), delivery.count)).copied();
    let ended = match &first.end {
        End::Finished => return Some("I4: it was finished".to_owned()),
        End::Dropped(at) | End::Timed(at) => *at,
        End::Command(run) => {
            return match account.commands.lock().unwrap()[run] {
                Ran::Well => Some("I4: the command had ended well".to_owned()),
                Ran::Killed => None,
                // The claim lasts as long as the command.
                Ran::WithoutMq => match (place(first), place(second)) {
                    (Some((_, Some(end))), Some((begin, _))) if begin < end => {
                        Some("I2: the command was still at it".to_owned())
                    }
                    _ => None,
                },
            };
        }
    };
    // A command's beginning has no time of its own.
    let is_early = !matches!(second.end, End::Command(_)) && second.seen < ended && matches!(first.end, End::Timed(_));
    is_early.then(|| format!("I2: its claim had not ended: {first:?}, {second:?}"))
}

type Log = BTreeMap<(String, u64), (usize, Option<usize>)>;

/// Everything that is wrong with what they did, and how many messages were delivered more than once.
fn judge(account: &Account, log: &Log) -> (Vec<String>, usize) {
    let mut wrong = Vec::new();
    let (given, acknowledged) = (account.given.lock().unwrap(), account.acknowledged.lock().unwrap());
    let mut deliveries = account.deliveries.lock().unwrap();
    deliveries.sort_by(|a, b| (&a.id, a.count).cmp(&(&b.id, b.count)));
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    for delivery in deliveries.iter() {
        let body = delivery.body.as_deref().unwrap_or_default();
        if !given.contains(body) {
            wrong.push(format!("I3: nobody put {body:?}"));
        }
        if acknowledged.get(&delivery.id).is_some_and(|put| put != body) {
            wrong.push(format!("I3: {} is not what was put: {body:?}", delivery.id));
        }
        if bodies.insert(body, &delivery.id).is_some_and(|id| id != delivery.id) {
            wrong.push(format!("{body:?} was put once and is there as two messages"));
        }
    }
    let handled: BTreeSet<&String> = deliveries.iter().map(|delivery| &delivery.id).collect();
    wrong.extend(acknowledged.keys().filter(|id| !handled.contains(id)).map(|id| format!("I1: {id} is lost")));
    for pair in deliveries.windows(2).filter(|pair| pair[0].id == pair[1].id) {
        if pair[0].count == pair[1].count {
            wrong.push(format!("I2, I6: two deliveries with one count: {:?}, {:?}", pair[0], pair[1]));
        } else if let Some(why) = second_delivery(&pair[0], &pair[1], account, log) {
            wrong.push(format!("{} came as delivery {} and {}: {why}", pair[0].id, pair[0].count, pair[1].count));
        }
    }
    let twice = deliveries.len() - handled.len();
    (wrong, twice)
}

/// Receives all that is left, unharmed.
fn drain(account: &Account) {
    let stat = |spool: &Path| -> Value { serde_json::from_slice(&expect(spool, &["stat", "q", "--json"], 0)).unwrap() };
    eventually("the last message", || {
        let_time_pass(&account.spool);
        let got = run(&account.spool, &["get", "q", "--json", "--delete", "--count", "all"]);
        assert!(matches!(got.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&got.stderr));
        for line in lines(&got.stdout) {
            account.note(&line, SystemTime::now() + Duration::from_secs(3600), End::Finished);
        }
        let stat = stat(&account.spool);
        ["ready", "delayed", "claimed", "held", "temporaries"].iter().all(|state| stat[state] == 0)
    });
    let stat = stat(&account.spool);
    assert_eq!((&stat["corrupt"], &stat["strays"]), (&0.into(), &0.into()), "{stat}");
}

#[test]
fn i1_to_i7_random_kills_of_senders_receivers_and_workers() {
    let dir = scratch();
    let account = Account {
        spool: dir.path().join("spool"),
        dir: dir.path().to_owned(),
        given: Mutex::default(),
        acknowledged: Mutex::default(),
        deliveries: Mutex::default(),
        commands: Mutex::default(),
        number: AtomicU64::new(0),
        processes: AtomicU64::new(0),
        kills: AtomicU64::new(0),
    };
    expect(&account.spool, &["create", "q", "max-deliveries=1000000"], 0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let given = std::env::var("MQ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::try_from(since % 1_000_000).unwrap());
    eprintln!("seed {seed} (MQ_SEED={seed} throws the same dice; the scheduler has its own)");
    std::thread::scope(|threads| {
        for actor in 0..ACTORS {
            let account = &account;
            threads.spawn(move || account.act(seed * 100 + actor));
        }
    });
    drain(&account);
    let log = account.read_log();
    let (wrong, twice) = judge(&account, &log);
    let (acknowledged, kills) = (account.acknowledged.lock().unwrap().len(), account.kills.load(Ordering::Relaxed));
    let worst = &wrong[..wrong.len().min(20)];
    assert!(wrong.is_empty(), "seed {seed}: {} violations:\n{}", wrong.len(), worst.join("\n"));
    eprintln!(
        "kills: {kills} of {} processes: {acknowledged} acknowledged, 0 lost, 0 unexpected, 0 torn, {twice} delivered \
         again after their claims had ended, 0 besides",
        account.processes.load(Ordering::Relaxed),
    );
    assert!(kills > 300, "only {kills} were killed in time");
}
