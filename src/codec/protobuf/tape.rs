//! A document held as a run of events: its fields may come in any order, and the bytes of a message begin with its length.

use super::super::event::{Care, Event, MAX_DEPTH, SinkError};

/// A piece of the document. Texts and bytes are kept beside it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    /// A number in the grammar of JSON.
    Number(Run),
    Str(Run),
    Bytes(Run),
    /// An array or a map, and the place of its end.
    Seq(u32),
    Map(u32),
    End,
}

/// A part of the text of a [`Tape`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    start: u32,
    len: u32,
}

#[derive(Default)]
pub(in super::super) struct Tape {
    tokens: Vec<Token>,
    text: Vec<u8>,
    /// The places of the arrays and maps begun and not ended.
    open: Vec<usize>,
}

impl Tape {
    pub(in super::super) fn push(&mut self, event: Event<'_>, care: Care) -> Result<(), SinkError> {
        let Some(event) = care.plain(event)? else { return Ok(()) };
        let token = match event {
            Event::Bool(value) => Token::Bool(value),
            Event::Unsigned(value) => Token::Unsigned(value),
            Event::Signed(value) => Token::Signed(value),
            Event::F32(value) => Token::F32(value),
            Event::F64(value) => Token::F64(value),
            Event::Number(text) => Token::Number(self.keep(text.as_bytes())?),
            Event::Str(text) | Event::Datetime(text) => Token::Str(self.keep(text.as_bytes())?),
            Event::Bytes(bytes) => Token::Bytes(self.keep(bytes)?),
            Event::Ext(kind, _) => {
                return Err(SinkError::Refused(format!("Protobuf has no form for an ext of Msgpack (type {kind})")));
            }
            Event::BeginSeq(_) | Event::BeginMap(_) => {
                if self.open.len() == MAX_DEPTH {
                    return Err(SinkError::too_deep());
                }
                self.open.push(self.tokens.len());
                if matches!(event, Event::BeginSeq(_)) { Token::Seq(0) } else { Token::Map(0) }
            }
            Event::EndSeq | Event::EndMap => {
                let end = u32::try_from(self.tokens.len()).map_err(|_| too_long())?;
                if let Some(Token::Seq(to) | Token::Map(to)) = self.open.pop().and_then(|at| self.tokens.get_mut(at)) {
                    *to = end;
                }
                Token::End
            }
            Event::Null | Event::Tag(_) | Event::Simple(_) | Event::Undefined => Token::Null,
        };
        self.tokens.push(token);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Run, SinkError> {
        let too_long = |_| too_long();
        let start = u32::try_from(self.text.len()).map_err(too_long)?;
        let len = u32::try_from(bytes.len()).map_err(too_long)?;
        self.text.extend_from_slice(bytes);
        Ok(Run { start, len })
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(in super::super) fn clear(&mut self) {
        self.tokens.clear();
        self.text.clear();
    }

    /// Whether it holds one whole value.
    pub(in super::super) fn is_whole(&self) -> bool {
        self.open.is_empty() && !self.tokens.is_empty()
    }

    pub(super) fn token(&self, at: usize) -> Token {
        self.tokens.get(at).copied().unwrap_or(Token::End)
    }

    /// The place after the value at a place.
    pub(super) fn after(&self, at: usize) -> usize {
        match self.token(at) {
            Token::Seq(end) | Token::Map(end) => end as usize + 1,
            _ => at + 1,
        }
    }

    pub(super) fn bytes(&self, run: Run) -> &[u8] {
        let start = run.start as usize;
        self.text.get(start..start + run.len as usize).unwrap_or_default()
    }

    pub(super) fn text(&self, run: Run) -> &str {
        std::str::from_utf8(self.bytes(run)).unwrap_or_default()
    }
}

fn too_long() -> SinkError {
    SinkError::Refused("the document is longer than a Protobuf message can be (2 GiB)".to_owned())
}
