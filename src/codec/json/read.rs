//! Reading JSON (RFC 8259), exactly and in pieces.
//!
//! `serde_json` reads a number into a `u64`, an `i64` or, without a word, an `f64`: the spelling is lost, and a large
//! integer with it. Its feature `arbitrary_precision` would keep both, but features hold for a whole build, and it passes
//! numbers as maps of a magic key that a body may hold too. Hiding the numbers from it costs a call for each byte: 79 MB/s
//! where this reads several hundred. So JSON is taken apart here; that it is the same JSON is held against `serde_json`, by
//! random texts and by the fuzzer, and against the public suite.
//!
//! Invariants: no recursion, so no depth costs stack; a string or a number lies in the block, or, where it has escapes or
//! crosses a block, in one buffer beside it; nothing else is kept. Lines are counted in white space only: a string has no
//! line feeds.

use std::io::{self, Read};
use std::ops::Range;

use super::super::error::{CodecError, Place};
use super::super::event::{Event, MAX_DEPTH, Sink, SinkError};
use super::super::format::Format;

/// Bytes asked of the input at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// A string up to this size is looked through byte by byte.
const SHORT_BYTES: usize = 48;

/// Whether a byte is none of those that a string has as they are.
const ENDS_A_RUN: [bool; 256] = {
    let mut ends = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        ends[control] = true;
        control += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

/// A marker nests two levels deeper than what it stands for.
const MOST_OPEN: usize = MAX_DEPTH + 2;

/// Sends the one JSON document in `input` to `sink`.
pub(super) fn document<S: Sink>(input: &mut dyn Read, sink: &mut S) -> Result<(), CodecError> {
    Reader::new(input).document(sink).map_err(|error| *error)
}

/// Sends the JSON documents in `input` to `sink` as one array, whatever white space is between them.
pub(super) fn documents<S: Sink>(input: &mut dyn Read, sink: &mut S) -> Result<(), CodecError> {
    Reader::new(input).documents(sink).map_err(|error| *error)
}

/// What each step of the reader gives. The error is boxed, since a large one would make every step slower.
type Taken<T> = Result<T, Box<CodecError>>;

struct Reader<'i> {
    input: &'i mut dyn Read,
    /// What was read last, as far as it is UTF-8: that is found out once for all of it, and not for each string.
    block: String,
    /// What came after that: the beginning of a character that the next block ends, or what is no UTF-8.
    rest: Vec<u8>,
    /// The bytes of the block that have not been looked at.
    unread: Range<usize>,
    /// Bytes before the block.
    before: u64,
    /// The line, from 1, and how many bytes are before it.
    line: usize,
    line_start: u64,
    /// Where the scalar began that was read last.
    scalar_start: u64,
    /// A string or a number that does not lie in the block as it is.
    scratch: String,
    /// The arrays and maps begun and not ended, outermost first: whether each is a map.
    open: Vec<bool>,
}

/// Where the bytes of a scalar are.
enum Bytes {
    Block(Range<usize>),
    Scratch,
}

impl<'i> Reader<'i> {
    fn new(input: &'i mut dyn Read) -> Self {
        Self {
            input,
            block: String::new(),
            rest: Vec::new(),
            unread: 0..0,
            before: 0,
            line: 1,
            line_start: 0,
            scalar_start: 0,
            scratch: String::new(),
            open: Vec::new(),
        }
    }

    fn document<S: Sink>(&mut self, sink: &mut S) -> Taken<()> {
        if self.skip_white()?.is_none() {
            return self.bad("the body is empty, which is no JSON document");
        }
        self.value(sink)?;
        match self.skip_white()? {
            Some(_) => self.bad("more follows the document"),
            None => Ok(()),
        }
    }

    fn documents<S: Sink>(&mut self, sink: &mut S) -> Taken<()> {
        self.send(sink, Event::BeginSeq(None))?;
        while self.skip_white()?.is_some() {
            self.value(sink)?;
        }
        self.send(sink, Event::EndSeq)
    }

