//! `mq stat --watch`. What is told by many looks is checked as their sum, so no test depends on when a look happens.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{PATIENCE, Running, Spool, broken_pipe, run, run_onto};

#[test]
fn a_watch_ends_after_its_times() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let ran = spool.mq(&["stat", "q", "--watch=1ms", "--times", "3"]).ok().quiet();
    let lines = ran.lines();
    assert_eq!(lines.len(), 4, "a heading, and a line for each look: {ran}");
    assert!(lines[0].starts_with("TIME") && lines[0].ends_with("OUT/S"), "{ran}");
    assert!(lines.iter().all(|line| line.len() == lines[0].len() && line.len() <= 80), "{ran}");
    let rates = |line: &str| line.split_whitespace().rev().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rates(&lines[1]), ["-", "-"], "one look tells no rate: {ran}");
    assert_eq!((rates(&lines[2]), rates(&lines[3])), (vec!["0.0".to_owned(); 2], vec!["0.0".to_owned(); 2]), "{ran}");
    let (time, rest) = lines[1].split_once(' ').unwrap();
    humantime::parse_rfc3339(time).unwrap();
    assert_eq!(rest.split_whitespace().next(), Some("3"), "{ran}");
    // By itself it would look every two seconds.
    assert_eq!(spool.mq(&["stat", "q", "--watch", "--times", "1"]).ok().lines().len(), 2);
}

#[test]
fn a_watch_of_all_queues_has_a_line_for_each() {
    let spool = Spool::new();
    for queue in ["a", "b"] {
        spool.put(queue, "body");
    }
    let ran = spool.mq(&["stat", "--watch=1ms", "--times", "2"]).ok().quiet();
    let last: Vec<_> = ran.lines().iter().map(|line| line.split_whitespace().last().unwrap().to_owned()).collect();
    assert_eq!(last, ["QUEUE", "a", "b", "a", "b"], "{ran}");
    let ran = spool.mq(&["--spool", "empty", "stat", "--watch=1ms", "--times", "2"]).ok().quiet();
    assert_eq!(ran.lines().len(), 1, "{ran}");
}

#[test]
fn a_watch_with_nothing_to_tell_ends_when_nobody_reads_it() {
    let spool = Spool::new();
    run_onto(spool.mq_command(&["stat", "--watch=1h", "--json"]), broken_pipe()).quiet();
    // What was told in the heading is all that there is.
    spool.sh("mq stat --watch=1h | head -n 1").ok().quiet();
}

/// A watch in JSON, and what it has told by now.
struct Watch {
    running: Running,
    end: Instant,
    came_in: u64,
    went_out: u64,
}

impl Watch {
    fn start(spool: &Spool) -> Self {
        let running = spool.start(&["stat", "q", "--json", "--watch=1ms"]);
        let mut watch = Self { running, end: Instant::now() + PATIENCE, came_in: 0, went_out: 0 };
        let first = watch.next();
        assert!(first["flow"].is_null() && first["at"].is_string(), "{first}");
        watch
    }

    /// The next line. What a test waits for in them has to come in time.
    #[track_caller]
    fn next(&mut self) -> Value {
        assert!(Instant::now() < self.end, "waited {PATIENCE:?} in vain");
        let line: Value = serde_json::from_str(&self.running.line()).unwrap();
        let flow = &line["flow"];
        if !flow.is_null() {
            let number = |key: &str| flow[key].as_u64().unwrap();
            self.came_in += number("in");
            self.went_out += number("out");
            let per_s = |key: &str| flow[key].as_f64().unwrap();
            assert_eq!(
                (per_s("in_per_s") > 0.0, per_s("out_per_s") > 0.0),
                (number("in") > 0, number("out") > 0),
                "{flow}"
            );
        }
        line
    }

    /// Looks on until so much was told to have come in, and so much to have gone out.
    #[track_caller]
    fn until(&mut self, came_in: u64, went_out: u64) {
        while (self.came_in, self.went_out) != (came_in, went_out) {
            assert!(self.came_in <= came_in && self.went_out <= went_out, "{} {}", self.came_in, self.went_out);
            self.next();
        }
    }
}

#[test]
fn what_came_and_went_is_told_once() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let mut watch = Watch::start(&spool);
    spool.mq_with(&["put", "q", "--lines"], "d\ne\n").ok();
    spool.mq(&["get", "q", "--count", "4", "--lines", "--delete"]).ok();
    spool.mq(&["put", "q", "-m", "x", "--delay", "1h"]).ok();
    let receipt = spool.claim("q", "1h");
    spool.mq(&["release", &receipt]).ok();
    // What moves while it is counted can be told too early to have gone. In the end all has.
    spool.mq(&["purge", "q"]).ok();
    watch.until(3, 6);
    for _ in 0..3 {
        let flow = watch.next()["flow"].clone();
        assert_eq!((&flow["in"], &flow["out"]), (&0.into(), &0.into()), "nothing is told twice");
    }
}

