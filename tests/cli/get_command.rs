//! `mq get QUEUE -- CMD`: the claim lives as long as the command, and the command's status decides.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::put::{large_body, nasty_bodies};
use crate::support::{Spool, until};

fn pid_in(spool: &Spool, name: &str) -> Pid {
    let mut pid = None;
    until("the command writes its pid", || {
        let text = fs::read_to_string(spool.path(name)).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
        pid.is_some()
    });
    pid.unwrap()
}

/// Whether a process is gone, or only waits for its parent to hear of its end.
fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[test]
fn i3_the_command_reads_exactly_the_body() {
    let spool = Spool::new();
    for body in nasty_bodies().into_iter().chain([large_body()]) {
        spool.put("q", &body);
        spool.mq(&["get", "q", "--", "cat"]).ok().quiet().wrote(&body);
    }
    assert!(spool.files_in("q", "claimed").is_empty(), "status 0 deletes");
}

#[test]
fn i3_the_command_reads_exactly_the_body_again_after_a_failure() {
    let spool = Spool::on_disk();
    for body in [b"".to_vec(), b"no newline".to_vec(), large_body()] {
        spool.put("q", &body);
        spool.mq(&["get", "q", "--", "sh", "-c", "cat; exit 3"]).status(3).wrote(&body).says("not deleted");
        spool.mq(&["get", "q", "--", "sh", "-c", "cat; exit 4"]).status(4).wrote(&body);
        spool.mq(&["get", "q", "--", "cat"]).ok().wrote(&body);
    }
}

#[test]
fn a_command_need_not_read_its_body() {
    let spool = Spool::new();
    spool.put("q", large_body());
    spool.mq(&["get", "q", "--", "true"]).ok().quiet();
    spool.mq(&["get", "q"]).nothing();
}

#[test]
fn the_status_of_the_command_is_that_of_mq_and_failure_releases() {
    let spool = Spool::new();
    let id = spool.put("q", "x");
    for (script, status) in [("exit 1", 1), ("exit 66", 66), ("exit 75", 75), ("exit 255", 255), ("kill -KILL $$", 137)]
    {
        spool.mq(&["get", "q", "--", "sh", "-c", script]).status(status).says(&id).says("not deleted");
        assert_eq!(spool.count("q", "ready"), 1);
    }
    let seen = spool.mq(&["peek", "q", "--json"]).ok().json();
    assert_eq!(seen["deliveries"], 5);
    let failures = seen["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 5, "the reason of each failure is kept: {seen}");
    assert!(failures[2]["reason"].as_str().unwrap().contains("75"), "{seen}");
}

#[test]
fn the_environment_tells_the_command_about_its_message() {
    let spool = Spool::new();
    let said = ["put", "q", "-m", "x", "-t", "json", "-a", "trace-id=7 8", "-p", "6", "--reply-to", "answers"];
    let id = spool.mq(&said).ok().text().trim().to_owned();
    let script = "echo $MQ_ID; echo $MQ_QUEUE; echo $MQ_DELIVERIES; echo $MQ_PRIORITY; echo $MQ_TYPE; \
                  echo $MQ_REPLY_TO; echo \"$MQ_ATTR_TRACE_ID\"; echo $MQ_PUT_AT; echo $MQ_RECEIPT; echo $MQ_SPOOL";
    let ran = spool.mq(&["get", "q", "--", "sh", "-c", script]).ok();
    let lines = ran.lines();
    assert_eq!(lines[..7], [id.as_str(), "q", "1", "6", "json", "answers", "7 8"]);
    humantime::parse_rfc3339(&lines[7]).unwrap();
    assert!(!lines[8].is_empty());
    assert_eq!(lines[9], spool.root().display().to_string());
}

#[test]
fn nothing_is_inherited_from_a_message_further_out() {
    let spool = Spool::new();
    spool.put("q", "x");
    let mut command =
        spool.mq_command(&["get", "q", "--", "sh", "-c", "echo \"[$MQ_TYPE$MQ_REPLY_TO$MQ_ATTR_X]$MQ_QUEUE\""]);
    command.env("MQ_TYPE", "old").env("MQ_REPLY_TO", "old").env("MQ_QUEUE", "old").env("MQ_ATTR_X", "old");
    crate::support::run(command, b"").ok().wrote("[]q\n");
}

#[test]
fn a_spool_given_by_option_is_the_one_of_the_command_too() {
    let spool = Spool::new();
    let other = spool.path("other");
    let other = other.to_str().unwrap();
    spool.mq(&["--spool", other, "put", "q", "-m", "x"]).ok();
    spool.mq(&["--spool", other, "get", "q", "--", "sh", "-c", "mq delete $MQ_RECEIPT && exit 9"]).status(9);
    spool.mq(&["--spool", other, "get", "q"]).nothing();
    // A relative one, and a command that goes elsewhere.
    spool.mq(&["--spool", "other", "put", "q", "-m", "x"]).ok();
    spool.mq(&["--spool", "other", "get", "q", "--", "sh", "-c", "cd / && mq delete $MQ_RECEIPT"]).ok().quiet();
}

#[test]
fn i4_a_command_can_finish_its_own_message_whatever_its_status() {
    let spool = Spool::new();
    for status in [0, 1] {
        spool.put("q", "x");
        let script = format!("mq delete \"$MQ_RECEIPT\" && exit {status}");
        let ran = spool.mq(&["get", "q", "--", "sh", "-c", &script]).status(status);
        assert!(!ran.err().contains("not deleted"), "{ran}");
        spool.mq(&["get", "q"]).nothing();
    }
}

#[test]
fn a_command_can_release_its_own_message_with_a_delay() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--", "sh", "-c", "mq release --delay 1h \"$MQ_RECEIPT\"; exit 1"]).status(1);
    assert_eq!(spool.count("q", "delayed"), 1);
}

