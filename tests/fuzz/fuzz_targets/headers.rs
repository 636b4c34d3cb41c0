//! Message files: what is not byte for byte what was put is refused, and what is taken is what the header says.

#![no_main]

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use mq::domain::{Attributes, MessageId, Priority, UnixMillis, UnixSeconds};
use mq::fuzzing::{Record, read_record, write_record};
use mq::store::Message;
use mq::store::spool::fs::{FileHandle, Kind, Status};

/// A file in memory.
struct Memory(Cursor<Vec<u8>>);

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Memory {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("reading writes nothing")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl FileHandle for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = usize::try_from(offset).ok().and_then(|offset| self.0.get_ref().get(offset..)).unwrap_or(&[]);
        let len = buffer.len().min(bytes.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn status(&self) -> io::Result<Status> {
        Ok(Status {
            kind: Kind::File,
            len_bytes: self.0.get_ref().len() as u64,
            mode: 0o600,
            links: 1,
            modified: UnixMillis(0),
            owner: 0,
            group: 0,
            device: 0,
            inode: 0,
        })
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        panic!("reading writes nothing")
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        panic!("reading writes nothing")
    }

    fn set_mode(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn set_owner(&self, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn read(bytes: &[u8]) -> Option<Record> {
    read_record(Memory(Cursor::new(bytes.to_vec())))
}

/// Where the checksum stands, by mq-spool(5).
const CRC: std::ops::Range<usize> = 42..50;

/// What was taken is what the page of the format says.
fn check_taken(bytes: &[u8], record: &Record) {
    let header_len = 1 + bytes.iter().position(|byte| *byte == b'\n').expect("it has a header");
    let body_end = header_len + record.body.len();
    assert_eq!(record.message.len_bytes, record.body.len() as u64);
    assert_eq!(&bytes[header_len..body_end], record.body);
    let mut header = bytes[..header_len].to_vec();
    header[CRC].fill(b'0');
    let crc = crc32c::crc32c_append(crc32c::crc32c(&record.body), &header);
    assert_eq!(format!("{crc:08x}").as_bytes(), &bytes[CRC]);
    assert!(record.failures.is_empty() || body_end < bytes.len(), "a log where there is none");
    for end in [0, header_len - 1, body_end - 1] {
        assert!(read(&bytes[..end]).is_none(), "cut at {end}");
    }
    // Members that this version does not know are lost when it is written anew; nothing else is.
    if let Some(anew) = write_record(&record.message, &record.body) {
        let again = read(&anew).expect("what was written can be read");
        assert_eq!((&again.message, &again.body), (&record.message, &record.body));
        assert_eq!(write_record(&again.message, &again.body).expect("it fits"), anew);
    }
}

fn message(u: &mut Unstructured<'_>) -> arbitrary::Result<Message> {
    let mut attributes = Attributes::default();
    for _ in 0..u.int_in_range(0..=3)? {
        // What is no attribute is refused, and so is one too many.
        let _ = attributes.insert(<&str>::arbitrary(u)?, <&str>::arbitrary(u)?);
    }
    Ok(Message {
        id: MessageId::new(UnixMillis(u.arbitrary()?), &u.arbitrary()?),
        queue: <&str>::arbitrary(u)?.parse().unwrap_or_else(|_| "jobs".parse().expect("it is a name")),
        put_at: UnixMillis(u.arbitrary()?),
        priority: Priority::new(u.int_in_range(0..=9)?).expect("it is in range"),
        len_bytes: 0,
        media_type: <&str>::arbitrary(u)?.parse().ok(),
        attributes,
        reply_to: <&str>::arbitrary(u)?.parse().ok(),
        due: Option::<u64>::arbitrary(u)?.map(UnixSeconds),
        expires_at: Option::<u64>::arbitrary(u)?.map(UnixMillis),
        group: <&str>::arbitrary(u)?.parse().ok(),
        unique: <&str>::arbitrary(u)?.parse().ok(),
        unique_until: Option::<u64>::arbitrary(u)?.map(UnixSeconds),
    })
}

/// A file that was put is read as it was put; with a byte changed, or cut short, it is refused.
fn check_put(mut u: Unstructured<'_>) -> arbitrary::Result<()> {
    let (at, flip, log_len): (u32, u8, u8) = u.arbitrary()?;
    let message = message(&mut u)?;
    let rest = u.take_rest();
    let (log, body) = rest.split_at(usize::from(log_len).min(rest.len()));
    let Some(mut bytes) = write_record(&message, body) else { return Ok(()) };
    let put_len = bytes.len();
    bytes.extend_from_slice(log);
    let record = read(&bytes).expect("what was put can be read");
    assert_eq!(record.message, Message { len_bytes: body.len() as u64, ..message });
    assert_eq!(record.body, body);
    check_taken(&bytes, &record);
    let at = at as usize % bytes.len();
    bytes[at] ^= flip;
    assert_eq!(read(&bytes).is_some(), flip == 0 || at >= put_len, "byte {at} ^ {flip:#x}");
    bytes[at] ^= flip;
    assert_eq!(read(&bytes[..at]).is_some(), at >= put_len, "cut at {at}");
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    if let Some(record) = read(data) {
        check_taken(data, &record);
    }
    let _ = check_put(Unstructured::new(data));
});
