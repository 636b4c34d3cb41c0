//! The message file: a header in one line of JSON, the body's bytes, then the delivery log.
//!
//! ```text
//! {"mq":1,"len":<20 columns>,"crc":"<8 hex digits>","id":…,"queue":…,"put_at":…,…}\n
//! the body: exactly `len` bytes
//! \n{"at":…,"delivery":…,"reason":…}\n     …for each failed delivery
//! ```
//!
//! Invariants: everything before the log is written once, the header last, so a file whose header reads and
//! whose length and checksum are right is complete (I3). The checksum is CRC-32C over the body and then the
//! header with zeros in the checksum's place: a flipped bit in either is found. `len` and `crc` have fixed
//! width, because a body that streams in has neither when the header's room is set aside.

use std::io;
use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fs::FileHandle;
use super::layout::parse_hex;
use crate::domain::{Attributes, Group, MediaType, MessageId, Priority, QueueName, UniqueKey, UnixMillis, UnixSeconds};
use crate::store::{Body, Error, Failure, Message};

/// The longest header that is written or read.
pub(crate) const HEADER_MAX: usize = 64 * 1024;

/// A file up to this long is read in one go and handed over from memory.
const READ_WHOLE_MAX: usize = 64 * 1024;

/// How much of a long body is in memory at a time.
const CHUNK: usize = 128 * 1024;

/// How much of a delivery log is read, from its end.
const LOG_MAX: u64 = 64 * 1024;

const VERSION: u32 = 1;
const PREFIX: &[u8] = br#"{"mq":1,"len":"#;
const LEN_WIDTH: usize = 20;
const CRC_KEY: &[u8] = br#","crc":""#;
const CRC_AT: usize = PREFIX.len() + LEN_WIDTH + CRC_KEY.len();
const CRC_WIDTH: usize = 8;

/// The header after `len` and `crc`, as it is written.
#[derive(Serialize)]
struct Rest<'a> {
    id: MessageId,
    queue: &'a QueueName,
    put_at: UnixMillis,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a MediaType>,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    attrs: &'a Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a QueueName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<&'a UniqueKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_until: Option<u64>,
}

/// The whole header, as it is read. Members that this version does not know are passed over.
#[derive(Deserialize)]
struct Header {
    mq: u32,
    len: u64,
    crc: String,
    id: MessageId,
    queue: QueueName,
    put_at: UnixMillis,
    priority: Priority,
    due: Option<u64>,
    expires_at: Option<UnixMillis>,
    #[serde(rename = "type")]
    media_type: Option<MediaType>,
    #[serde(default)]
    attrs: Attributes,
    reply_to: Option<QueueName>,
    group: Option<Group>,
    unique: Option<UniqueKey>,
    unique_until: Option<u64>,
}

/// A header whose length and checksum are still to be filled in.
pub(crate) struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// The header of `message`, whose `len_bytes` is ignored.
    pub(crate) fn new(message: &Message) -> Result<Self, Error> {
        let rest = Rest {
            id: message.id,
            queue: &message.queue,
            put_at: message.put_at,
            priority: message.priority,
            due: message.due.map(|due| due.0),
            expires_at: message.expires_at,
            media_type: message.media_type.as_ref(),
            attrs: &message.attributes,
            reply_to: message.reply_to.as_ref(),
            group: message.group.as_ref(),
            unique: message.unique.as_ref(),
            unique_until: message.unique_until.map(|until| until.0),
        };
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(PREFIX);
        bytes.extend_from_slice(&[b' '; LEN_WIDTH]);
        bytes.extend_from_slice(CRC_KEY);
        bytes.extend_from_slice(&[b'0'; CRC_WIDTH]);
        bytes.extend_from_slice(b"\",");
        let at = bytes.len();
        serde_json::to_writer(&mut bytes, &rest).map_err(|e| Error::Body(e.into()))?;
        bytes.remove(at); // The brace: the object is open already.
        bytes.push(b'\n');
        if bytes.len() > HEADER_MAX {
            return Err(Error::HeaderTooLong { len_bytes: bytes.len(), most_bytes: HEADER_MAX });
        }
        Ok(Self { bytes })
    }

    /// The header `line` once more, for another body. What it says that this version does not know it goes on to say.
    pub(crate) fn again(line: &[u8]) -> Self {
        let mut bytes = line.to_vec();
        bytes[CRC_AT..CRC_AT + CRC_WIDTH].fill(b'0');
        Self { bytes }
    }

    /// How long the header is, to the newline.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The header of a body of `len_bytes` whose CRC-32C is `body_crc`.
    pub(crate) fn finish(mut self, len_bytes: u64, body_crc: u32) -> Vec<u8> {
        let len = format!("{len_bytes:>LEN_WIDTH$}");
        self.bytes[PREFIX.len()..PREFIX.len() + LEN_WIDTH].copy_from_slice(len.as_bytes());
        let crc = crc32c::crc32c_append(body_crc, &self.bytes);
        self.bytes[CRC_AT..CRC_AT + CRC_WIDTH].copy_from_slice(format!("{crc:08x}").as_bytes());
        self.bytes
    }
}

