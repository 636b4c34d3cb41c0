//! Long commands: they say how far they have come on a terminal, and nowhere else; interrupted and repeated, they have
//! done the same as if nobody had interrupted them.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Ran, Running, Spool, lines_of, run, until};

/// What takes no longer is done without a word; see `Progress`.
const LONG: Duration = Duration::from_millis(550);

/// Runs a script on a terminal; `None` where there is none to be had.
fn on_a_terminal(spool: &Spool, script: &str) -> Option<Ran> {
    let mut command = spool.command("script");
    command.args(["-qec", script, "/dev/null"]);
    if spool.command("script").arg("--version").output().is_err() {
        println!("skipped: needs script");
        return None;
    }
    Some(run(command, b"").ok())
}

/// A queue of so many messages that were put to another one first.
fn fill(spool: &Spool, queue: &str, messages: u32) {
    spool.mq_with(&["put", "first", "--lines"], lines_of(0..messages)).ok();
    spool.mq(&["move", "first", queue]).ok();
}

#[test]
fn what_writes_and_reads_streams_says_how_far_it_is() {
    let spool = Spool::new();
    let body = vec![b'x'; 100_000];
    for _ in 0..4 {
        spool.put("q", &body);
    }
    if on_a_terminal(&spool, "true").is_none() {
        return;
    }
    // Neither ends before the other side of its pipe has waited.
    let export = |ms| format!("mq export q | (sleep {}; cat > out)", f64::from(ms) / 1000.0);
    let import = |ms| format!("(head -n2 out; sleep {}; tail -n2 out) | mq import r", f64::from(ms) / 1000.0);
    until_it_is_met(|ms| {
        let exported = on_a_terminal(&spool, &export(ms)).unwrap();
        assert!(exported.text().ends_with("mq: exported 4 messages from 'q'\r\n"), "{exported}");
        exported.text().contains(" so far\r\u{1b}[K")
    });
    until_it_is_met(|ms| {
        let imported = on_a_terminal(&spool, &format!("{} > ids", import(ms))).unwrap();
        assert!(imported.text().ends_with("mq: imported 4 messages to 'r'\r\n"), "{imported}");
        spool.mq(&["purge", "r"]).ok();
        imported.text().contains(" so far\r\u{1b}[K")
    });
    // What is written is on the same terminal: no line is in two.
    let both = on_a_terminal(&spool, &import(1000)).unwrap();
    assert!(both.text().ends_with("mq: imported 4 messages to 'r'\r\n") && !both.text().contains("so far"), "{both}");
    assert_eq!(spool.sh(&export(1000)).ok().err(), "mq: exported 4 messages from 'q'\n");
    spool.mq(&["purge", "r"]).ok();
    assert_eq!(spool.sh(&import(1000)).ok().err(), "mq: imported 4 messages to 'r'\n");
}

#[test]
fn a_slow_redrive_says_how_far_it_is() {
    let spool = Spool::new();
    fill(&spool, "graves", 5);
    let redrive = "mq redrive graves --rate 6/s --yes";
    let Some(slow) = on_a_terminal(&spool, redrive) else { return };
    assert!(slow.text().contains(" so far\r\u{1b}[Kmq: redriven 5 messages from 'graves'"), "{slow}");
    spool.mq(&["move", "first", "graves"]).ok();
    assert_eq!(spool.sh(redrive).ok().silent().err(), "mq: redriven 5 messages from 'graves'\n");
}

/// Messages, or milliseconds, enough for a command to be met in the midst of it: more of them each time that there were too
/// few.
fn until_it_is_met(test: impl Fn(u32) -> bool) {
    let met = (0..5).map(|doubled| 1000 << doubled).any(test);
    assert!(met, "it was always faster");
}

/// Whether a command is met when the first of the messages `is_done`; then it is sent the signals, one after the other.
fn meet(spool: &Spool, script: &str, is_done: impl Fn() -> bool, signals: &[Signal]) -> Ran {
    let pid = || -> Option<Pid> {
        let text = String::from_utf8(std::fs::read(spool.path("pid")).ok()?).ok()?;
        Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
    };
    let mut command = spool.command("sh");
    command.args(["-c", script]);
    let running = Running::start(command, script.to_owned());
    until("the command has begun", || pid().is_some() && is_done());
    for signal in signals {
        // One that has ended is not met, and that shows.
        let _ = kill_process(pid().unwrap(), *signal);
        if *signal == Signal::STOP {
            std::thread::sleep(LONG);
        }
    }
    running.finish()
}