#[test]
fn with_many_hands_at_work_the_sum_is_right() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let mut watch = Watch::start(&spool);
    let script = "
        for hand in 1 2 3; do
            (for n in 1 2 3 4; do seq 150 | mq put q --lines; mq put q -m one; done) &
            (for n in 1 2 3 4 5 6; do mq get q --count 40 --lines --delete || :; done) &
        done > said
        wait
        mq get q --count all --lines --delete > rest";
    spool.sh(script).ok();
    watch.until(3 * 4 * 151, 3 * 4 * 151);
    assert_eq!(watch.next()["flow"]["in"], 0);
}

#[test]
fn a_signal_ends_a_watch() {
    let spool = Spool::new();
    spool.put("q", "body");
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = spool.start(&["stat", "--watch=1h"]);
        while !running.line().ends_with("  q") {}
        assert!(running.is_running());
        running.signal(signal);
        running.finish().killed_by(signal);
    }
}

/// Writes the counter of `q` as a boot before this one would have left it.
fn age_the_counter(spool: &Spool) {
    let path = spool.queue_dir("q").join("state");
    let before = fs::read_to_string(&path).unwrap();
    let (_, next) = before[..53].split_once(' ').unwrap();
    let text = format!("{:036} {next}", 0);
    let text = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
    assert_eq!(text.len(), before.len());
    // In one write, as mq does it.
    OpenOptions::new().write(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_counter_that_jumps_is_not_taken_for_messages() {
    let spool = Spool::new();
    spool.put("q", "body");
    let mut watch = Watch::start(&spool);
    watch.until(0, 0);
    age_the_counter(&spool);
    // Two looks differ by the jump: nothing is told of the time between them.
    while !watch.next()["flow"].is_null() {}
    // After it all is as before.
    spool.put("q", "body");
    spool.mq(&["get", "q", "--count", "all", "--lines", "--delete"]).ok();
    watch.until(1, 2);
    assert!(!watch.next()["flow"].is_null());
}

#[test]
fn a_queue_in_trouble_does_not_hide_the_others() {
    let spool = Spool::new();
    spool.put("q", "body");
    spool.mq(&["create", "bad"]).ok();
    fs::write(spool.queue_dir("bad").join("policy.json"), "{\n  \"visibility\": 5\n}\n").unwrap();
    let ran = spool.mq(&["stat", "--watch=1ms", "--times", "3"]).breaks(78);
    assert_eq!(ran.lines().len(), 4, "{ran}");
    // Once while it goes on, and once as the reason for the status.
    assert_eq!(ran.err().matches("bad/policy.json").count(), 2, "{ran}");
    spool.mq(&["stat", "missing", "--watch=1ms"]).breaks(66).says("there is no queue 'missing'");
    spool.mq(&["stat", "bad", "--watch=1ms"]).breaks(78);
}

#[test]
fn nobody_who_listens_is_no_trouble() {
    let spool = Spool::new();
    spool.put("q", "body");
    for args in [&["stat", "--watch=1ms"][..], &["stat", "q", "--watch=1ms", "--json"]] {
        run_onto(spool.mq_command(args), broken_pipe()).status(74).quiet();
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let spool = Spool::new();
    for args in [
        &["--times", "3"][..],
        &["--watch=0s"],
        &["--watch=soon"],
        &["--watch", "--times", "0"],
        &["--watch", "--prometheus"],
    ] {
        spool.mq(&[&["stat"][..], args].concat()).status(2).silent();
    }
}

#[test]
fn on_a_terminal_the_last_look_stays_in_its_place() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let on_a_terminal = |mq: &str| {
        let mut command = spool.command("script");
        command.args(["-qec", mq, "typescript"]);
        command
    };
    if on_a_terminal("true").output().is_err() {
        return println!("skipped: needs script");
    }
    let all = run(on_a_terminal("mq stat --watch=1ms --times 3"), b"").ok();
    assert_eq!(all.text().matches("\x1b[H").count(), 3, "{all}");
    assert_eq!(all.text().matches("\x1b[2J").count(), 1, "{all}");
    assert_eq!(all.text().matches("IN/S").count(), 3, "{all}");
    let one = run(on_a_terminal("mq stat q --watch=1ms --times 2"), b"").ok();
    assert_eq!(one.text().matches("in           -/s").count(), 1, "{one}");
    assert_eq!(one.text().matches("in           0.0/s").count(), 1, "{one}");
    assert!(one.text().contains("deliveries  total"), "{one}");
}
