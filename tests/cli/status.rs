//! The table of exit statuses, one row after the other.

use std::fs;

use crate::support::{Spool, can_be_nobody, mq_as_nobody, run_onto};

#[test]
fn every_exit_status_of_the_table_means_what_the_table_says() {
    let spool = Spool::new();
    // 0 done
    spool.mq(&["create", "q"]).ok();
    // 1 nothing there
    spool.mq(&["get", "q"]).nothing();
    spool.mq(&["peek", "q"]).nothing();
    spool.mq(&["get", "q", "--wait", "1ms"]).nothing();
    // 2 usage
    spool.mq(&["get", "q", "--nonsense"]).status(2).silent();
    spool.mq(&["delete", "nonsense"]).fails(2);
    // 65 data cannot be decoded or converted
    spool.mq_with(&["convert", "--to", "json"], "hello").fails(65);
    spool.mq_with(&["put", "q", "--jsonl"], "hello\n").fails(65);
    // 66 no such queue or message, or a stale receipt
    spool.mq(&["get", "missing"]).fails(66);
    spool.mq(&["peek", "q", "--id", "01900000-0000-7000-8000-000000000000"]).fails(66);
    spool.put("q", "x");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["delete", &receipt]).ok();
    spool.mq(&["delete", &receipt]).fails(66);
    // 73 cannot create
    spool.mq(&["create", "q"]).fails(73);
    // 74 I/O error
    spool.mq(&["put", "q", "missing-file"]).fails(74);
    spool.put("q", "x");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    run_onto(spool.mq_command(&["peek", "q"]), full).breaks(74);
    // 75 try again later
    spool.mq(&["pause", "q"]).ok();
    spool.mq(&["get", "q"]).fails(75);
    // 78 bad policy or configuration
    fs::write(spool.queue_dir("q").join("policy.json"), "{").unwrap();
    spool.mq(&["get", "q"]).fails(78);
}

#[test]
fn an_empty_queue_a_missing_queue_and_a_stale_receipt_can_be_told_apart_in_a_script() {
    let spool = Spool::new();
    spool.put("q", "x");
    let script = r#"
        r=$(mq get q 2>&1 >/dev/null | sed 's/receipt: //')
        mq delete "$r"; mq get q; echo "empty $?"
        mq get missing 2> e1; echo "missing $?"
        mq delete "$r" 2> e2; echo "stale $?"
        grep -q 'no queue' e1 && grep -q 'stale' e2 && ! grep -q stale e1 && echo told apart
    "#;
    spool.sh(script).ok().wrote("empty 1\nmissing 66\nstale 66\ntold apart\n");
}

#[test]
fn i9_what_is_not_allowed_is_77_and_changes_nothing() {
    if !can_be_nobody() {
        println!("skipped: needs root and setpriv");
        return;
    }
    let spool = Spool::new();
    spool.put("q", "x");
    for args in [
        &["put", "q", "-m", "y"][..],
        &["put", "q", "-m", "y", "-m", "z"],
        &["put", "new", "-m", "y"],
        &["get", "q"],
        &["get", "q", "--delete"],
        &["peek", "q"],
        &["list"],
        &["list", "q"],
        &["stat"],
        &["stat", "q"],
        &["create", "new"],
        &["set", "q", "visibility=1m"],
        &["pause", "q"],
        &["purge", "q"],
        &["drop", "q", "--force"],
        &["move", "q", "r"],
    ] {
        mq_as_nobody(&spool, args).fails(77).says("ermission denied").says("--spool");
    }
    assert_eq!(spool.mq(&["list", "q", "--json"]).ok().json()["deliveries"], 0);
    spool.mq(&["list"]).ok().wrote("q\n");
    spool.assert_no_temporaries("q");
}

#[test]
fn i9_a_spool_that_can_be_read_but_not_written_can_be_looked_at() {
    use std::os::unix::fs::PermissionsExt as _;
    if !can_be_nobody() {
        println!("skipped: needs root and setpriv");
        return;
    }
    let spool = Spool::new();
    spool.mq(&["create", "q", "--mode", "0755"]).ok();
    spool.mq(&["put", "q", "-m", "x"]).ok();
    fs::set_permissions(spool.root(), fs::Permissions::from_mode(0o755)).unwrap();
    mq_as_nobody(&spool, &["list"]).ok().wrote("q\n");
    mq_as_nobody(&spool, &["peek", "q"]).ok().wrote("x");
    mq_as_nobody(&spool, &["stat", "q"]).ok();
    assert_eq!(mq_as_nobody(&spool, &["list", "q", "--json"]).ok().json()["state"], "ready");
    for args in [
        &["put", "q", "-m", "y"][..],
        &["put", "q", "-m", "y", "-m", "z"],
        &["get", "q"],
        &["get", "q", "--delete"],
        &["get", "q", "--", "cat"],
        &["purge", "q"],
        &["create", "r"],
        &["set", "q", "visibility=1m"],
        &["move", "q", "r"],
        &["drop", "q", "--force"],
    ] {
        mq_as_nobody(&spool, args).fails(77).says("ermission denied");
    }
    assert_eq!(spool.mq(&["list", "q", "--json"]).ok().json()["deliveries"], 0);
    spool.mq(&["get", "q"]).ok().wrote("x");
}
