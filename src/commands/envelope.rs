//! The envelope: a message and what is known of it in one line of JSON, out and in.
//!
//! Invariant: any body survives the way out and back. Text is `body`; other bytes are `body_base64`. On the way
//! out a body of any length is written as it is read; on the way in a line is held in memory.

use std::io::{self, Read, Write};

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::Serialize;

use crate::domain::lifecycle::State;
use crate::domain::{Attributes, Group, MediaType, Priority, QueueName, UniqueKey, UnixMillis, UnixSeconds};
use crate::store::{Body, Failure, Message, StateName};

mod incoming;

pub(crate) use incoming::{Envelope, EnvelopeError, read, read_exported};

/// What is known of a message, in the order in which it is shown.
#[derive(Serialize)]
pub(crate) struct Facts<'a> {
    id: String,
    queue: &'a QueueName,
    /// Where it was put to first, if that is another queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    put_to: Option<&'a QueueName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    deliveries: u32,
    put_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    visible_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    priority: Priority,
    bytes: u64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attrs: &'a Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a QueueName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<FailureFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<&'a str>,
    /// Before which second it was not to be delivered when it was put.
    #[serde(skip)]
    put_due: Option<UnixSeconds>,
}

/// One failed delivery, its time as all other times are shown.
#[derive(Serialize)]
struct FailureFacts<'a> {
    at: String,
    delivery: u32,
    reason: &'a str,
}

impl<'a> Facts<'a> {
    /// What is known of `message`, which lies in `queue` and has been claimed so often.
    pub(crate) fn new(message: &'a Message, queue: &'a QueueName, deliveries: u32) -> Self {
        Self {
            id: message.id.to_string(),
            queue,
            put_to: Some(&message.queue).filter(|put_to| *put_to != queue),
            receipt: None,
            state: None,
            deliveries,
            put_at: message.put_at.to_rfc3339(),
            visible_until: None,
            due: None,
            kept_until: None,
            expires_at: message.expires_at.map(UnixMillis::to_rfc3339),
            priority: message.priority,
            bytes: message.len_bytes,
            media_type: message.media_type.as_ref().map(MediaType::as_str),
            attrs: &message.attributes,
            reply_to: message.reply_to.as_ref(),
            group: message.group.as_ref().map(Group::as_str),
            unique: message.unique.as_ref().map(UniqueKey::as_str),
            unique_until: message.unique_until.map(|until| until.start().to_rfc3339()),
            failures: Vec::new(),
            unread: None,
            put_due: message.due,
        }
    }

    /// Adds the claim.
    #[must_use]
    pub(crate) fn claimed(self, receipt: String, visible_until: Option<UnixSeconds>) -> Self {
        let visible_until = visible_until.map(|until| until.start().to_rfc3339());
        Self { receipt: Some(receipt), visible_until, ..self }
    }

    /// Adds the state.
    #[must_use]
    pub(crate) fn in_state(self, state: State) -> Self {
        let time = |second: UnixSeconds| Some(second.start().to_rfc3339());
        let (due, visible_until) = match state {
            State::Delayed { due } => (time(due), None),
            State::Claimed { until } => (None, time(until)),
            State::Ready | State::Held => (None, None),
            // It will be delayed if its turn comes before.
            State::Waiting { .. } => (self.put_due.and_then(time), None),
        };
        Self { state: Some(state_word(state)), due, visible_until, ..self }
    }

    /// Says that it is deleted, and until when the archive has it.
    #[must_use]
    pub(crate) fn archived(self, kept_until: UnixSeconds) -> Self {
        Self { state: Some(ARCHIVED), kept_until: Some(kept_until.start().to_rfc3339()), ..self }
    }

