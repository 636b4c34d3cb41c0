//! `mq peek`.

use crate::support::Spool;

#[test]
fn a_look_changes_nothing() {
    let spool = Spool::new();
    spool.mq_with(&["put", "q", "--lines"], "a\nb\nc\n").ok();
    let before = spool.files_in("q", "ready");
    spool.mq(&["peek", "q"]).ok().quiet().wrote("a");
    spool.mq(&["peek", "q", "--count", "2", "--lines"]).ok().quiet().wrote("a\nb\n");
    spool.mq(&["peek", "q", "--count", "9", "-0"]).ok().wrote("a\0b\0c\0");
    spool.mq(&["peek", "q", "--count", "9", "--length-prefixed"]).ok().wrote("1:a,1:b,1:c,");
    let first = spool.mq(&["peek", "q", "--json"]).ok().json();
    assert_eq!((&first["state"], &first["deliveries"], &first["body"]), (&"ready".into(), &0.into(), &"a".into()));
    assert_eq!(first.get("receipt"), None);
    assert_eq!(spool.files_in("q", "ready"), before);
}

#[test]
fn a_message_is_found_by_its_id_in_every_state() {
    let spool = Spool::new();
    let ready = spool.put("q", "ready");
    let claimed = spool.mq(&["put", "q", "-p", "9", "-m", "claimed"]).ok().text().trim().to_owned();
    spool.claim("q", "1h");
    let delayed = spool.mq(&["put", "q", "--delay", "1h", "-m", "delayed"]).ok().text().trim().to_owned();
    for (id, state) in [(ready, "ready"), (claimed, "claimed"), (delayed, "delayed")] {
        spool.mq(&["peek", "q", "--id", &id]).ok().quiet().wrote(state);
        let seen = spool.mq(&["peek", "q", "--id", &id, "--json"]).ok().json();
        assert_eq!(seen["state"], state);
        assert_eq!(seen["id"], id);
        let key = match state {
            "claimed" => "visible_until",
            "delayed" => "due",
            _ => continue,
        };
        humantime::parse_rfc3339(seen[key].as_str().unwrap()).unwrap();
    }
}

#[test]
fn nothing_there_no_such_message_no_such_queue_and_no_id_are_four_answers() {
    let spool = Spool::new();
    spool.mq(&["create", "q"]).ok();
    spool.mq(&["peek", "q"]).nothing();
    spool.mq(&["peek", "q", "--json"]).nothing();
    spool.mq(&["peek", "q", "--id", "01900000-0000-7000-8000-000000000000"]).fails(66).says("no message");
    spool.mq(&["peek", "missing"]).fails(66).says("there is no queue");
    spool.mq(&["peek", "q", "--id", "nonsense"]).status(2).silent().says("UUID");
    spool.mq(&["peek", "q", "--count", "2"]).fails(2).says("framing");
}

#[test]
fn i3_a_body_that_a_framing_would_tear_is_refused() {
    let spool = Spool::new();
    spool.put("q", "a\nb");
    spool.mq(&["peek", "q", "--lines"]).fails(65).says("line feed");
    spool.mq(&["peek", "q"]).ok().wrote("a\nb");
}

#[test]
fn expired_messages_are_not_shown() {
    let spool = Spool::new();
    spool.mq(&["put", "q", "--ttl", "1ms", "-m", "old"]).ok();
    spool.put("q", "new");
    spool.mq(&["peek", "q", "--count", "5", "--lines"]).ok().wrote("new\n");
}