#[test]
fn a_held_claim_has_no_end_to_move() {
    let spool = Spool::new();
    spool.put("q", "x");
    let script = "mq extend --visibility 1m \"$MQ_RECEIPT\"";
    spool.mq(&["get", "q", "--", "sh", "-c", script]).breaks(2).says("lasts as long as");
}

#[test]
fn a_command_that_cannot_be_run_costs_no_delivery() {
    let spool = Spool::new();
    spool.put("q", "x");
    spool.file("plain", "#!/bin/sh\n");
    spool.mq(&["get", "q", "--", "no-such-command"]).fails(127).says("no-such-command").says("PATH");
    spool.mq(&["get", "q", "--", "./no-such-file"]).fails(127).says("./no-such-file");
    spool.mq(&["get", "q", "--", "./plain"]).fails(126).says("./plain");
    spool.mq(&["get", "q", "--", "/"]).fails(126).says("'/'");
    spool.mq(&["get", "q", "--", ""]).fails(127);
    let seen = spool.mq(&["peek", "q", "--json"]).ok().json();
    assert_eq!(seen["deliveries"], 0, "{seen}");
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn a_broken_script_is_released() {
    use std::os::unix::fs::PermissionsExt as _;
    let spool = Spool::new();
    spool.put("q", "x");
    let script = spool.file("broken", "#!/no/such/interpreter\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    spool.mq(&["get", "q", "--", "./broken"]).fails(127).says("./broken");
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn nothing_to_do_starts_no_command() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    spool.mq(&["get", "q", "--", "touch", "ran"]).nothing();
    spool.mq(&["get", "q", "--wait", "100ms", "--", "touch", "ran"]).nothing();
    spool.mq(&["get", "missing", "--", "touch", "ran"]).fails(66);
    assert!(!spool.path("ran").exists());
}

#[test]
fn i2_a_message_in_a_commands_hands_is_nobody_elses() {
    let spool = Spool::new();
    spool.put("q", "x");
    let mut gate = spool.gate("go");
    let mut mq = spool.start(&["get", "q", "--", "sh", "-c", "echo started; read x < go"]);
    assert_eq!(mq.line(), "started");
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["get", "q", "--delete"]).nothing();
    assert_eq!(spool.count("q", "held"), 1);
    gate.open();
    mq.finish().ok().quiet();
    spool.mq(&["get", "q"]).nothing();
    assert_eq!(spool.count("q", "held"), 0);
}

#[test]
fn i2_a_killed_mq_does_not_end_the_claim_while_the_command_lives() {
    for spool in [Spool::new(), Spool::on_disk()] {
        let id = spool.put("q", "x");
        let mut gate = spool.gate("go");
        let script = "exec 2>/dev/null >&2; cat > body; echo $$ > pid; read x < go";
        let mut mq = spool.start(&["get", "q", "--", "sh", "-c", script]);
        let pid = pid_in(&spool, "pid");
        mq.signal(Signal::KILL);
        mq.ended();
        spool.mq(&["get", "q"]).nothing();
        assert_eq!(spool.count("q", "held"), 1);
        assert_eq!(spool.read("body"), b"x");
        gate.open();
        until("the command ends", || has_ended(pid));
        let again = spool.mq(&["get", "q", "--json"]).ok().json();
        assert_eq!(again["id"], id, "it comes back at once");
        assert_eq!(again["deliveries"], 2);
    }
}

#[test]
fn i1_when_mq_and_the_command_are_killed_the_message_is_back_at_once() {
    let spool = Spool::new();
    spool.put("q", "x");
    let _gate = spool.gate("go");
    let mut mq = spool.start(&["get", "q", "--", "sh", "-c", "exec 2>/dev/null >&2; echo $$ > pid; read x < go"]);
    let pid = pid_in(&spool, "pid");
    mq.signal(Signal::KILL);
    kill_process(pid, Signal::KILL).unwrap();
    mq.ended();
    until("the command ends", || has_ended(pid));
    spool.mq(&["get", "q", "--delete"]).ok().wrote("x");
}

#[test]
fn a_signal_that_asks_mq_to_end_is_handed_to_the_command() {
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::HUP, "HUP")] {
        let spool = Spool::new();
        spool.put("q", "x");
        let _gate = spool.gate("go");
        let script = format!("trap 'echo asked to end; exit 42' {name}; echo started; read x < go & wait");
        let mut mq = spool.start(&["get", "q", "--", "sh", "-c", &script]);
        assert_eq!(mq.line(), "started");
        mq.signal(signal);
        assert_eq!(mq.line(), "asked to end");
        assert_eq!(mq.ended().code(), Some(42));
        assert_eq!(spool.count("q", "ready"), 1, "it failed, so the message is released");
    }
}

