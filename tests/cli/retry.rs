//! Back-off: the settings of `mq create` and `mq set`, and who is held to them.

use std::fs;

use rustix::process::{Signal, kill_process};

use crate::support::{Spool, broken_pipe, run_onto};

/// A spool whose queue leaves alone for an hour what has failed.
fn backing_off() -> Spool {
    let spool = Spool::new();
    spool.mq(&["create", "q", "retry-delay=1h"]).ok();
    spool
}

#[test]
fn a_back_off_is_made_shown_and_changed() {
    let spool = Spool::new();
    let settings = ["retry-delay=10s", "retry-factor=1.5", "retry-max=15m", "retry-jitter=25%"];
    let mut args = vec!["create", "q"];
    args.extend(settings);
    spool.mq(&args).ok().quiet().silent();
    let words = spool.mq(&["stat", "q"]).ok();
    for setting in settings {
        assert!(words.text().contains(setting), "{setting} in {words}");
    }
    let policy = spool.stat("q")["policy"].clone();
    assert_eq!(policy["retry-factor"].to_string(), "1.5");
    assert_eq!(policy["retry-jitter"], "25%");
    spool.mq(&["set", "q", "retry-delay=0s"]).ok();
    let words = spool.mq(&["stat", "q"]).ok();
    assert!(words.text().contains("retry-max=15m") && !words.text().contains("retry-delay"), "there is none: {words}");
    spool.mq(&["set", "q", "retry-max=1h", "retry-factor=2", "retry-jitter=0%"]).ok();
    assert!(!spool.mq(&["stat", "q"]).ok().text().contains("retry"), "it is as it was");
    let file = fs::read_to_string(spool.queue_dir("q").join("policy.json")).unwrap();
    assert!(!file.contains("retry"), "{file}");
}

#[test]
fn i9_settings_that_make_no_sense_are_refused() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    for (settings, words) in [
        (&["retry-delay=10"][..], "500ms, 30s"),
        (&["retry-delay=none"], "retry-delay"),
        (&["retry-factor=0.5"], "a factor from 1 to 100"),
        (&["retry-factor=101"], "a factor from 1 to 100"),
        (&["retry-factor=1.2345"], "at most three decimals"),
        (&["retry-factor=double"], "retry-factor"),
        (&["retry-jitter=101%"], "a percentage from 0% to 100%"),
        (&["retry-jitter=25"], "such as 25%"),
        (&["retry-delay=10s", "retry-max=9s"], "set retry-max to no less than retry-delay"),
        (&["retry-delay=2h"], "retry-delay is 2h and its ceiling, retry-max, is 1h"),
        (&["retry=10s"], "retry-delay, retry-factor, retry-max, retry-jitter"),
    ] {
        for mut args in [vec!["set", "q"], vec!["create", "other"]] {
            args.extend(settings);
            spool.mq(&args).fails(2).says(words);
        }
    }
    assert_eq!(spool.mq(&["list"]).ok().text(), "q\n");
    spool.mq(&["set", "q", "retry-factor=3", "retry-jitter=10%"]).ok().quiet();
    spool.mq(&["set", "q", "retry-max=2d", "retry-delay=2h"]).ok().quiet();
}

