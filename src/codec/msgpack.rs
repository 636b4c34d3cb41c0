//! `MessagePack`: read by `rmp-serde`, written by `rmp`.

use std::cell::{Cell, RefCell};
use std::io::{self, BufReader, Read, Write};

use rmp::Marker;
use rmp::encode::{self, ValueWriteError};
use rmp_serde::decode::Error;

use super::error::{CodecError, Place};
use super::event::{Care, Event, MAX_DEPTH, Number, Sink, SinkError};
use super::format::Format;
use super::transcode::{Aside, Feed};

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// Sends the one Msgpack document in `input` to `sink`.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), CodecError> {
    let here = Here::default();
    let mut feed = Feed::new(sink, &here);
    let metered = Metered { input: BufReader::with_capacity(BLOCK_BYTES, input), here: &here };
    let mut deserializer = rmp_serde::Deserializer::new(metered);
    feed.value(&mut deserializer).map_err(|error| explain(&error, feed.take_failure(), &here))?;

    // The document ended; whatever can be read now does not belong to it.
    let end = here.offset.get();
    match deserializer.get_mut().read_exact(&mut [0]) {
        Ok(()) => Err(data(end, "more bytes follow the document".to_owned())),
        Err(_) => match here.failure.take() {
            Some(failure) => Err(CodecError::Input(failure)),
            None => Ok(()),
        },
    }
}

fn data(offset: u64, reason: String) -> CodecError {
    CodecError::Data { format: Format::Msgpack, place: Place::Offset(offset), reason }
}

fn explain(error: &Error, failure: Option<SinkError>, here: &Here) -> CodecError {
    if let Some(failure) = here.failure.take() {
        return CodecError::Input(failure);
    }
    match failure {
        Some(SinkError::Io(failure)) => return CodecError::Output(failure),
        Some(SinkError::Refused(reason)) => return data(here.value_start.get(), reason),
        None => {}
    }
    match error {
        // The input itself did not fail, so there was too little of it.
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => match here.offset.get() {
            0 => data(0, "the body is empty, which is no Msgpack document".to_owned()),
            end => data(end, "the body ends before the document does".to_owned()),
        },
        Error::TypeMismatch(Marker::Reserved) => {
            data(here.value_start.get(), "the byte 0xc1 begins no value in Msgpack".to_owned())
        }
        other => data(here.value_start.get(), other.to_string()),
    }
}

/// Where the reader is.
#[derive(Default)]
struct Here {
    /// Bytes read.
    offset: Cell<u64>,
    /// The next byte read is the first of a value.
    value_begins: Cell<bool>,
    /// Where the value begins that was begun last.
    value_start: Cell<u64>,
    /// The first byte of that value.
    value_lead: Cell<u8>,
    /// Why the input could not be read.
    failure: RefCell<Option<io::Error>>,
}

impl Aside for Here {
    fn value_begins(&self) {
        self.value_begins.set(true);
    }

    /// `rmp-serde` visits a string that is not valid UTF-8 as bytes; only its first byte tells it from a bin.
    fn bytes_are_text(&self) -> bool {
        matches!(
            Marker::from_u8(self.value_lead.get()),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32
        )
    }
}

/// The input, with its place and its failure kept aside. `rmp-serde` reads no byte before it needs it.
struct Metered<'a> {
    input: BufReader<&'a mut dyn Read>,
    here: &'a Here,
}