    /// Adds the delivery log.
    #[must_use]
    pub(crate) fn with_failures(self, failures: &'a [Failure]) -> Self {
        let facts = |failure: &'a Failure| FailureFacts {
            at: failure.at.to_rfc3339(),
            delivery: failure.delivery,
            reason: &failure.reason,
        };
        Self { failures: failures.iter().map(facts).collect(), ..self }
    }

    /// Says why the message could not be read, if so.
    #[must_use]
    pub(crate) fn unread(self, why: Option<&'a str>) -> Self {
        Self { unread: why, ..self }
    }

    /// Says that the body that follows is not the message's own, but a conversion of it.
    #[must_use]
    pub(crate) fn converted(self, media_type: &'a str, len_bytes: u64) -> Self {
        Self { media_type: Some(media_type), bytes: len_bytes, ..self }
    }

    /// One line, without a body.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }

    /// One line, the body last.
    pub(crate) fn write_with_body(&self, body: &mut Body, to: &mut dyn Write) -> io::Result<()> {
        let is_text = is_utf8(body)?;
        body.rewind()?;
        let mut head = serde_json::to_vec(self)?;
        head.pop(); // The brace: the object goes on.
        head.extend_from_slice(if is_text { b",\"body\":\"" } else { b",\"body_base64\":\"" });
        to.write_all(&head)?;
        if is_text {
            copy_escaped(body, to)?;
        } else {
            let mut encoder = EncoderWriter::new(&mut *to, &STANDARD);
            io::copy(body, &mut encoder)?;
            encoder.finish()?;
        }
        to.write_all(b"\"}\n")
    }
}

/// What stands in the place of a state where a message is in none: it is deleted, and kept for a while.
pub(crate) const ARCHIVED: &str = "archived";

/// A state as users know it.
pub(crate) fn state_word(state: State) -> &'static str {
    StateName::of(state).as_str()
}

const CHUNK: usize = 64 * 1024;

/// Hands the source over in pieces that end at a character's end; what is no UTF-8 ends it with `false`.
fn each_text(source: &mut dyn Read, each: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    loop {
        let got = source.read(&mut buffer[kept..])?;
        let end = kept + got;
        let valid = match std::str::from_utf8(&buffer[..end]) {
            Ok(text) => {
                each(text)?;
                end
            }
            Err(error) => {
                if error.error_len().is_some() || got == 0 {
                    return Ok(false);
                }
                let valid = error.valid_up_to();
                each(std::str::from_utf8(&buffer[..valid]).map_err(io::Error::other)?)?;
                valid
            }
        };
        if got == 0 {
            return Ok(true);
        }
        buffer.copy_within(valid..end, 0);
        kept = end - valid;
    }
}

fn is_utf8(body: &mut Body) -> io::Result<bool> {
    each_text(body, &mut |_| Ok(()))
}

/// Copies text as the inside of a JSON string.
fn copy_escaped(body: &mut Body, to: &mut dyn Write) -> io::Result<()> {
    each_text(body, &mut |text| {
        let quoted = serde_json::to_vec(text)?;
        to.write_all(&quoted[1..quoted.len() - 1])
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MessageId, NewMessage};

    #[test]
    fn i3_any_body_survives_the_way_out_and_back() {
        let long = "ä€😀".repeat(50_000).into_bytes();
        let bodies: [&[u8]; 8] =
            [b"", b"plain", b"\"\\\n\r\t\0\x1f", "ü€😀".as_bytes(), b"\xff", b"ok\xe2\x82", &long, &[0x80; 3]];
        let message = Message {
            id: MessageId::new(UnixMillis(1), &[0; 10]),
            queue: "q".parse().unwrap(),
            put_at: UnixMillis(1),
            priority: Priority::default(),
            len_bytes: 0,
            media_type: None,
            attributes: Attributes::default(),
            reply_to: None,
            due: None,
            expires_at: None,
            group: None,
            unique: None,
            unique_until: None,
        };
        for body in bodies {
            let mut line = Vec::new();
            let facts = Facts::new(&message, &message.queue, 1).claimed("r".to_owned(), None);
            facts.write_with_body(&mut Body::from_bytes(body.to_vec()), &mut line).unwrap();
            assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
            assert_eq!(read(&line, 1, &NewMessage::default()).unwrap().body, body);
        }
    }
}
