//! `mq purge`.

use crate::support::Spool;

#[test]
fn every_message_goes_in_whatever_state_and_the_count_is_told() {
    let spool = Spool::on_disk();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    spool.mq(&["put", "q", "--delay", "1h", "-m", "d"]).ok();
    let receipt = spool.claim("q", "1h");
    spool.mq(&["purge", "q", "--dry-run"]).ok().silent().says("would have deleted 4");
    let dry = spool.mq(&["purge", "q", "--dry-run", "--json"]).ok().quiet().json();
    assert_eq!(dry, serde_json::json!({ "queue": "q", "deleted": 4, "dry_run": true }));
    assert_eq!(spool.count("q", "ready"), 2, "a dry run changes nothing");
    let wet = spool.mq(&["purge", "q", "--json"]).ok().quiet().json();
    assert_eq!(wet, serde_json::json!({ "queue": "q", "deleted": 4, "dry_run": false }));
    let stat = spool.stat("q");
    assert!(["ready", "delayed", "claimed", "held"].iter().all(|state| stat[state] == 0), "{stat}");
    spool.mq(&["delete", &receipt]).fails(66).says("stale");
    spool.mq(&["purge", "q", "--yes"]).ok().says("deleted 0");
    spool.mq(&["purge", "missing"]).fails(66);
}

#[test]
fn a_choice_that_means_no_message_is_told_by_the_status() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    let unknown = "018bcfe5-684b-722a-b1ba-804098e6cb29";
    // All of nothing is done at once, and can be done twice.
    for line in ["purge q", "purge q --dry-run", "move q r", "redrive q", "replay q", "list q", "list q --archived"] {
        spool.mq(&line.split(' ').collect::<Vec<_>>()).ok();
    }
    spool.put("q", "x");
    for verb in ["purge q", "move q r", "redrive q", "replay q", "list q", "list q --archived"] {
        for choice in [["--id", unknown], ["--attr", "colour=red"], ["--older", "1h"]] {
            let line: Vec<&str> = verb.split(' ').chain(choice).collect();
            spool.mq(&line).status(1);
            if verb.starts_with("list") {
                spool.mq(&[&line[..], &["--json"]].concat()).nothing();
            } else {
                spool.mq(&[&line[..], &["--dry-run"]].concat()).status(1).silent().says(" 0 messages");
                let json = spool.mq(&[&line[..], &["--json"]].concat()).status(1).json();
                assert!(json.as_object().unwrap().values().any(|value| *value == 0), "{json}");
            }
        }
    }
    spool.mq(&["list", "q", "--state", "delayed"]).status(1).quiet();
    spool.mq(&["list", "q", "--state", "ready"]).ok();
    // One of two is some.
    let id = spool.mq(&["list", "q", "--json"]).ok().json()["id"].as_str().unwrap().to_owned();
    spool.mq(&["purge", "q", "--id", unknown, "--id", &id]).ok().says("deleted 1 message of 'q'");
}

#[test]
fn a_policy_survives_a_purge() {
    let spool = Spool::new();
    spool.mq(&["create", "q", "visibility=5m"]).ok();
    spool.put("q", "x");
    spool.mq(&["purge", "q"]).ok().silent().says("deleted 1");
    assert_eq!(spool.stat("q")["policy"]["visibility"], "5m");
    spool.put("q", "y");
    spool.mq(&["get", "q"]).ok().wrote("y");
}

#[test]
fn on_a_terminal_it_asks_first() {
    let spool = Spool::new();
    spool.put("q", "x");
    // script(1) gives it a terminal.
    let ask = |answer: &str| spool.sh_with("script -qec 'mq purge q' /dev/null", answer);
    if ask("n\n").status_code() == Some(127) {
        println!("skipped: needs script(1)");
        return;
    }
    let refused = ask("\n").ok();
    assert!(refused.text().contains("delete 1 message of 'q'? [y/N]"), "{refused}");
    assert!(refused.text().contains("nothing was deleted"), "{refused}");
    assert_eq!(spool.count("q", "ready"), 1);
    assert!(ask("y\n").ok().text().contains("deleted 1"));
    spool.mq(&["get", "q"]).nothing();
    spool.put("q", "x");
    assert!(!spool.sh_with("script -qec 'mq purge q --yes' /dev/null", "").ok().text().contains("[y/N]"));
}
