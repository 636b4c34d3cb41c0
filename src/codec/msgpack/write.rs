//! Writing Msgpack, which says how long an array or a map is before it begins.
//!
//! As long as the reader tells the count of every array and map as it begins, all goes straight out. One that does not
//! is *held*: what it contains gathers in one buffer, and the heads, its own and those inside, in a list beside it;
//! when the outermost such array or map ends, the two are merged into the output. Each byte is so moved once, where
//! buffers inside buffers would move it once per level.
//!
//! When the buffer is full it goes to a temporary file, with the heads that are known by then. The others stay in the list,
//! with their places in that file: those of the arrays and maps that are open, as many as there are levels each time. So
//! memory does not grow with the document, but by a few heads for each [`MOST_HELD_BYTES`].

use std::io::{Read as _, Seek as _, Write};

use rmp::encode::{self, ValueWriteError};

use super::super::event::{Care, Event, MAX_DEPTH, Number, Sink, SinkError};

/// Output is gathered into writes of this size.
const BLOCK_BYTES: usize = 64 * 1024;

/// What is held in memory of a document whose heads are not known.
const MOST_HELD_BYTES: usize = 4 << 20;

/// A writer of Msgpack.
pub(in super::super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    Binary { out, care, open: Vec::new(), heads: Vec::new(), late: 0, held: Vec::new(), spill: None }
}

struct Binary<'a> {
    out: &'a mut dyn Write,
    care: Care,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Open>,
    /// The heads that are not out, in the order of their places.
    heads: Vec<Head>,
    /// How many of them have their places in the spill.
    late: usize,
    /// What is not out, or in the spill.
    held: Vec<u8>,
    spill: Option<Spill>,
}

struct Open {
    is_map: bool,
    /// Values seen inside, keys among them.
    values: u64,
    /// What the reader said `values` will be, or which of the heads awaits it.
    promised: Result<u64, usize>,
}

struct Head {
    /// How many bytes of the spill, or of what is held, are before it.
    at: u64,
    is_map: bool,
    /// Elements or entries; `None` while it is open.
    count: Option<u32>,
}

struct Spill {
    file: std::fs::File,
    len_bytes: u64,
}