#[test]
fn i9_a_back_off_that_was_edited_wrongly_is_named_by_file_and_line() {
    for (text, words, line) in [
        ("{\n  \"retry-delay\": 10\n}\n", "a duration in quotes", "line 2"),
        ("{\n  \"retry-delay\": \"10\"\n}\n", "500ms", "line 2"),
        ("{\n\n  \"retry-factor\": 0.5\n}\n", "a factor from 1 to 100", "line 3"),
        ("{\n  \"retry-factor\": \"2\"\n}\n", "a factor from 1 to 100", "line 2"),
        ("{\n  \"retry-factor\": -1\n}\n", "a factor from 1 to 100", "line 2"),
        ("{\n  \"retry-jitter\": 25\n}\n", "\"25%\"", "line 2"),
        ("{\n  \"retry-jitter\": \"101%\"\n}\n", "a percentage", "line 2"),
        ("{\n  \"retry-delay\": \"10s\",\n  \"retry-max\": \"9s\"\n}\n", "no less than retry-delay", "line 3"),
        ("{\n  \"retry-delay\": \"2h\"\n}\n", "retry-max, is 1h", "line 2"),
        ("{\n  \"retries\": 3\n}\n", "retries", "line 2"),
    ] {
        let spool = Spool::new();
        spool.put("q", "x");
        let receipt = spool.claim("q", "1h");
        let path = spool.queue_dir("q").join("policy.json");
        fs::write(&path, text).unwrap();
        for args in [&["release", &receipt][..], &["get", "q", "--", "false"], &["set", "q", "delay=1s"]] {
            spool.mq(args).fails(78).says(&path.display().to_string()).says(words).says(line);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left for a person to mend");
    }
}

#[test]
fn a_failed_command_lets_the_message_rest_and_the_next_one_has_its_turn() {
    let spool = backing_off();
    spool.put("q", "poison");
    spool.put("q", "good");
    spool.mq(&["get", "q", "--", "false"]).status(1);
    assert_eq!(spool.count("q", "delayed"), 1);
    spool.mq(&["get", "q", "--", "cat"]).ok().wrote("good");
    spool.mq(&["get", "q", "--", "cat"]).nothing();
}

#[test]
fn a_command_that_cannot_be_started_has_failed() {
    use std::os::unix::fs::PermissionsExt as _;
    let spool = backing_off();
    spool.put("q", "x");
    let script = spool.file("broken", "#!/no/such/interpreter\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    spool.mq(&["get", "q", "--", "./broken"]).fails(127);
    assert_eq!(spool.count("q", "delayed"), 1);
}

#[test]
fn what_does_not_convert_has_failed() {
    let spool = backing_off();
    spool.put("q", "{oops");
    spool.mq(&["get", "q", "--to", "msgpack"]).fails(65).says("stays queued");
    assert_eq!(spool.count("q", "delayed"), 1);
    let listed = spool.mq(&["list", "q", "--json"]).ok().json();
    assert_eq!(listed["failures"].as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn a_release_rests_as_the_policy_says_unless_it_says_itself() {
    let spool = backing_off();
    spool.put("q", "x");
    spool.mq(&["release", &spool.claim("q", "1h")]).ok().quiet().silent();
    assert_eq!(spool.count("q", "delayed"), 1);
    spool.put("q", "y");
    spool.mq(&["release", "--delay", "0s", &spool.claim("q", "1h")]).ok().quiet().silent();
    assert_eq!(spool.bodies("q"), ["y"]);
}

#[test]
fn a_receiver_whose_reader_goes_away_has_not_failed() {
    let spool = backing_off();
    spool.put("q", "x".repeat(100_000));
    run_onto(spool.mq_command(&["get", "q"]), broken_pipe());
    assert_eq!(spool.count("q", "ready"), 1);
    run_onto(spool.mq_command(&["get", "q", "--delete"]), broken_pipe());
    assert_eq!(spool.count("q", "ready"), 1);
    spool.mq(&["get", "q", "--output", "/dev/full"]).status(74);
    assert_eq!(spool.count("q", "ready"), 1);
}

#[test]
fn a_command_that_was_interrupted_has_not_failed() {
    for signal in [Signal::INT, Signal::TERM] {
        let spool = backing_off();
        spool.put("q", "x");
        let _gate = spool.gate("go");
        let mut mq = spool.start(&["get", "q", "--", "sh", "-c", "echo $$; read x < go"]);
        let command: i32 = mq.line().parse().unwrap();
        mq.signal(signal);
        if signal == Signal::INT {
            // As a terminal does it: to both.
            let _ = kill_process(rustix::process::Pid::from_raw(command).unwrap(), signal);
        }
        mq.ended();
        assert_eq!(spool.count("q", "ready"), 1, "after {signal:?}");
    }
}

#[test]
fn a_command_that_was_killed_by_others_has_failed() {
    let spool = backing_off();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--", "sh", "-c", "kill -KILL $$"]).status(137);
    assert_eq!(spool.count("q", "delayed"), 1);
}

#[test]
fn a_waiting_receiver_wakes_up_when_the_rest_is_over() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "retry-delay=1ms"]).ok();
    spool.put("q", "x");
    spool.mq(&["get", "q", "--", "false"]).status(1);
    spool.mq(&["get", "q", "--wait", "15s"]).ok().wrote("x");
}
