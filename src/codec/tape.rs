//! Events that are kept, to be sent on later or more than once.
//!
//! A tape is a flat list of nodes and one buffer of what their strings hold, so that it costs little more than the body that
//! it was recorded from. An array or a map knows how many nodes it takes up; that is all there is of a tree, and it lets a
//! reader of the tape go past a value without looking into it.

use super::event::{Event, Sink, SinkError};

/// Events in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Tape {
    nodes: Vec<Node>,
    text: String,
    bytes: Vec<u8>,
    /// Where the arrays and maps begin that have not ended.
    open: Vec<usize>,
}

/// Where in the buffer a string is.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Number(Span),
    Str(Span),
    Datetime(Span),
    Bytes(Span),
    Ext(i8, Span),
    Tag(u64),
    Simple(u8),
    Undefined,
    /// With the number of nodes from it to its end, both among them.
    BeginSeq(u32),
    EndSeq,
    BeginMap(u32),
    EndMap,
}

impl Tape {
    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The event at `at`.
    pub(super) fn event(&self, at: usize) -> Event<'_> {
        match self.nodes[at] {
            Node::Null => Event::Null,
            Node::Bool(value) => Event::Bool(value),
            Node::Unsigned(value) => Event::Unsigned(value),
            Node::Signed(value) => Event::Signed(value),
            Node::F32(value) => Event::F32(value),
            Node::F64(value) => Event::F64(value),
            Node::Number(span) => Event::Number(self.text_at(span)),
            Node::Str(span) => Event::Str(self.text_at(span)),
            Node::Datetime(span) => Event::Datetime(self.text_at(span)),
            Node::Bytes(span) => Event::Bytes(self.bytes_at(span)),
            Node::Ext(kind, span) => Event::Ext(kind, self.bytes_at(span)),
            Node::Tag(tag) => Event::Tag(tag),
            Node::Simple(value) => Event::Simple(value),
            Node::Undefined => Event::Undefined,
            Node::BeginSeq(_) => Event::BeginSeq(None),
            Node::EndSeq => Event::EndSeq,
            Node::BeginMap(_) => Event::BeginMap(None),
            Node::EndMap => Event::EndMap,
        }
    }

    /// The place after the value that begins at `at`.
    pub(super) fn after(&self, at: usize) -> usize {
        match self.nodes[at] {
            Node::BeginSeq(count) | Node::BeginMap(count) => at + count as usize,
            _ => at + 1,
        }
    }

    /// Records an event once more. Its strings are there already.
    pub(super) fn repeat(&mut self, at: usize) -> Result<(), SinkError> {
        let node = self.nodes[at];
        self.push(node)
    }

    fn push(&mut self, node: Node) -> Result<(), SinkError> {
        match node {
            Node::BeginSeq(_) | Node::BeginMap(_) => self.open.push(self.nodes.len()),
            Node::EndSeq | Node::EndMap => {
                let len = self.nodes.len() + 1;
                if let Some(at) = self.open.pop()
                    && let Node::BeginSeq(count) | Node::BeginMap(count) = &mut self.nodes[at]
                {
                    *count = u32::try_from(len - at).map_err(|_| too_long())?;
                }
            }
            _ => {}
        }
        self.nodes.push(node);
        Ok(())
    }

    fn keep_text(&mut self, text: &str) -> Result<Span, SinkError> {
        let span = span(self.text.len(), text.len())?;
        self.text.push_str(text);
        Ok(span)
    }

    fn keep_bytes(&mut self, bytes: &[u8]) -> Result<Span, SinkError> {
        let span = span(self.bytes.len(), bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(span)
    }

    fn text_at(&self, span: Span) -> &str {
        &self.text[span.start as usize..][..span.len as usize]
    }

    fn bytes_at(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..][..span.len as usize]
    }
}

impl Sink for Tape {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let node = match event {
            Event::Null => Node::Null,
            Event::Bool(value) => Node::Bool(value),
            Event::Unsigned(value) => Node::Unsigned(value),
            Event::Signed(value) => Node::Signed(value),
            Event::F32(value) => Node::F32(value),
            Event::F64(value) => Node::F64(value),
            Event::Number(text) => Node::Number(self.keep_text(text)?),
            Event::Str(text) => Node::Str(self.keep_text(text)?),
            Event::Datetime(text) => Node::Datetime(self.keep_text(text)?),
            Event::Bytes(bytes) => Node::Bytes(self.keep_bytes(bytes)?),
            Event::Ext(kind, bytes) => Node::Ext(kind, self.keep_bytes(bytes)?),
            Event::Tag(tag) => Node::Tag(tag),
            Event::Simple(value) => Node::Simple(value),
            Event::Undefined => Node::Undefined,
            Event::BeginSeq(_) => Node::BeginSeq(0),
            Event::EndSeq => Node::EndSeq,
            Event::BeginMap(_) => Node::BeginMap(0),
            Event::EndMap => Node::EndMap,
        };
        self.push(node)
    }
}

fn span(start: usize, len: usize) -> Result<Span, SinkError> {
    match (u32::try_from(start), u32::try_from(len)) {
        (Ok(start), Ok(len)) => Ok(Span { start, len }),
        _ => Err(too_long()),
    }
}

fn too_long() -> SinkError {
    SinkError::Refused("the document is longer than can be held at once (4 GiB)".to_owned())
}
