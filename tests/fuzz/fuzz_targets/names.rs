//! Names of messages, queues and directories: whatever is taken for one has one spelling, and leads nowhere else.

#![no_main]

use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use mq::domain::lifecycle::State;
use mq::domain::{MediaType, MessageId, MessageName, Priority, QueueName, units};
use mq::fuzzing;
use mq::store::spool::fs::Kind;

/// What parses prints as it was written; returns whether it parsed.
fn has_one_spelling<T: FromStr + Display>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    assert_eq!(value.to_string(), text);
    true
}

fn is_safe_as_a_file_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && !text.contains(['/', '\0']) && text != "." && text != ".."
}

fn check_words(text: &str) {
    if has_one_spelling::<MessageName>(text) {
        assert!(is_safe_as_a_file_name(text) && text.len() <= 66, "{text:?}");
    }
    if has_one_spelling::<MessageId>(text) {
        assert!(is_safe_as_a_file_name(text) && text.len() == 36, "{text:?}");
    }
    if has_one_spelling::<QueueName>(text) {
        assert!(is_safe_as_a_file_name(text) && !text.starts_with(['.', '-']) && text.len() <= 80, "{text:?}");
    }
    has_one_spelling::<Priority>(text);
    if let Ok(media_type) = text.parse::<MediaType>() {
        assert_eq!(media_type.as_str(), text);
    }
    if let Some(second) = fuzzing::parse_second(text) {
        assert_eq!(second.0.to_string(), text);
    }
    for digits in [2, 12] {
        if let Some(number) = fuzzing::parse_hex(text, digits) {
            assert_eq!(format!("{number:0digits$x}"), text);
        }
    }
    if let Ok(duration) = units::parse_duration(text) {
        assert_eq!(units::parse_duration(&units::format_duration(duration)), Ok(duration));
    }
}

/// A path that is taken for a message's is the one that the message is given.
fn check_path(inside: &Path) {
    assert_eq!(fuzzing::message_at(inside, Kind::Dir), None);
    assert_eq!(fuzzing::message_at(inside, Kind::Other), None);
    let Some((state, name)) = fuzzing::message_at(inside, Kind::File) else { return };
    let queue = Path::new("/spool/queue");
    assert!(inside.components().all(|part| matches!(part, Component::Normal(_))), "{}", inside.display());
    assert_eq!(fuzzing::path_of(queue, state, &name), queue.join(inside));
}

/// A name that parses stays inside its queue, in whatever state.
fn check_name(name: &MessageName) {
    let queue = Path::new("/spool/queue");
    let second = mq::domain::UnixSeconds(name.seq.0);
    for state in [State::Ready, State::Held, State::Claimed { until: second }, State::Delayed { due: second }] {
        let path = fuzzing::path_of(queue, state, name);
        let inside = path.strip_prefix(queue).expect("it lies in the queue");
        assert_eq!(fuzzing::message_at(inside, Kind::File), Some((state, *name)));
    }
    let (aside, why) = fuzzing::quarantine_of(queue, name);
    assert!(aside.parent() == why.parent() && aside != why && aside.starts_with(queue));
}

fuzz_target!(|data: &[u8]| {
    for line in data.split(|byte| *byte == b'\n') {
        let name = OsStr::from_bytes(line);
        check_path(Path::new(name));
        if let Some(name) = fuzzing::parse_name(name) {
            check_name(&name);
        }
        if let Ok(text) = std::str::from_utf8(line) {
            check_words(text);
        }
    }
});
