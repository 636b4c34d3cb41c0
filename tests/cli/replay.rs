//! The archive: `archive=DUR`, `mq list --archived` and `mq replay`.

use serde_json::Value;

use crate::support::Spool;

/// A queue `q` with an archive, in which these messages were deleted.
fn with_deleted(bodies: &[&str]) -> Spool {
    let spool = Spool::new();
    spool.mq(&["create", "q", "archive=1d"]).ok();
    for body in bodies {
        spool.mq(&["put", "q", "-m", body, "--attr", &format!("body={body}"), "-t", "text"]).ok();
        spool.mq(&["get", "q", "--delete"]).ok().wrote(body);
    }
    spool
}

fn archived(spool: &Spool) -> Vec<Value> {
    spool.mq(&["list", "q", "--archived", "--json"]).ok().quiet().jsons()
}

/// The one file in the archive.
fn file(spool: &Spool) -> std::path::PathBuf {
    let walk = walkdir::WalkDir::new(spool.root().join("q/archive")).into_iter().map(Result::unwrap);
    walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).next().unwrap()
}

#[test]
fn what_is_deleted_can_be_listed_and_put_again() {
    let spool = with_deleted(&["one", "two"]);
    let json = archived(&spool);
    assert_eq!(json.iter().map(|m| m["attrs"]["body"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((&json[0]["state"], &json[0]["deliveries"]), (&"archived".into(), &1.into()));
    assert!(json[0]["kept_until"].as_str().unwrap() > json[0]["put_at"].as_str().unwrap());
    let table = spool.mq(&["list", "q", "--archived"]).ok().quiet();
    assert!(table.lines()[1].contains("  archived  "), "{table}");
    assert_eq!(table.lines()[0].find("AGE"), table.lines()[1].find("0s").map(|at| at - 1), "{table}");
    spool.mq(&["replay", "q", "--dry-run"]).ok().silent().says("would have replayed 2 messages of 'q'");
    assert_eq!(spool.count("q", "ready"), 0);
    spool.mq(&["replay", "q"]).ok().silent().says("replayed 2 messages of 'q'");
    let again = spool.mq(&["list", "q", "--json"]).ok().jsons();
    assert!(again.iter().all(|m| json.iter().all(|old| old["id"] != m["id"])), "they have ids of their own");
    assert_eq!((&again[0]["type"], &again[0]["attrs"]), (&json[0]["type"], &json[0]["attrs"]));
    assert_eq!(spool.bodies("q"), ["one", "two"]);
}

#[test]
fn only_what_is_meant_is_put_again() {
    let spool = with_deleted(&["one", "two", "three"]);
    let id = archived(&spool)[1]["id"].as_str().unwrap().to_owned();
    let json = spool.mq(&["replay", "q", "--id", &id, "--json"]).ok().quiet().json();
    assert_eq!(json, serde_json::json!({ "queue": "q", "replayed": 1, "dry_run": false }));
    spool.mq(&["replay", "q", "--attr", "body=one", "--newer", "1h"]).ok().says("replayed 1 message of 'q'");
    spool.mq(&["replay", "q", "--older", "1h"]).status(1).says("replayed 0 messages");
    assert_eq!(spool.bodies("q"), ["two", "one"]);
    for line in [["replay", "q", "--state", "ready"].as_slice(), &["list", "q", "--archived", "--state", "ready"]] {
        spool.mq(line).fails(2).says("in no state");
    }
    spool.mq(&["list", "--archived"]).fails(2).says("QUEUE");
    spool.mq(&["replay", "missing"]).fails(66);
    spool.mq(&["list", "missing", "--archived"]).fails(66);
}

#[test]
fn every_way_to_delete_keeps_it_and_no_other() {
    let spool = with_deleted(&[]);
    spool.put("q", "by receipt");
    let receipt = spool.claim("q", "1h");
    spool.mq(&["delete", &receipt]).ok();
    spool.put("q", "by command");
    spool.mq(&["get", "q", "--", "cat"]).ok();
    spool.put("q", "by get");
    spool.mq(&["get", "q", "--delete"]).ok();
    assert_eq!(archived(&spool).len(), 3);
    spool.put("q", "purged");
    spool.mq(&["purge", "q"]).ok();
    spool.put("q", "failed");
    spool.mq(&["get", "q", "--", "false"]).status(1);
    assert_eq!(archived(&spool).len(), 3);
    assert_eq!(spool.mq(&["stat", "q", "--json"]).ok().json()["archived"], 3);
    assert!(spool.mq(&["stat"]).ok().text().contains("3 archived"));
    assert!(spool.mq(&["stat", "q"]).ok().text().contains("archive=1d"));
    spool.mq(&["set", "q", "archive=none"]).ok();
    assert_eq!(archived(&spool).len(), 0);
    spool.mq(&["replay", "q"]).ok().says("has no archive").says("replayed 0 messages");
    assert_eq!(spool.bodies("q"), ["failed"]);
}

#[test]
fn a_damaged_one_is_told_and_the_others_are_put_again() {
    let spool = with_deleted(&["broken"]);
    let broken = file(&spool);
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() - 1]).unwrap();
    spool.put("q", "whole");
    spool.mq(&["get", "q", "--delete"]).ok();
    spool.mq(&["replay", "q"]).fails(74).says("replayed 1 message of 'q' before this:").says("archive");
    assert_eq!(spool.bodies("q"), ["whole"]);
    let name = broken.file_name().unwrap();
    assert!(spool.mq(&["fsck"]).status(1).text().contains("is damaged"));
    spool.mq(&["fsck", "--repair"]).ok();
    assert!(spool.root().join("q/corrupt").join(name).exists());
    spool.mq(&["replay", "q"]).ok();
}

#[test]
fn an_archive_is_nothing_that_fsck_minds_or_brings_back() {
    let spool = with_deleted(&["one", "two"]);
    spool.mq(&["fsck"]).ok();
    let path = file(&spool);
    // By hand: under a name that is none.
    std::fs::rename(&path, path.with_file_name("odd")).unwrap();
    assert!(spool.mq(&["fsck", "--repair"]).status(1).text().contains("odd"));
    assert_eq!(archived(&spool).len(), 1);
    assert_eq!(spool.count("q", "ready"), 0);
    std::fs::rename(path.with_file_name("odd"), &path).unwrap();
    spool.mq(&["drop", "q"]).ok();
}
