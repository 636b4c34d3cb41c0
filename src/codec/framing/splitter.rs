//! Taking messages out of a stream.

use std::io::{self, Read};

use super::{Framing, FramingError};

/// The most digits of a length; the largest such length still fits in 64 bits.
const MAX_DIGITS: usize = 19;

/// Bytes read from a stream at once while a length prefix is awaited.
const PREFIX_BLOCK_BYTES: usize = 32;

/// Takes messages from a byte stream that arrives piece by piece.
///
/// ```
/// use mq::codec::framing::{Framing, Splitter};
///
/// let mut splitter = Splitter::new(Framing::Lines);
/// splitter.push(b"one\ntw");
/// assert_eq!(splitter.next_frame().unwrap().unwrap(), b"one");
/// assert!(splitter.next_frame().unwrap().is_none());
/// splitter.push(b"o");
/// assert_eq!(splitter.finish().unwrap().unwrap(), b"two");
/// assert!(splitter.finish().unwrap().is_none());
/// ```
///
/// An error means that the stream is out of step: it takes nothing off the stream, and every later call fails too.
#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    buffer: Vec<u8>,
    /// Where the bytes begin that were not handed out.
    start: usize,
    /// Up to where no delimiter is; at least `start`.
    scanned: usize,
    /// The bytes left of a netstring whose prefix was taken off, its comma not counted.
    body_left: Option<u64>,
    /// Whether a [`FrameReader`] has handed out a part of the current message.
    streaming: bool,
    /// Messages handed out.
    frames: u64,
}

impl Splitter {
    /// A splitter at the beginning of a stream.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Splitter { framing, buffer: Vec::new(), start: 0, scanned: 0, body_left: None, streaming: false, frames: 0 }
    }

    /// Appends bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        // Only once the dead bytes are the larger part, so that each byte is moved once on average.
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, if all of it has arrived.
    ///
    /// # Errors
    ///
    /// The stream is not framed so, or the message before was begun with [`Splitter::stream_frame`] and not read to
    /// its end.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        if self.streaming {
            return Err(FramingError::Unfinished { frame: self.frame() });
        }
        match self.framing.delimiter() {
            Some(delimiter) => Ok(self.find(delimiter).map(|end| self.hand_out(end))),
            None => self.next_netstring(),
        }
    }

    /// At the end of the stream: the messages that are left, one per call, then `None`.
    ///
    /// The bytes after the last delimiter are a message, unless there are none.
    ///
    /// # Errors
    ///
    /// Those of [`Splitter::next_frame`], and [`FramingError::Truncated`] inside a netstring.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        if let Some(frame) = self.next_frame()? {
            return Ok(Some(frame));
        }
        if self.buffered() == 0 && self.body_left.is_none() {
            return Ok(None);
        }
        match self.framing.delimiter() {
            Some(_) => Ok(Some(self.hand_out(self.buffer.len()))),
            None => Err(FramingError::Truncated { frame: self.frame() }),
        }
    }

    /// The number of bytes that have arrived and not been handed out: after [`Splitter::next_frame`] returned `None`,
    /// those of the unfinished message.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Reads the current message without holding it whole: what has arrived of it, then what `rest` brings.
    ///
    /// For a message that [`Splitter::next_frame`] cannot complete and whose bytes grow too many. Bytes of `rest`
    /// beyond the message stay in the splitter, which goes on as usual once the reader has returned 0. Before that,
    /// only another call of this function goes on with the message. The end of `rest` ends a message by delimiter
    /// (an empty one, if nothing was left: so call this only with a message at hand); inside a netstring it is an
    /// error of the kind `UnexpectedEof`. Other errors of framing are of the kind `InvalidData`; both wrap a
    /// [`FramingError`].
    pub fn stream_frame<'a>(&'a mut self, rest: &'a mut dyn Read) -> FrameReader<'a> {
        self.streaming = true;
        FrameReader { splitter: self, rest, ended: false }
    }

    /// The number of the current message, from 1.
    fn frame(&self) -> u64 {
        self.frames + 1
    }

    /// Where the current message ends, if its delimiter has arrived.
    fn find(&mut self, delimiter: u8) -> Option<usize> {
        let found = memchr::memchr(delimiter, &self.buffer[self.scanned..]);
        self.scanned = found.map_or(self.buffer.len(), |at| self.scanned + at);
        found.map(|_| self.scanned)
    }

    /// Takes the message up to `end` out, and the byte that follows it, if one does.
    fn hand_out(&mut self, end: usize) -> Vec<u8> {
        let frame = self.buffer[self.start..end].to_vec();
        self.start = end;
        self.end_frame();
        frame
    }

    /// Takes the byte after the current message off, if there is one.
    fn end_frame(&mut self) {
        self.start = self.buffer.len().min(self.start + 1);
        self.scanned = self.start;
        self.body_left = None;
        self.streaming = false;
        self.frames += 1;
    }

    fn next_netstring(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        let Some(left) = self.take_prefix()? else {
            return Ok(None);
        };
        // What does not fit in memory has not all arrived either.
        let end = usize::try_from(left).ok().and_then(|left| self.start.checked_add(left));
        let Some((end, &byte)) = end.and_then(|end| Some((end, self.buffer.get(end)?))) else {
            return Ok(None);
        };
        self.check_comma(byte)?;
        Ok(Some(self.hand_out(end)))
    }

    fn check_comma(&self, byte: u8) -> Result<(), FramingError> {
        if byte == b',' { Ok(()) } else { Err(FramingError::MissingComma { frame: self.frame(), byte }) }
    }

    /// Takes the length prefix off the current message, unless that is done; `None` if it has not all arrived.
    fn take_prefix(&mut self) -> Result<Option<u64>, FramingError> {
        if self.body_left.is_some() {
            return Ok(self.body_left);
        }
        let frame = self.frame();
        let mut length = 0;
        for (digits, &byte) in self.buffer[self.start..].iter().enumerate() {
            match byte {
                b':' if digits > 0 => {
                    self.start += digits + 1;
                    self.scanned = self.start;
                    self.body_left = Some(length);
                    return Ok(self.body_left);
                }
                b'0'..=b'9' if digits == 1 && length == 0 => return Err(FramingError::LeadingZero { frame }),
                b'0'..=b'9' if digits == MAX_DIGITS => return Err(FramingError::LengthTooLong { frame }),
                b'0'..=b'9' => length = length * 10 + u64::from(byte - b'0'),
                _ => return Err(FramingError::NotALength { frame, byte }),
            }
        }
        Ok(None)
    }
}