impl Binary<'_> {
    fn begin(&mut self, is_map: bool, count: Option<u64>) -> Result<(), SinkError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SinkError::too_deep());
        }
        let promised = if let Some(count) = count {
            write_head(&mut self.held, is_map, len_u32(count)?)?;
            Ok(if is_map { count * 2 } else { count })
        } else {
            self.heads.push(Head { at: self.held.len() as u64, is_map, count: None });
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
                self.heads[head].count = Some(len_u32(count)?);
                if head == 0 { self.merge() } else { Ok(()) }
            }
        }
    }

    /// Writes out what was held: all heads are known.
    fn merge(&mut self) -> Result<(), SinkError> {
        if let Some(Spill { mut file, len_bytes }) = self.spill.take() {
            let mut done = 0;
            file.rewind()?;
            for head in &self.heads[..self.late] {
                std::io::copy(&mut (&mut file).take(head.at - done), self.out)?;
                write_head(&mut self.out, head.is_map, head.count.unwrap_or_default())?;
                done = head.at;
            }
            std::io::copy(&mut (&mut file).take(len_bytes - done), self.out)?;
        }
        write_with_heads(&self.held, &self.heads[self.late..], &mut self.out)?;
        self.heads.clear();
        self.late = 0;
        self.held.clear();
        Ok(())
    }

    /// Moves what is held to the spill, but for the heads that are open.
    fn make_room(&mut self) -> Result<(), SinkError> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill { file: tempfile::tempfile()?, len_bytes: 0 }),
        };
        let mut bytes = Vec::with_capacity(self.held.len() + 5 * (self.heads.len() - self.late));
        let mut done = 0;
        let fresh = self.heads.split_off(self.late);
        // Those that are open, outermost first, are in the order of the list.
        let mut waiting = self.open.iter_mut().filter_map(|open| match &mut open.promised {
            Err(head) if *head >= self.late => Some(head),
            _ => None,
        });
        for head in fresh {
            let at = usize::try_from(head.at).unwrap_or(self.held.len());
            bytes.extend_from_slice(&self.held[done..at]);
            done = at;
            if let Some(count) = head.count {
                write_head(&mut bytes, head.is_map, count)?;
                continue;
            }
            if let Some(place) = waiting.next() {
                *place = self.heads.len();
            }
            self.heads.push(Head { at: spill.len_bytes + bytes.len() as u64, ..head });
        }
        bytes.extend_from_slice(&self.held[done..]);
        spill.file.write_all(&bytes)?;
        spill.len_bytes += bytes.len() as u64;
        self.late = self.heads.len();
        self.held.clear();
        Ok(())
    }

    fn number(&mut self, text: &str) -> Result<(), SinkError> {
        let to = &mut self.held;
        match self.care.number(text)? {
            Number::Unsigned(value) => encode::write_uint(to, value).map(drop).map_err(failed),
            Number::Signed(value) => encode::write_sint(to, value).map(drop).map_err(failed),
            Number::Float(value) => encode::write_f64(to, value).map_err(failed),
        }
    }

    fn write(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let to = &mut self.held;
        match event {
            Event::Null => encode::write_nil(to).map_err(SinkError::Io),
            Event::Bool(value) => encode::write_bool(to, value).map_err(SinkError::Io),
            Event::Unsigned(value) => encode::write_uint(to, value).map(drop).map_err(failed),
            Event::Signed(value) => encode::write_sint(to, value).map(drop).map_err(failed),
            Event::F32(value) => encode::write_f32(to, value).map_err(failed),
            Event::F64(value) => encode::write_f64(to, value).map_err(failed),
            Event::Number(text) => self.number(text),
            Event::Str(text) => {
                encode::write_str_len(to, len_u32(text.len() as u64)?).map_err(failed)?;
                to.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Event::Bytes(bytes) => {
                encode::write_bin_len(to, len_u32(bytes.len() as u64)?).map_err(failed)?;
                to.extend_from_slice(bytes);
                Ok(())
            }
            Event::Ext(kind, bytes) => {
                encode::write_ext_meta(to, len_u32(bytes.len() as u64)?, kind).map_err(failed)?;
                to.extend_from_slice(bytes);
                Ok(())
            }
            Event::BeginSeq(count) => self.begin(false, count),
            Event::BeginMap(count) => self.begin(true, count),
            Event::EndSeq | Event::EndMap => self.end(),
            Event::Tag(_) | Event::Simple(_) | Event::Undefined | Event::Datetime(_) => self.write_odd(event),
        }
    }

    #[cold]
    fn write_odd(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        self.care.plain(event)?.map_or(Ok(()), |event| self.write(event))
    }
}

impl Sink for Binary<'_> {
    #[inline]
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if !matches!(event, Event::EndSeq | Event::EndMap | Event::Tag(_))
            && let Some(around) = self.open.last_mut()
        {
            around.values += 1;
        }
        self.write(event)?;
        if self.heads.is_empty() && (self.held.len() >= BLOCK_BYTES || self.open.is_empty()) {
            self.out.write_all(&self.held)?;
            self.held.clear();
        } else if self.held.len() >= MOST_HELD_BYTES {
            self.make_room()?;
        }
        Ok(())
    }
}

fn write_with_heads(bytes: &[u8], heads: &[Head], to: &mut dyn Write) -> Result<(), SinkError> {
    let mut done = 0;
    for head in heads {
        let at = usize::try_from(head.at).unwrap_or(bytes.len());
        to.write_all(&bytes[done..at])?;
        write_head(to, head.is_map, head.count.unwrap_or_default())?;
        done = at;
    }
    Ok(to.write_all(&bytes[done..])?)
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