impl Read for Metered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let here = self.here;
        match self.input.read(buf) {
            Ok(len) => {
                if let Some(&lead) = buf[..len].first()
                    && here.value_begins.take()
                {
                    here.value_lead.set(lead);
                    here.value_start.set(here.offset.get());
                }
                here.offset.set(here.offset.get() + len as u64);
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                here.failure.replace(Some(error));
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

/// A writer of Msgpack.
pub(super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    Binary { out, care, open: Vec::new(), heads: Vec::new(), held: Vec::new() }
}

/// Writes events as Msgpack.
///
/// As long as the reader tells the count of every array and map as it begins, all goes straight out. One that does not
/// is *held*: what it contains gathers in one buffer, and the heads, its own and those inside, in a list beside it;
/// when the outermost such array or map ends, the two are merged into the output. Each byte is so moved once, where
/// buffers inside buffers would move it once per level.
struct Binary<'a> {
    out: &'a mut dyn Write,
    care: Care,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Open>,
    /// The heads to be put into `held`, in the order of their places.
    heads: Vec<Head>,
    held: Vec<u8>,
}

struct Open {
    is_map: bool,
    /// Values seen inside, keys among them.
    values: u64,
    /// What the reader said `values` will be, or which of the heads awaits it.
    promised: Result<u64, usize>,
}

struct Head {
    /// The length of `held` when this head was due.
    at: usize,
    is_map: bool,
    /// Elements or entries.
    count: u32,
}

impl Binary<'_> {
    /// Where the next bytes go.
    fn to(&mut self) -> &mut dyn Write {
        if self.heads.is_empty() { &mut *self.out } else { &mut self.held }
    }

    fn begin(&mut self, is_map: bool, count: Option<u64>) -> Result<(), SinkError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SinkError::too_deep());
        }
        let promised = if let Some(count) = count {
            write_head(&mut self.to(), is_map, len_u32(count)?)?;
            Ok(if is_map { count * 2 } else { count })
        } else {
            self.heads.push(Head { at: self.held.len(), is_map, count: 0 });
            Err(self.heads.len() - 1)
        };
        self.open.push(Open { is_map, values: 0, promised });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SinkError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        match open.promised {
            Ok(promised) if promised == open.values => Ok(()),
            // The head is out already; better to fail than to write a document that says another thing.
            Ok(_) => Err(SinkError::Refused("an array or map is not as long as it claims".to_owned())),
            Err(head) => {
                let count = if open.is_map { open.values / 2 } else { open.values };
                self.heads[head].count = len_u32(count)?;
                if head == 0 { self.merge() } else { Ok(()) }
            }
        }
    }

    /// Writes out what was held.
    fn merge(&mut self) -> Result<(), SinkError> {
        let mut done = 0;
        for head in &self.heads {
            self.out.write_all(&self.held[done..head.at])?;
            write_head(&mut self.out, head.is_map, head.count)?;
            done = head.at;
        }
        self.out.write_all(&self.held[done..])?;
        self.heads.clear();
        self.held.clear();
        Ok(())
    }

    fn number(&mut self, text: &str) -> Result<(), SinkError> {
        let number = self.care.number(text)?;
        let mut to = self.to();
        match number {
            Number::Unsigned(value) => encode::write_uint(&mut to, value).map(drop).map_err(failed),
            Number::Signed(value) => encode::write_sint(&mut to, value).map(drop).map_err(failed),
            Number::Float(value) => encode::write_f64(&mut to, value).map_err(failed),
        }
    }
}

impl Sink for Binary<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Some(event) = self.care.plain(event)? else { return Ok(()) };
        if !matches!(event, Event::EndSeq | Event::EndMap)
            && let Some(around) = self.open.last_mut()
        {
            around.values += 1;
        }
        let mut to = self.to();
        match event {
            Event::Null => encode::write_nil(&mut to).map_err(SinkError::Io),
            Event::Bool(value) => encode::write_bool(&mut to, value).map_err(SinkError::Io),
            Event::Unsigned(value) => encode::write_uint(&mut to, value).map(drop).map_err(failed),
            Event::Signed(value) => encode::write_sint(&mut to, value).map(drop).map_err(failed),
            Event::F32(value) => encode::write_f32(&mut to, value).map_err(failed),
            Event::F64(value) => encode::write_f64(&mut to, value).map_err(failed),
            Event::Number(text) => self.number(text),
            Event::Str(text) => {
                encode::write_str_len(&mut to, len_u32(text.len() as u64)?).map_err(failed)?;
                Ok(to.write_all(text.as_bytes())?)
            }
            Event::Bytes(bytes) => {
                encode::write_bin_len(&mut to, len_u32(bytes.len() as u64)?).map_err(failed)?;
                Ok(to.write_all(bytes)?)
            }
            Event::Ext(kind, bytes) => {
                encode::write_ext_meta(&mut to, len_u32(bytes.len() as u64)?, kind).map_err(failed)?;
                Ok(to.write_all(bytes)?)
            }
            Event::BeginSeq(count) => self.begin(false, count),
            Event::BeginMap(count) => self.begin(true, count),
            Event::EndSeq | Event::EndMap => self.end(),
            Event::Tag(_) | Event::Simple(_) | Event::Undefined => Ok(()),
        }
    }
}

fn write_head(mut to: &mut dyn Write, is_map: bool, count: u32) -> Result<(), SinkError> {
    if is_map { encode::write_map_len(&mut to, count) } else { encode::write_array_len(&mut to, count) }
        .map(drop)
        .map_err(failed)
}

/// Msgpack counts bytes, elements and entries in 32 bits.
fn len_u32(len: u64) -> Result<u32, SinkError> {
    u32::try_from(len)
        .map_err(|_| SinkError::Refused(format!("a length of {len} is more than Msgpack can hold (4294967295)")))
}

fn failed(error: ValueWriteError) -> SinkError {
    SinkError::Io(error.into())
}
