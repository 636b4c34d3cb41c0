//! `mq export` and `mq import`: a queue out and in again.

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
        ("{\"body\":\"x\"}", "the envelope in line 2: it has no \"queue\", which mq export writes"),
        ("not JSON", "line 2 is not JSON at column "),
        ("[\"x\"]", "line 2 is no object"),
        (&first.replace("\"deliveries\":", "\"deliveries\":4294967295,\"x\":"), "more than any message has had"),
        (
            "{\"body\":\"x\",\"queue\":\"q\",\"id\":\"018bcfe5-684b-722a-b1ba-804098e6cb29\",\"failures\":[1],\
             \"put_at\":\"2026-11-23T04:36:25.123Z\"}",
            "is not a log of failed deliveries",
        ),
        (&first.replace("\"deliveries\":", "\"deliverys\":"), "it says \"deliverys\", which means nothing"),
        (&first.replace("\"put_at\":\"20", "\"put_at\":\"x20"), "is not a time such as"),
    ] {
        spool.mq_with(&["import", "r"], format!("{first}\n{second}\n")).breaks(65).says(why);
        assert_eq!(spool.count("r", "ready"), 1, "{why}");
    }
    spool.mq_with(&["import", "nowhere", "--no-create"], first).fails(66);
    let nothing = spool.mq(&["import", "r", "no-such-file"]).fails(74);
    assert!(nothing.err().starts_with("mq import: cannot read no-such-file"), "{nothing}");
    let nothing = spool.mq(&["export", "nowhere"]).fails(66);
    assert!(nothing.err().starts_with("mq export: there is no queue 'nowhere'"), "{nothing}");
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
