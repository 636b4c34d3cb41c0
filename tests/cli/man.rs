//! `mq man`, and the help that it is made of.

use crate::support::{Spool, run};

const VERBS: [&str; 19] = [
    "put",
    "get",
    "delete",
    "release",
    "extend",
    "peek",
    "list",
    "stat",
    "create",
    "set",
    "drop",
    "pause",
    "resume",
    "purge",
    "move",
    "redrive",
    "convert",
    "completions",
    "man",
];

#[test]
fn every_verb_has_a_page_and_help_in_two_lengths() {
    let spool = Spool::new();
    let pages = spool.mq(&["man", "--list"]).ok().quiet().lines();
    for verb in VERBS {
        let page = format!("mq-{verb}.1");
        assert!(pages.contains(&page), "{page} is not in {pages:?}");
        let by_file = spool.mq(&["man", &page]).ok().quiet();
        assert!(by_file.text().contains(".TH"), "{by_file}");
        spool.mq(&["man", verb]).ok().wrote(by_file.out());
        let long = spool.mq(&[verb, "--help"]).ok().quiet();
        assert!(long.text().contains("Usage: mq") && long.text().contains(verb), "{long}");
        let short = spool.mq(&[verb, "-h"]).ok().quiet();
        assert!(short.out().len() <= long.out().len());
    }
    assert!(pages.contains(&"mq.1".to_owned()) && pages.contains(&"mq-spool.5".to_owned()), "{pages:?}");
    let general = spool.mq(&["man"]).ok();
    spool.mq(&["man", "mq"]).ok().wrote(general.out());
    spool.mq(&["man", "mq-spool"]).ok();
    spool.mq(&["man", "nonsense"]).fails(2).says("mq man --list");
}

#[test]
fn help_lists_every_verb_and_every_exit_status() {
    let spool = Spool::new();
    let help = spool.mq(&["--help"]).ok().quiet();
    for verb in VERBS {
        assert!(help.lines().iter().any(|line| line.trim_start().starts_with(&format!("{verb} "))), "{verb}: {help}");
    }
    for status in ["0 ", "1 ", "2 ", "65", "66", "70", "73", "74", "75", "77", "78"] {
        assert!(help.text().contains(status), "{status}: {help}");
    }
    assert!(spool.mq(&["--version"]).ok().text().starts_with("mq "));
}

#[test]
fn no_verb_and_a_wrong_verb_are_usage_errors_on_stderr() {
    let spool = Spool::new();
    spool.mq(&[]).status(2).silent().says("Usage");
    spool.mq(&["putt", "q"]).status(2).silent().says("put");
    spool.mq(&["put"]).status(2).silent().says("QUEUE");
    spool.mq(&["list", "a", "b"]).status(2).silent().says("b");
}

#[test]
fn manual_and_help_need_no_home_and_no_spool() {
    let spool = Spool::new();
    for args in [&["man"][..], &["man", "put"], &["--help"], &["get", "--help"], &["completions", "bash"]] {
        let mut command = spool.mq_command(args);
        command.env_clear();
        run(command, b"").ok().quiet();
    }
    assert!(!spool.root().exists());
}
