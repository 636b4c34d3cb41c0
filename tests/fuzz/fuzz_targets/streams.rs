//! Streams of messages as JSON lines, out and in: what `get --json` writes can be put again, and what `export` writes can
//! be imported, whatever it holds.
//!
//! Every format that carries whole messages belongs here.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq::codec::framing::{Framing, Splitter};
use mq::domain::{Attributes, MessageId, NewMessage, Priority, UnixMillis};
use mq::fuzzing::{read_envelope, read_exported, write_envelope, write_exported, write_facts};
use mq::store::{Failure, Message};

/// The message that a put makes of it.
fn put(new: &NewMessage, body: &[u8]) -> Message {
    Message {
        id: MessageId::new(UnixMillis(1_795_413_037_002), &[7; 10]),
        queue: "jobs".parse().expect("it is a name"),
        put_at: UnixMillis(1_795_413_037_002),
        priority: new.priority,
        len_bytes: body.len() as u64,
        media_type: new.media_type.clone(),
        attributes: new.attributes.clone(),
        reply_to: new.reply_to.clone(),
        due: None,
        expires_at: new.ttl.map(|ttl| UnixMillis(1_795_413_037_002).plus(ttl)),
        group: new.group.clone(),
        unique: None,
        unique_until: None,
    }
}

/// A message survives the way out and in again, in one line.
fn check(new: &NewMessage, body: &[u8], reason: &str) {
    let message = put(new, body);
    let failures = [Failure { at: UnixMillis(u64::MAX), delivery: u32::MAX, reason: reason.to_owned() }];
    let line = write_envelope(&message, body, &failures);
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "it is one line");
    let (again, body_again) = read_envelope(&line, &NewMessage::default()).expect("what was written can be put");
    assert_eq!(body_again, body);
    // How long is left of a delay or a time to live is not the sender's to say again.
    assert_eq!(again, NewMessage { delay: None, ttl: None, durability: None, ..new.clone() });
    let facts: serde_json::Value = serde_json::from_slice(&write_facts(&message)).expect("facts are JSON");
    assert_eq!(facts["bytes"], body.len());
}

/// What was imported is exported as it was, and that can be imported again.
fn check_exported(new: &NewMessage, body: &[u8]) {
    let mut wanted = new.clone();
    let origin = wanted.origin.as_mut().expect("an export says where from");
    // What is due is deliverable, and that is all that is to be said of it.
    origin.due = origin.due.filter(|due| !due.is_due(UnixMillis(0)));
    for queue in ["jobs", origin.queue.clone().as_str()] {
        let line = write_exported(new, &queue.parse().expect("it is a name"), body);
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "it is one line");
        let (again, body_again) = read_exported(&line).expect("what was exported can be imported");
        assert_eq!(body_again, body);
        assert_eq!(again, wanted);
    }
}

fn defaults() -> NewMessage {
    let mut attributes = Attributes::default();
    attributes.insert("source", "fuzz").expect("it is an attribute");
    NewMessage {
        priority: Priority::new(9).expect("it is in range"),
        media_type: "text".parse().ok(),
        attributes,
        ..NewMessage::default()
    }
}

fuzz_target!(|data: &[u8]| {
    let mut splitter = Splitter::new(Framing::Lines);
    splitter.push(data);
    while let Some(line) = splitter.finish().expect("any bytes are lines") {
        if let Some((new, body)) = read_exported(&line) {
            check_exported(&NewMessage { delay: None, ttl: None, ..new }, &body);
        }
        for defaults in [NewMessage::default(), defaults()] {
            if let Some((new, body)) = read_envelope(&line, &defaults) {
                assert!(defaults.attributes.iter().all(|(name, _)| new.attributes.get(name).is_some()));
                check(&new, &body, &String::from_utf8_lossy(&line));
            }
        }
    }
    check(&NewMessage::default(), data, "");
});
