//! `mq export` and `mq import`: a queue out and in again, and the queues of others in.

use std::fs;

use crate::put::nasty_bodies;
use crate::support::Spool;

/// A queue with something in every state, its messages as they are exported.
fn everything(spool: &Spool) -> String {
    spool.mq(&["create", "q", "max-deliveries=2"]).ok();
    for body in nasty_bodies() {
        spool.mq_with(&["put", "q", "--type", "text/plain", "--attr", "a=b", "--ttl", "1d"], body).ok();
    }
    spool.mq(&["put", "q", "-m", "later", "--delay", "1h", "--priority", "9"]).ok();
    spool.mq(&["get", "q", "--", "sh", "-c", "exit 3"]).status(3);
    spool.mq(&["get", "q"]).ok();
    spool.mq(&["export", "q"]).ok().says("exported 15 messages from 'q'").text().to_owned()
}

/// What has to be the same after an import.
fn facts(export: &str) -> Vec<serde_json::Value> {
    let mut all: Vec<serde_json::Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in &mut all {
        let message = message.as_object_mut().unwrap();
        // Nobody has claimed it there.
        if message["state"] == "claimed" {
            message["state"] = "ready".into();
            message.remove("visible_until");
        }
        message.remove("queue");
        message.remove("put_to");
    }
    all.sort_by_key(|message| message["id"].to_string());
    all
}

#[test]
fn i3_what_is_exported_can_be_imported_as_it_was() {
    let spool = Spool::new();
    let exported = everything(&spool);
    let imported = spool.mq_with(&["import", "r"], &exported).ok();
    imported.says("imported 15 messages to 'r'");
    let again = spool.mq(&["export", "r"]).ok().text().to_owned();
    assert_eq!(facts(&again), facts(&exported));
    assert!(again.contains("\"put_to\":\"q\""), "{again}");
    // A third queue from the second: the first one is not forgotten.
    spool.file("export", &again);
    let ran = spool.mq(&["import", "s", "export"]).ok();
    assert_eq!(ran.lines().len(), 15);
    assert_eq!(facts(spool.mq(&["export", "s"]).ok().text()), facts(&exported));
    spool.mq(&["fsck"]).ok();
    spool.mq(&["get", "s", "--count", "all", "--delete", "--length-prefixed"]).ok();
}

#[test]
fn an_import_can_be_repeated() {
    let spool = Spool::new();
    let exported = everything(&spool);
    let half: Vec<&str> = exported.lines().take(7).collect();
    spool.mq_with(&["import", "r"], half.join("\n")).ok().says("imported 7 messages to 'r'");
    spool.mq_with(&["import", "r"], &exported).ok().says("imported 8 messages to 'r'; 7 were there already");
    spool.mq_with(&["import", "q"], &exported).ok().says("imported 0 messages to 'q'; 15 were there already");
    assert_eq!(facts(spool.mq(&["export", "r"]).ok().text()), facts(&exported));
}

#[test]
fn an_import_of_nonsense_says_where_and_keeps_what_came_before() {
    let spool = Spool::new();
    let exported = everything(&spool);
    let first = exported.lines().next().unwrap();
    for (second, why) in [
        ("{\"body\":\"x\"}", "envelope 2: missing field `id`"),
        ("not JSON", "envelope 2: "),
        (&first.replace("\"put_at\":\"20", "\"put_at\":\"x20"), "is not a time such as"),
    ] {
        spool.mq_with(&["import", "r"], format!("{first}\n{second}\n")).breaks(65).says(why);
        assert_eq!(spool.count("r", "ready"), 1, "{why}");
    }
    spool.mq_with(&["import", "nowhere", "--no-create"], first).fails(66);
    spool.mq(&["import", "r", "no-such-file"]).fails(74);
    spool.mq(&["export", "nowhere"]).fails(66).says("there is no queue 'nowhere'");
}

#[test]
fn a_damaged_message_is_left_out_of_an_export_and_told() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "-m", "damaged", "-m", "whole"]).ok();
    let mut files = spool.files_in("q", "ready");
    files.sort();
    fs::write(&files[0], "nonsense").unwrap();
    let ran = spool.mq(&["export", "q"]).status(74).says("cannot read");
    assert_eq!(ran.jsons().len(), 1);
    assert_eq!(ran.jsons()[0]["body"], "whole");
}

#[test]
fn a_maildir_is_imported_the_oldest_mail_first() {
    let spool = Spool::new();
    for (part, name, mail) in [
        ("new", "1700000009.M1P2.host", "third"),
        ("cur", "1700000001.M1P2.host:2,S", "first"),
        ("cur", "1700000005.M1P2.host:2,", "second"),
        ("tmp", "1700000000.M1P2.host", "half a mail"),
        ("cur", ".hidden", "no mail"),
    ] {
        fs::create_dir_all(spool.path("mail").join(part)).unwrap();
        fs::write(spool.path("mail").join(part).join(name), mail).unwrap();
    }
    spool.mq(&["import", "q", "--maildir", "mail"]).ok().says("imported 3 messages to 'q'");
    assert_eq!(spool.bodies("q"), ["first", "second", "third"]);
    let first = spool.mq(&["peek", "q", "--json"]).ok().json();
    assert_eq!(
        (&first["type"], &first["attrs"]["file"]),
        (&"message/rfc822".into(), &"cur/1700000001.M1P2.host:2,S".into())
    );
    spool.mq(&["import", "q", "--maildir", "no-maildir"]).fails(74).says("no-maildir/new");
}

#[test]
fn a_directory_queue_is_imported_without_what_is_locked() {
    let spool = Spool::new();
    for (dir, name, body) in [
        ("653f9a00", "653f9a01aaaaa1", "first"),
        ("653f9a00", "653f9a02aaaaa1", "locked"),
        ("653f9a3c", "653f9a3daaaaa1", "second"),
        ("653f9a3c", "653f9a3daaaaa2.tmp", "half an element"),
        ("other", "653f9a3daaaaa3", "not an element"),
    ] {
        fs::create_dir_all(spool.path("dirq").join(dir)).unwrap();
        fs::write(spool.path("dirq").join(dir).join(name), body).unwrap();
    }
    let locked = spool.path("dirq/653f9a00/653f9a02aaaaa1");
    fs::hard_link(&locked, locked.with_extension("lck")).unwrap();
    let ran = spool.mq(&["import", "q", "--dirq", "dirq"]).ok();
    ran.says("imported 2 messages to 'q'; 1 are locked, and left out");
    assert_eq!(spool.bodies("q"), ["first", "second"]);
    assert_eq!(spool.mq(&["peek", "q", "--json"]).ok().json()["attrs"]["file"], "653f9a00/653f9a01aaaaa1");
    spool.file("file", "x");
    spool.mq(&["import", "q", "--dirq", "file"]).fails(2).says("is not a directory");
}