    /// Sends one value, whatever it contains.
    fn value<S: Sink>(&mut self, sink: &mut S) -> Taken<()> {
        loop {
            // A value is due, and what it begins with is next.
            let is_whole = match self.skip_white()? {
                Some(b'{') => self.begin_map(sink)?,
                Some(b'[') => self.begin_seq(sink)?,
                Some(b'"') => {
                    let text = self.string()?;
                    self.send(sink, Event::Str(self.text(&text)))?;
                    true
                }
                Some(b'-' | b'0'..=b'9') => {
                    let number = self.number()?;
                    self.send(sink, Event::Number(self.text(&number)))?;
                    true
                }
                Some(b'n') => self.literal(sink, b"null", Event::Null)?,
                Some(b't') => self.literal(sink, b"true", Event::Bool(true))?,
                Some(b'f') => self.literal(sink, b"false", Event::Bool(false))?,
                Some(_) => return self.bad("a value is expected"),
                None => return self.ends_early(),
            };
            if is_whole && self.close(sink)? {
                return Ok(());
            }
        }
    }

    fn begin_seq<S: Sink>(&mut self, sink: &mut S) -> Taken<bool> {
        self.begin(sink, false)?;
        if self.skip_white()? != Some(b']') {
            return Ok(false);
        }
        self.end(sink, Event::EndSeq)?;
        Ok(true)
    }

    fn begin_map<S: Sink>(&mut self, sink: &mut S) -> Taken<bool> {
        self.begin(sink, true)?;
        if self.skip_white()? != Some(b'}') {
            self.key(sink)?;
            return Ok(false);
        }
        self.end(sink, Event::EndMap)?;
        Ok(true)
    }

    fn begin<S: Sink>(&mut self, sink: &mut S, is_map: bool) -> Taken<()> {
        self.scalar_start = self.offset();
        if self.open.len() == MOST_OPEN {
            return self.refused(SinkError::too_deep());
        }
        self.unread.start += 1;
        self.open.push(is_map);
        self.send(sink, if is_map { Event::BeginMap(None) } else { Event::BeginSeq(None) })
    }

    fn end<S: Sink>(&mut self, sink: &mut S, event: Event<'_>) -> Taken<()> {
        self.unread.start += 1;
        self.open.pop();
        self.send(sink, event)
    }

    /// A value is whole: goes on to where the next one is due. Returns whether none is.
    fn close<S: Sink>(&mut self, sink: &mut S) -> Taken<bool> {
        while let Some(is_map) = self.open.last().copied() {
            match (self.skip_white()?, is_map) {
                (Some(b','), false) => {
                    self.unread.start += 1;
                    return Ok(false);
                }
                (Some(b','), true) => {
                    self.unread.start += 1;
                    self.skip_white()?;
                    self.key(sink)?;
                    return Ok(false);
                }
                (Some(b']'), false) => self.end(sink, Event::EndSeq)?,
                (Some(b'}'), true) => self.end(sink, Event::EndMap)?,
                (Some(_), false) => return self.bad("`,` or `]` is expected after an element"),
                (Some(_), true) => return self.bad("`,` or `}` is expected after a value"),
                (None, _) => return self.ends_early(),
            }
        }
        Ok(true)
    }

    /// Sends a key, and passes the colon after it.
    fn key<S: Sink>(&mut self, sink: &mut S) -> Taken<()> {
        match self.peek()? {
            Some(b'"') => {}
            Some(_) => return self.bad("a key is expected, and a key is a string"),
            None => return self.ends_early(),
        }
        let text = self.string()?;
        self.send(sink, Event::Str(self.text(&text)))?;
        match self.skip_white()? {
            Some(b':') => {
                self.unread.start += 1;
                Ok(())
            }
            Some(_) => self.bad("`:` is expected after a key"),
            None => self.ends_early(),
        }
    }

    fn literal<S: Sink>(&mut self, sink: &mut S, word: &[u8], event: Event<'_>) -> Taken<bool> {
        self.scalar_start = self.offset();
        for expected in word {
            match self.peek()? {
                Some(byte) if byte == *expected => self.unread.start += 1,
                Some(_) => return self.bad(&format!("`{}` is expected", String::from_utf8_lossy(word))),
                None => return self.ends_early(),
            }
        }
        self.send(sink, event)?;
        Ok(true)
    }