#[test]
fn long_moves_and_purges_say_how_far_they_are() {
    if on_a_terminal(&Spool::new(), "true").is_none() {
        return;
    }
    for (verb, done) in [("move q r", "moved"), ("purge q", "deleted")] {
        for is_terminal in [true, false] {
            until_it_is_met(|messages| {
                let spool = Spool::new();
                fill(&spool, "q", messages);
                let stays = || spool.files_in("q", "ready").len();
                spool.file("inner", format!("echo $$ > pid; exec mq {verb} --yes"));
                // A script(1) whose own child is stopped stops too: there is a shell in between.
                let script = if is_terminal { "script -qec 'sh inner; exit $?' /dev/null" } else { "sh inner" };
                let is_done = || stays() < messages as usize;
                let ran = meet(&spool, script, is_done, &[Signal::STOP, Signal::CONT]).ok();
                let said = format!("{}{}", ran.text(), ran.err());
                assert!(said.contains(&format!("mq: {done} {messages} messages ")), "{ran}");
                assert_eq!(stays(), 0);
                if !is_terminal {
                    assert!(!said.contains("so far") && !said.contains('\r'), "{ran}");
                    return true;
                }
                said.contains(" so far")
            });
        }
    }
}

#[test]
fn i1_an_interrupted_move_or_purge_can_be_repeated() {
    for (verb, done) in [("move q r", "moved"), ("purge q", "deleted"), ("redrive q", "redriven")] {
        until_it_is_met(|messages| {
            let spool = Spool::new();
            fill(&spool, "q", messages);
            let count = |queue| u32::try_from(spool.files_in(queue, "ready").len()).unwrap();
            let script = format!("echo $$ > pid; exec mq {verb}");
            let ran = meet(&spool, &script, || count("q") < messages, &[Signal::INT]);
            let left = count("q");
            if left == 0 {
                return false;
            }
            let ran = ran.killed_by(Signal::INT).silent();
            // (One that came before the first was done ended it without a word.)
            let acted = messages - left;
            let said = format!("mq: {done} {acted} message{} ", if acted == 1 { "" } else { "s" });
            let is_said = ran.err().starts_with(&said) && ran.err().contains(" before this:\nmq ");
            assert!(ran.err().is_empty() || is_said && ran.err().ends_with(": interrupted\n"), "{ran}");
            let to = if verb.starts_with("redrive") { "first" } else { "r" };
            let gone = if done == "deleted" { messages - left } else { 0 };
            assert_eq!(count(to) + left + gone, messages, "{ran}");
            let again: Vec<_> = verb.split(' ').collect();
            spool.mq(&again).ok().says(&format!("mq: {done} {left} message"));
            assert_eq!(count("q"), 0);
            if done != "deleted" {
                let all = spool.mq(&["get", to, "--count", "all", "--lines", "--delete"]).ok();
                all.wrote(lines_of(0..messages));
            }
            spool.mq(&["fsck"]).ok();
            true
        });
    }
}

/// What had arrived whole is put, and the rest is by the next one.
#[test]
fn i1_an_interrupted_import_can_be_repeated() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], lines_of(0..10)).ok();
    spool.file("out", spool.mq(&["export", "q"]).ok().out());
    let mut running = spool.start(&["import", "r"]);
    let export = spool.read("out");
    let lines: Vec<_> = export.split_inclusive(|byte| *byte == b'\n').collect();
    running.say([lines[0], lines[1], &lines[2][..20]].concat());
    assert_eq!((running.line().len(), running.line().len()), (36, 36));
    running.signal(Signal::INT);
    assert!(!running.ended().success());
    spool.mq(&["import", "r", "out"]).ok().says("imported 8 messages to 'r'; 2 were there already");
    assert_eq!(spool.bodies("r"), spool.bodies("q"));
}
