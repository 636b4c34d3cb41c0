//! `mq drop`.

use std::fs;

use crate::support::Spool;

#[test]
fn an_empty_queue_goes_and_a_full_one_stays_unless_forced() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    spool.mq(&["drop", "q"]).ok().quiet().silent();
    spool.mq(&["drop", "q"]).fails(66);
    spool.put("q", "x");
    spool.mq(&["drop", "q"]).fails(2).says("1 message").says("--force");
    spool.mq(&["get", "q"]).ok().wrote("x");
    spool.mq(&["drop", "q"]).fails(2);
    spool.mq(&["drop", "q", "--force"]).ok().says("1 message").silent();
    spool.mq(&["list"]).ok().silent();
    let left: Vec<_> = fs::read_dir(spool.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["format"], "nothing is left over");
}

#[test]
fn a_dropped_queue_can_be_made_again_and_knows_nothing_of_the_old_one() {
    let spool = Spool::new();
    spool.put("q", "old");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["drop", "q", "--force"]).ok();
    spool.mq(&["delete", &receipt]).fails(66);
    spool.put("q", "new");
    spool.mq(&["delete", &receipt]).fails(66).says("stale");
    spool.mq(&["get", "q"]).ok().wrote("new");
}

#[test]
fn a_put_that_is_under_way_fails_and_says_that_the_queue_is_gone() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let mut put = spool.start(&["put", "q"]);
    put.say("half");
    crate::support::until("the put has begun", || !spool.files_in("q", "tmp").is_empty());
    spool.mq(&["drop", "q"]).fails(2);
    spool.mq(&["drop", "q", "--force"]).ok();
    let ran = put.finish();
    ran.fails(66).says("there is no queue 'q'");
}

#[test]
fn only_what_can_be_a_queue_gets_its_name_back_from_a_dropper_that_died() {
    let spool = Spool::new();
    spool.put("q", "kept");
    let checking = |name: &str| spool.root().join(format!(".checking-{name}"));
    std::fs::rename(spool.queue_dir("q"), checking("q")).unwrap();
    for name in ["lock", ".hidden", "..", "not a name"] {
        std::fs::create_dir(checking(name)).unwrap();
    }
    spool.mq(&["create", "other"]).ok();
    spool.mq(&["get", "q"]).ok().wrote("kept");
    assert!(!spool.root().join("lock").is_dir() && !spool.root().join(".hidden").exists());
}