/// A reader of one message: see [`Splitter::stream_frame`].
pub struct FrameReader<'a> {
    splitter: &'a mut Splitter,
    rest: &'a mut dyn Read,
    ended: bool,
}

impl FrameReader<'_> {
    fn end(&mut self) -> usize {
        self.ended = true;
        self.splitter.end_frame();
        0
    }

    /// Hands out bytes of the splitter, up to the index `end`.
    fn take_buffered(&mut self, end: usize, buf: &mut [u8]) -> usize {
        let splitter = &mut *self.splitter;
        let len = buf.len().min(end - splitter.start);
        buf[..len].copy_from_slice(&splitter.buffer[splitter.start..splitter.start + len]);
        splitter.start += len;
        splitter.scanned = splitter.scanned.max(splitter.start);
        len
    }

    fn read_delimited(&mut self, delimiter: u8, buf: &mut [u8]) -> io::Result<usize> {
        let splitter = &mut *self.splitter;
        if splitter.buffered() > 0 {
            if splitter.start == splitter.scanned {
                splitter.find(delimiter);
            }
            return Ok(match self.take_buffered(self.splitter.scanned, buf) {
                0 => self.end(),
                len => len,
            });
        }
        let len = self.rest.read(buf)?;
        let Some(at) = memchr::memchr(delimiter, &buf[..len]) else {
            return Ok(if len == 0 { self.end() } else { len });
        };
        // The delimiter goes back too: it is taken off by the next call, after the bytes before it.
        self.splitter.push(&buf[at..len]);
        self.splitter.scanned = self.splitter.start;
        Ok(if at == 0 { self.end() } else { at })
    }

    fn read_netstring(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = loop {
            if let Some(left) = self.splitter.take_prefix().map_err(invalid)? {
                break left;
            }
            self.fetch(PREFIX_BLOCK_BYTES)?;
        };
        if left == 0 {
            if self.splitter.buffered() == 0 {
                self.fetch(1)?;
            }
            self.splitter.check_comma(self.splitter.buffer[self.splitter.start]).map_err(invalid)?;
            return Ok(self.end());
        }
        let most = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let buf = &mut buf[..most];
        let len = if self.splitter.buffered() > 0 {
            self.take_buffered(self.splitter.buffer.len(), buf)
        } else {
            match self.rest.read(buf)? {
                0 => return Err(self.truncated()),
                len => len,
            }
        };
        self.splitter.body_left = Some(left - len as u64);
        Ok(len)
    }

    /// Brings some bytes of the rest into the splitter, at least one and at most `most`.
    fn fetch(&mut self, most: usize) -> io::Result<()> {
        let mut block = [0; PREFIX_BLOCK_BYTES];
        match self.rest.read(&mut block[..most])? {
            0 => Err(self.truncated()),
            len => {
                self.splitter.push(&block[..len]);
                Ok(())
            }
        }
    }

    fn truncated(&self) -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, FramingError::Truncated { frame: self.splitter.frame() })
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.ended {
            return Ok(0);
        }
        match self.splitter.framing.delimiter() {
            Some(delimiter) => self.read_delimited(delimiter, buf),
            None => self.read_netstring(buf),
        }
    }
}

fn invalid(error: FramingError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