    /// Reads a string from its quotation mark on.
    fn string(&mut self) -> Taken<Bytes> {
        self.scalar_start = self.offset();
        self.unread.start += 1;
        let rest = &self.block.as_bytes()[self.unread.clone()];
        // Most are short.
        let short = &rest[..rest.len().min(SHORT_BYTES)];
        if let Some(len) = short.iter().position(|byte| ENDS_A_RUN[usize::from(*byte)])
            && rest[len] == b'"'
        {
            let begin = self.unread.start;
            self.unread.start += len + 1;
            return Ok(Bytes::Block(begin..begin + len));
        }
        if let Some(len) = memchr::memchr2(b'"', b'\\', rest)
            && rest[len] == b'"'
        {
            self.check_printable(len)?;
            let begin = self.unread.start;
            self.unread.start += len + 1;
            return Ok(Bytes::Block(begin..begin + len));
        }
        self.scratch.clear();
        loop {
            let rest = &self.block.as_bytes()[self.unread.clone()];
            let len = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            self.check_printable(len)?;
            self.scratch.push_str(&self.block[self.unread.start..self.unread.start + len]);
            self.unread.start += len;
            match self.peek()? {
                Some(b'"') => {
                    self.unread.start += 1;
                    return Ok(Bytes::Scratch);
                }
                Some(b'\\') => {
                    self.unread.start += 1;
                    self.escape()?;
                }
                // The next block goes on.
                Some(_) => {}
                None => return self.ends_early(),
            }
        }
    }

    /// A string has no control characters, but as escapes.
    fn check_printable(&mut self, len: usize) -> Taken<()> {
        let text = &self.block.as_bytes()[self.unread.start..self.unread.start + len];
        let Some(at) = text.iter().position(|byte| *byte < 0x20) else { return Ok(()) };
        self.unread.start += at;
        self.bad("a control character stands in a string, where it has to be an escape")
    }