#[test]
fn a_command_that_dies_of_the_signal_leaves_a_released_message() {
    let spool = Spool::new();
    spool.put("q", "x");
    let _gate = spool.gate("go");
    let mut mq = spool.start(&["get", "q", "--", "sh", "-c", "echo started; read x < go"]);
    assert_eq!(mq.line(), "started");
    mq.signal(Signal::TERM);
    mq.finish().status(143).says("not deleted");
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn a_command_that_finishes_in_spite_of_the_signal_has_finished() {
    let spool = Spool::new();
    spool.put("q", "x");
    let mut gate = spool.gate("go");
    let script = "trap '' TERM; echo started; read x < go; echo done";
    let mut mq = spool.start(&["get", "q", "--", "sh", "-c", script]);
    assert_eq!(mq.line(), "started");
    mq.signal(Signal::TERM);
    gate.open();
    assert_eq!(mq.line(), "done");
    mq.finish().ok();
    spool.mq(&["get", "q"]).nothing();
}

#[test]
fn ctrl_c_ends_the_command_and_mq_and_releases() {
    let spool = Spool::new();
    spool.put("q", "x");
    let _gate = spool.gate("go");
    let mut mq = spool.start(&["get", "q", "--", "sh", "-c", "echo $$ > pid; read x < go"]);
    let command = pid_in(&spool, "pid");
    // As a terminal does it: to both.
    mq.signal(Signal::INT);
    kill_process(command, Signal::INT).unwrap();
    mq.close();
    mq.finish().killed_by(Signal::INT).says("not deleted");
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn a_command_gets_a_converted_body() {
    let spool = Spool::new();
    spool.put("q", b"\x81\xa1a\x01");
    let script = "cat; echo; echo $MQ_TYPE";
    spool.mq(&["get", "q", "--to", "json", "--", "sh", "-c", script]).ok().wrote("{\"a\":1}\napplication/json\n");
    let id = spool.put("q", "{oops");
    spool.mq(&["get", "q", "--to", "msgpack", "--", "touch", "ran"]).fails(65).says(&id).says("stays queued");
    assert!(!spool.path("ran").exists());
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn a_spent_message_of_a_failing_command_goes_to_the_dead_letters_with_the_reasons() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "max-deliveries=2"]).ok();
    spool.put("q", "poison");
    spool.mq(&["get", "q", "--", "sh", "-c", "exit 3"]).status(3);
    spool.mq(&["get", "q", "--", "sh", "-c", "exit 4"]).status(4);
    spool.mq(&["get", "q", "--", "true"]).nothing();
    let dead = spool.mq(&["peek", "q.dead", "--json"]).ok().json();
    assert_eq!(dead["body"], "poison");
    let reasons: Vec<_> = dead["failures"].as_array().unwrap().iter().map(|f| f["reason"].to_string()).collect();
    assert!(reasons.len() == 2 && reasons[0].contains('3') && reasons[1].contains('4'), "{dead}");
}

#[test]
fn what_a_failed_command_left_behind_holds_no_claim() {
    let spool = Spool::new();
    spool.put("q", "body");
    let script = "sleep 60 </dev/null >/dev/null 2>&1 & echo $! >pid; exit 1";
    spool.mq(&["get", "q", "--", "sh", "-c", script]).status(1);
    // The sleep has a copy of the lock; the message is free all the same.
    spool.mq(&["get", "q", "--delete"]).ok().wrote(b"body");
    let left = pid_in(&spool, "pid");
    assert!(!has_ended(left), "nothing was left behind");
    kill_process(left, Signal::KILL).unwrap();
}