/// Why a message file could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The system failed; the file may be right.
    Io(io::Error),
    /// The file is not what a put has written.
    Damaged(String),
}

impl ReadError {
    /// As the error of who needed the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        let source = match self {
            Self::Io(error) => error,
            Self::Damaged(why) => io::Error::new(io::ErrorKind::InvalidData, why),
        };
        Error::Io { action: "read", path: path.to_owned(), source }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn damaged<T>(why: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Damaged(why.into()))
}

/// The start of an open message file.
pub(crate) struct Opened<H> {
    file: Arc<H>,
    /// As much of the file as one read brings, from its start.
    start: Vec<u8>,
    file_len: u64,
    header_len: usize,
    crc: u32,
    /// What the header says.
    pub(crate) message: Message,
}

impl<H: FileHandle> Opened<H> {
    /// Reads the header of `file`, and checks that the file has the length that the header says.
    pub(crate) fn new(file: impl Into<Arc<H>>) -> Result<Self, ReadError> {
        let file = file.into();
        let status = file.status()?;
        if status.kind != super::fs::Kind::File {
            return damaged("it is not a regular file");
        }
        let want = usize::try_from(status.len_bytes).unwrap_or(usize::MAX).min(READ_WHOLE_MAX.max(HEADER_MAX));
        let mut start = vec![0; want];
        let got = file.read_at(&mut start, 0)?;
        start.truncate(got);
        let Some(newline) = memchr::memchr(b'\n', &start) else {
            return damaged("it has no header");
        };
        let header_len = newline + 1;
        let (message, crc) = parse_header(&start[..header_len])?;
        let end = (header_len as u64).checked_add(message.len_bytes);
        if end.is_none_or(|end| end > status.len_bytes) {
            let have = status.len_bytes - header_len as u64;
            return damaged(format!("its body has {have} bytes of {}", message.len_bytes));
        }
        Ok(Self { file, start, file_len: status.len_bytes, header_len, crc, message })
    }

    /// The header, with its newline.
    pub(crate) fn header(&self) -> &[u8] {
        &self.start[..self.header_len]
    }

    /// Checks the whole body against the checksum, and hands it over.
    pub(crate) fn check(self) -> Result<(Message, Body, Arc<H>, BodyPlace), ReadError> {
        let len_bytes = self.message.len_bytes;
        let body_start = self.header_len as u64;
        let in_memory = self.start.len() as u64 == self.file_len;
        let body_crc = if in_memory {
            let end = self.header_len + usize::try_from(len_bytes).unwrap_or(usize::MAX);
            crc32c::crc32c(&self.start[self.header_len..end])
        } else {
            crc_of(&*self.file, body_start, len_bytes)?
        };
        let mut header = self.start[..self.header_len].to_vec();
        header[CRC_AT..CRC_AT + CRC_WIDTH].fill(b'0');
        let found = crc32c::crc32c_append(body_crc, &header);
        if found != self.crc {
            return damaged(format!("its checksum is {found:08x} instead of {:08x}", self.crc));
        }
        Ok(self.unchecked())
    }

    /// Hands the body over as it is.
    pub(crate) fn unchecked(self) -> (Message, Body, Arc<H>, BodyPlace) {
        let len_bytes = self.message.len_bytes;
        let body_start = self.header_len as u64;
        let in_memory = self.start.len() as u64 == self.file_len;
        let place = BodyPlace { start: body_start, len_bytes, has_log: body_start + len_bytes < self.file_len };
        let body = if in_memory {
            let mut bytes = self.start;
            bytes.truncate(self.header_len + usize::try_from(len_bytes).unwrap_or(usize::MAX));
            bytes.drain(..self.header_len);
            Body::from_bytes(bytes)
        } else {
            let reader = Window { file: Arc::clone(&self.file), start: body_start, len_bytes, position: 0 };
            Body::from_source(Box::new(reader), len_bytes)
        };
        (self.message, body, self.file, place)
    }
}