    fn escape(&mut self) -> Taken<()> {
        let Some(byte) = self.peek()? else { return self.ends_early() };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.unread.start += 1;
                return self.unicode_escape();
            }
            _ => return self.bad("this is no escape: one of \" \\ / b f n r t u follows a backslash"),
        };
        self.unread.start += 1;
        self.scratch.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Taken<()> {
        let first = self.four_digits()?;
        let code = match first {
            0xd800..=0xdbff => {
                for expected in [b'\\', b'u'] {
                    match self.peek()? {
                        Some(byte) if byte == expected => self.unread.start += 1,
                        Some(_) => return self.bad(HALF),
                        None => return self.ends_early(),
                    }
                }
                match self.four_digits()? {
                    second @ 0xdc00..=0xdfff => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return self.bad(HALF),
                }
            }
            code => code,
        };
        let Some(character) = char::from_u32(code) else { return self.bad(HALF) };
        self.scratch.push(character);
        Ok(())
    }

    fn four_digits(&mut self) -> Taken<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(byte) = self.peek()? else { return self.ends_early() };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return self.bad("four hexadecimal digits follow \\u");
            };
            self.unread.start += 1;
            value = value << 4 | digit;
        }
        Ok(value)
    }

    /// Reads a number from its first byte on.
    fn number(&mut self) -> Taken<Bytes> {
        self.scalar_start = self.offset();
        let run = |bytes: &[u8]| bytes.iter().take_while(|byte| is_in_number(**byte)).count();
        let len = run(&self.block.as_bytes()[self.unread.clone()]);
        let bytes = if len < self.unread.len() {
            let begin = self.unread.start;
            self.unread.start += len;
            Bytes::Block(begin..begin + len)
        } else {
            self.scratch.clear();
            while self.peek()?.is_some_and(is_in_number) {
                let len = run(&self.block.as_bytes()[self.unread.clone()]);
                self.scratch.push_str(&self.block[self.unread.start..self.unread.start + len]);
                self.unread.start += len;
            }
            Bytes::Scratch
        };
        match misspelled(self.text(&bytes).as_bytes()) {
            None => Ok(bytes),
            Some(at) if at < self.text(&bytes).len() => {
                self.bad_at(self.scalar_start + at as u64, "this is no part of a number")
            }
            Some(_) if self.peek()?.is_none() => self.ends_early(),
            Some(_) => self.bad("a digit is expected"),
        }
    }

    fn text(&self, bytes: &Bytes) -> &str {
        match bytes {
            Bytes::Block(range) => &self.block[range.clone()],
            Bytes::Scratch => &self.scratch,
        }
    }

    #[inline]
    fn send<S: Sink>(&self, sink: &mut S, event: Event<'_>) -> Taken<()> {
        sink.accept(event).or_else(|error| self.refused(error))
    }

    fn refused<T>(&self, error: SinkError) -> Taken<T> {
        match error {
            SinkError::Io(error) => Err(Box::new(CodecError::Output(error))),
            SinkError::Refused(reason) => self.bad_at(self.scalar_start, &reason),
        }
    }

    /// Passes white space, and says what is next.
    #[inline]
    fn skip_white(&mut self) -> Taken<Option<u8>> {
        match &self.block.as_bytes()[self.unread.clone()] {
            [byte, ..] if *byte > b' ' => Ok(Some(*byte)),
            [b' ', byte, ..] if *byte > b' ' => {
                let byte = *byte;
                self.unread.start += 1;
                Ok(Some(byte))
            }
            _ => self.skip_white_slowly(),
        }
    }

    fn skip_white_slowly(&mut self) -> Taken<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r') => self.unread.start += 1,
                Some(b'\n') => {
                    self.unread.start += 1;
                    self.line += 1;
                    self.line_start = self.offset();
                }
                other => return Ok(other),
            }
        }
    }

    /// The next byte of the input, left where it is.
    #[inline]
    fn peek(&mut self) -> Taken<Option<u8>> {
        if self.unread.is_empty() {
            self.refill()?;
        }
        Ok(self.block.as_bytes().get(self.unread.start).copied())
    }

    #[cold]
    fn refill(&mut self) -> Taken<()> {
        self.before = self.offset();
        self.unread = 0..0;
        let mut bytes = std::mem::take(&mut self.block).into_bytes();
        bytes.clear();
        bytes.append(&mut self.rest);
        loop {
            let known = bytes.len();
            bytes.resize(BLOCK_BYTES, 0);
            let len = self.read(&mut bytes[known..])?;
            bytes.truncate(known + len);
            match String::from_utf8(bytes) {
                Ok(block) => self.block = block,
                Err(error) => {
                    let (valid, is_begun) =
                        (error.utf8_error().valid_up_to(), error.utf8_error().error_len().is_none());
                    bytes = error.into_bytes();
                    if valid == 0 && is_begun && len > 0 {
                        continue;
                    }
                    if valid == 0 {
                        return self.bad("this is not valid UTF-8");
                    }
                    self.rest = bytes.split_off(valid);
                    self.block = String::from_utf8(bytes).unwrap_or_default();
                }
            }
            self.unread = 0..self.block.len();
            return Ok(());
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Taken<usize> {
        loop {
            match self.input.read(buffer) {
                Ok(len) => return Ok(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Box::new(CodecError::Input(error))),
            }
        }
    }

    /// Bytes that have been looked at.
    fn offset(&self) -> u64 {
        self.before + self.unread.start as u64
    }

    /// The next byte is wrong.
    fn bad<T>(&self, reason: &str) -> Taken<T> {
        self.bad_at(self.offset(), reason)
    }

    fn ends_early<T>(&self) -> Taken<T> {
        self.bad_at(self.offset().saturating_sub(1), "the body ends before the document does")
    }

    #[cold]
    fn bad_at<T>(&self, offset: u64, reason: &str) -> Taken<T> {
        let column = usize::try_from(offset.saturating_sub(self.line_start)).unwrap_or(usize::MAX).saturating_add(1);
        let place = Place::LineColumn { line: self.line, column };
        Err(Box::new(CodecError::Data { format: Format::Json, place, reason: reason.to_owned() }))
    }
}

const HALF: &str = "half of a surrogate pair is no character";

fn is_in_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')
}

/// The place of the first byte that does not go on a number by RFC 8259, section 6, or that is missing.
fn misspelled(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 {
        return Some(at);
    }
    if text[at] == b'0' && whole > 1 {
        return Some(at + 1);
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return Some(at + 1);
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return Some(at);
        }
        at += exponent;
    }
    (at < text.len()).then_some(at)
}
