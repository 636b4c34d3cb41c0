//! Where the spool is.

use crate::support::{Ran, Spool, run};

fn list(spool: &Spool, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = spool.mq_command(args);
    command.env_remove("MQ_SPOOL").env_remove("HOME").arg("list");
    command.envs(env.iter().copied());
    run(command, b"")
}

#[test]
fn the_option_goes_before_mq_spool_before_xdg_state_home_before_home() {
    let spool = Spool::new();
    let at = |name: &str| spool.path(name).display().to_string();
    for (place, queue) in
        [("option", "by-option"), ("env", "by-env"), ("state/mq", "by-xdg"), ("home/.local/state/mq", "by-home")]
    {
        spool.mq(&["--spool", &at(place), "create", queue]).ok();
    }
    let (env, state, home) = (at("env"), at("state"), at("home"));
    let all = [("MQ_SPOOL", env.as_str()), ("XDG_STATE_HOME", state.as_str()), ("HOME", home.as_str())];
    list(&spool, &["--spool", &at("option")], &all).ok().quiet().wrote("by-option\n");
    list(&spool, &[], &all).ok().wrote("by-env\n");
    list(&spool, &[], &all[1..]).ok().wrote("by-xdg\n");
    list(&spool, &[], &all[2..]).ok().wrote("by-home\n");
    list(&spool, &[], &[("XDG_STATE_HOME", "state"), ("HOME", home.as_str())]).ok().wrote("by-home\n");
    list(&spool, &[], &[("XDG_STATE_HOME", ""), ("HOME", home.as_str())]).ok().wrote("by-home\n");
}

#[test]
fn the_option_stands_before_or_behind_the_verb_and_can_be_relative() {
    let spool = Spool::new();
    spool.mq(&["--spool", "here", "put", "q", "-m", "x"]).ok();
    spool.mq(&["get", "q", "--spool=here"]).ok().wrote("x");
    assert!(spool.path("here/format").exists());
    assert!(!spool.root().exists());
}

#[test]
fn the_default_place_is_made_by_the_first_put_with_all_above_it() {
    let spool = Spool::new();
    let mut command = spool.mq_command(&["put", "q", "-m", "x"]);
    command.env_remove("MQ_SPOOL").env("HOME", spool.path("new/home"));
    run(command, b"").ok();
    assert!(spool.path("new/home/.local/state/mq/q").is_dir());
}

#[test]
fn no_place_at_all_is_a_bad_configuration() {
    let spool = Spool::new();
    list(&spool, &[], &[]).fails(78).says("MQ_SPOOL").says("HOME");
    list(&spool, &[], &[("HOME", "relative")]).fails(78);
}

#[test]
fn an_empty_place_is_refused_rather_than_taken_for_another_one() {
    let spool = Spool::new();
    let home = spool.path("home").display().to_string();
    list(&spool, &[], &[("MQ_SPOOL", ""), ("HOME", &home)]).fails(78).says("empty");
    list(&spool, &["--spool", ""], &[("HOME", &home)]).status(2).silent().says("--spool");
}

#[test]
fn places_with_odd_names_work() {
    use std::os::unix::ffi::OsStrExt as _;
    let spool = Spool::new();
    for name in [&b"with space"[..], b"-dash", b"new\nline", b"\xff\xfe", "ä/ö".as_bytes()] {
        let place = spool.path("").join(std::ffi::OsStr::from_bytes(name));
        let mut put = spool.mq_command(&["put", "q", "-m", "x"]);
        put.env("MQ_SPOOL", &place);
        run(put, b"").ok().quiet();
        let mut get = spool.mq_command(&["get", "q", "--", "sh", "-c", "mq delete $MQ_RECEIPT"]);
        get.env("MQ_SPOOL", &place);
        run(get, b"").ok().quiet();
    }
}

#[test]
fn a_symbolic_link_to_a_spool_is_as_good_as_the_spool() {
    let spool = Spool::new();
    std::fs::create_dir(spool.path("real")).unwrap();
    std::os::unix::fs::symlink("real", spool.path("link")).unwrap();
    let link = |args: &[&str]| spool.mq(&[&["--spool", "link"], args].concat());
    link(&["put", "q", "-m", "x", "-m", "y"]).ok();
    link(&["list"]).ok().wrote("q\n");
    link(&["stat"]).ok();
    spool.mq(&["--spool", "real", "get", "q", "--delete"]).ok().wrote("x");
    link(&["get", "q", "--", "sh", "-c", "cat; mq delete $MQ_RECEIPT"]).ok().wrote("y");
    link(&["drop", "q"]).ok();
    std::os::unix::fs::symlink("nowhere", spool.path("dangling")).unwrap();
    spool.mq(&["--spool", "dangling", "put", "q", "-m", "x"]).fails(74).says("dangling");
}