/// Where in a message file the body lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyPlace {
    pub(crate) start: u64,
    pub(crate) len_bytes: u64,
    pub(crate) has_log: bool,
}

fn parse_header(line: &[u8]) -> Result<(Message, u32), ReadError> {
    // The checksum is computed with zeros in this place, so it must be this place.
    if line.len() < CRC_AT + CRC_WIDTH || &line[..PREFIX.len()] != PREFIX {
        return damaged("it does not begin as a message file");
    }
    let header: Header = match serde_json::from_slice(line) {
        Ok(header) => header,
        Err(error) => return damaged(format!("its header does not read: {error}")),
    };
    if header.mq != VERSION || header.crc.as_bytes() != &line[CRC_AT..CRC_AT + CRC_WIDTH] {
        return damaged("its header is not laid out as it should be");
    }
    // In the one spelling that it is written in: from_str_radix takes capitals and a sign as well.
    let Some(crc) = parse_hex(&header.crc, CRC_WIDTH).and_then(|crc| u32::try_from(crc).ok()) else {
        return damaged("its checksum is not a number of 8 lower-case hexadecimal digits");
    };
    let message = Message {
        id: header.id,
        queue: header.queue,
        put_at: header.put_at,
        priority: header.priority,
        len_bytes: header.len,
        media_type: header.media_type,
        attributes: header.attrs,
        reply_to: header.reply_to,
        due: header.due.map(UnixSeconds),
        expires_at: header.expires_at,
        group: header.group,
        unique: header.unique,
        unique_until: header.unique_until.map(UnixSeconds),
    };
    Ok((message, crc))
}

fn crc_of<H: FileHandle>(file: &H, start: u64, len_bytes: u64) -> io::Result<u32> {
    let mut buffer = vec![0; CHUNK];
    let (mut crc, mut done) = (0, 0);
    while done < len_bytes {
        let want = usize::try_from(len_bytes - done).unwrap_or(CHUNK).min(CHUNK);
        let got = file.read_at(&mut buffer[..want], start + done)?;
        if got == 0 {
            break; // Shorter than a moment ago: the checksum will tell.
        }
        crc = crc32c::crc32c_append(crc, &buffer[..got]);
        done += got as u64;
    }
    Ok(crc)
}

/// A part of a file, read at its own position: the description's position belongs to whoever inherits it.
struct Window<H> {
    file: Arc<H>,
    start: u64,
    len_bytes: u64,
    position: u64,
}

impl<H: FileHandle> io::Read for Window<H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len_bytes.saturating_sub(self.position);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.file.read_at(&mut buffer[..want], self.start + self.position)?;
        if got < want {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the message file became shorter"));
        }
        self.position += got as u64;
        Ok(got)
    }
}

impl<H: FileHandle> io::Seek for Window<H> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.len_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// One entry of the delivery log. The newline in front ends a line that a dying writer left torn.
pub(crate) fn log_entry(failure: &Failure) -> Vec<u8> {
    let json = serde_json::to_vec(failure).unwrap_or_default();
    [b"\n", json.as_slice(), b"\n"].concat()
}

/// The delivery log behind a body; torn lines are passed over.
pub(crate) fn read_log<H: FileHandle>(file: &H, place: BodyPlace) -> io::Result<Vec<Failure>> {
    let end = file.status()?.len_bytes;
    let start = (place.start + place.len_bytes).max(end.saturating_sub(LOG_MAX));
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
    let got = file.read_at(&mut bytes, start)?;
    let lines = bytes[..got].split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i3_a_checksum_has_one_spelling() {
        let message = Message {
            id: MessageId::new(UnixMillis(1), &[0; 10]),
            queue: "jobs".parse().unwrap(),
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
        let good = Draft::new(&message).unwrap().finish(0, 0);
        let (_, crc) = parse_header(&good).unwrap();
        let spelled = |crc: &str| {
            let mut line = good.clone();
            line[CRC_AT..CRC_AT + CRC_WIDTH].copy_from_slice(crc.as_bytes());
            parse_header(&line)
        };
        assert_eq!(spelled("00abcdef").unwrap().1, 0xab_cdef);
        for other in [format!("{crc:08X}").replace(char::is_numeric, "A"), "+0abcdef".to_owned(), "00abcdeg".to_owned()]
        {
            assert!(spelled(&other).is_err(), "{other} was taken");
        }
    }
}
