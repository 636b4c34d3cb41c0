//! YAML 1.2, read by `granit-parser` and the core schema of the specification, which is here.
//!
//! The parser tells what is written; what a plain scalar means is resolved by [`scalar`], so that integers of any size and
//! decimals stay the digits that they are. YAML 1.1 is never read: `yes`, `0777` and `1:30` are strings or what they look
//! like, and `<<` is a key as any other. The writer, though, writes nothing plain that a reader of 1.1 would take for
//! something else.
//!
//! An alias is what its anchor names, once more. That multiplies, so what aliases bring is counted against a budget, and one
//! inside its own anchor is refused. Comments, styles, anchors and directives are not part of a value. Repeated keys are
//! passed on, as everywhere in this room. A body is one document.

mod scalar;
mod write;

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

use granit_parser::{ErrorKind, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use super::error::CodecError;
use super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};
use super::format::Format;
use super::tape::Tape;
use super::whole;

pub(super) use write::writer;

/// A body has to be there whole, and its memory is the price.
const MOST_MIB: u64 = 256;

/// What all aliases of a document may bring together: this many times its length, or [`LEAST_BUDGET_BYTES`].
const BUDGET_TIMES: usize = 10;

/// What aliases may bring in a short document.
const LEAST_BUDGET_BYTES: usize = 10 * 1024 * 1024;

/// What an event counts beside its text, which is about what it takes on the tape and, at least, in the output.
const EVENT_BYTES: usize = 16;

/// What the parser is to bear. Its levels are not quite those of arrays and maps, which are counted here.
const PARSER_LEVELS: usize = 2 * MAX_DEPTH;

/// The beginning of the tags that the specification names.
const CORE: &str = "tag:yaml.org,2002:";

/// Sends the one YAML document in `input` to `sink`.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink, care: Care) -> Result<(), CodecError> {
    let body = whole::read(Format::Yaml, input, MOST_MIB)?;
    let mut reader = Reader {
        body: &body,
        sink,
        care,
        open: Vec::new(),
        tape: Tape::default(),
        anchors: HashMap::new(),
        open_anchors: 0,
        budget: body.len().saturating_mul(BUDGET_TIMES).max(LEAST_BUDGET_BYTES),
        at: 0,
    };
    let mut options = Options::default();
    options.strict_indentation = true;
    options.flow_nesting_limit = PARSER_LEVELS;
    options.block_nesting_limit = PARSER_LEVELS;
    let mut documents = 0;
    for parsed in Parser::new_from_str_with_options(&body, options) {
        let (event, span) = parsed.map_err(|error| reader.explain(&error))?;
        if matches!(event, granit_parser::Event::DocumentStart(..)) {
            documents += 1;
            if documents > 1 {
                return Err(reader.bad(&span, "a second document begins, and a body is one"));
            }
        }
        reader.event(event, &span)?;
    }
    if documents == 0 {
        return Err(reader.data(0, "the body is empty, which is no YAML document".to_owned()));
    }
    Ok(())
}

/// An array or a map that has begun and not ended.
struct Open {
    is_map: bool,
    anchor: usize,
}

/// What an anchor names.
enum Anchored {
    /// What begins at this place of the tape and has not ended.
    Open(usize),
    Whole(Range<usize>),
}

struct Reader<'b, 's> {
    body: &'b str,
    sink: &'s mut dyn Sink,
    care: Care,
    open: Vec<Open>,
    /// What anchors name.
    tape: Tape,
    anchors: HashMap<usize, Anchored>,
    /// How many of the anchors are open.
    open_anchors: usize,
    /// What aliases may still bring.
    budget: usize,
    /// The place of the event that came last.
    at: usize,
}

/// No anchor has this number.
const NO_ANCHOR: usize = 0;

impl Reader<'_, '_> {
    fn event(&mut self, event: granit_parser::Event<'_>, span: &Span) -> Result<(), CodecError> {
        use granit_parser::Event as Parsed;
        self.at = span.start.byte_offset().unwrap_or(self.at);
        match event {
            Parsed::Scalar(text, style, anchor, tag) => {
                // That is how a scalar that is not there comes.
                let is_missing = style == ScalarStyle::Plain && span.is_empty();
                let text = if is_missing { "" } else { &text };
                self.anchor(anchor);
                self.scalar(text, style == ScalarStyle::Plain, tag.as_deref())?;
                self.anchor_ends(anchor);
            }
            Parsed::SequenceStart(_, anchor, tag) => self.begin(false, anchor, tag.as_deref())?,
            Parsed::MappingStart(_, anchor, tag) => self.begin(true, anchor, tag.as_deref())?,
            Parsed::SequenceEnd | Parsed::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.send(if open.is_map { Event::EndMap } else { Event::EndSeq })?;
                    self.anchor_ends(open.anchor);
                }
            }
            Parsed::Alias(anchor) => self.alias(anchor)?,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, is_map: bool, anchor: usize, tag: Option<&Tag>) -> Result<(), CodecError> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.refused(SinkError::too_deep()));
        }
        if let Some(tag) = tag {
            let own = if is_map { "map" } else { "seq" };
            match core(tag) {
                Some(name) if name == own => {}
                Some("str" | "int" | "float" | "bool" | "null" | "binary") => {
                    return Err(self.here(format!("an array or a map has the tag {}", spelled(tag))));
                }
                _ if is_unspecific(tag) => {}
                _ => self.lose_tag(tag)?,
            }
        }
        self.anchor(anchor);
        self.open.push(Open { is_map, anchor });
        self.send(if is_map { Event::BeginMap(None) } else { Event::BeginSeq(None) })
    }

    fn scalar(&mut self, text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<(), CodecError> {
        let Some(tag) = tag else {
            return if is_plain { self.plain(text) } else { self.send(Event::Str(text)) };
        };
        if is_unspecific(tag) {
            return self.send(Event::Str(text));
        }
        let misfit = || format!("\"{}\" is not what its tag {} says", scalar::shortened(text), spelled(tag));
        match core(tag) {
            Some("str") => self.send(Event::Str(text)),
            Some("binary") => match scalar::binary(text) {
                Some(bytes) => self.send(Event::Bytes(&bytes)),
                None => Err(self.here(misfit())),
            },
            Some(name @ ("null" | "bool" | "int" | "float")) => match scalar::forced(name, text) {
                Some(Ok(plain)) => self.send(plain.event()),
                Some(Err(reason)) => Err(self.here(reason)),
                None => Err(self.here(misfit())),
            },
            // What a value of a type is that is not known here can only be told from its text.
            _ => {
                self.lose_tag(tag)?;
                self.send(Event::Str(text))
            }
        }
    }

    fn plain(&mut self, text: &str) -> Result<(), CodecError> {
        match scalar::plain(text) {
            Ok(plain) => self.send(plain.event()),
            Err(reason) => Err(self.here(reason)),
        }
    }

    fn anchor(&mut self, anchor: usize) {
        if anchor != NO_ANCHOR {
            self.open_anchors += 1;
            self.anchors.insert(anchor, Anchored::Open(self.tape.len()));
        }
    }

    fn anchor_ends(&mut self, anchor: usize) {
        if let Some(anchored) = self.anchors.get_mut(&anchor)
            && let Anchored::Open(start) = *anchored
        {
            self.open_anchors -= 1;
            *anchored = Anchored::Whole(start..self.tape.len());
        }
    }

    fn alias(&mut self, anchor: usize) -> Result<(), CodecError> {
        let range = match self.anchors.get(&anchor) {
            Some(Anchored::Whole(range)) => range.clone(),
            _ => return Err(self.here("an alias stands inside of what it names".to_owned())),
        };
        let mut depth = self.open.len();
        for at in range {
            let event = self.tape.event(at);
            let len = match event {
                Event::Number(text) | Event::Str(text) => text.len(),
                Event::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            match event {
                Event::BeginSeq(_) | Event::BeginMap(_) => depth += 1,
                Event::EndSeq | Event::EndMap => depth -= 1,
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(self.refused(SinkError::too_deep()));
            }
            self.budget = match self.budget.checked_sub(EVENT_BYTES + len) {
                Some(left) => left,
                None => return Err(self.here("the aliases make far more of the document than it is".to_owned())),
            };
            if let Err(error) = self.sink.accept(event) {
                return Err(self.refused(error));
            }
            if self.open_anchors > 0
                && let Err(error) = self.tape.repeat(at)
            {
                return Err(self.refused(error));
            }
        }
        Ok(())
    }

    fn lose_tag(&self, tag: &Tag) -> Result<(), CodecError> {
        self.care.lose(&format!("the tag {}", spelled(tag))).map_err(|error| self.refused(error))
    }

    fn send(&mut self, event: Event<'_>) -> Result<(), CodecError> {
        if self.open_anchors > 0
            && let Err(error) = self.tape.accept(event)
        {
            return Err(self.refused(error));
        }
        self.sink.accept(event).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: SinkError) -> CodecError {
        match error {
            SinkError::Io(error) => CodecError::Output(error),
            SinkError::Refused(reason) => self.here(reason),
        }
    }

    fn explain(&self, error: &ScanError) -> CodecError {
        let at = error.marker().byte_offset().unwrap_or(self.at);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.refused(SinkError::too_deep()),
            _ => self.data(at, error.info()),
        }
    }

    fn bad(&self, span: &Span, reason: &str) -> CodecError {
        self.data(span.start.byte_offset().unwrap_or(self.at), reason.to_owned())
    }

    fn here(&self, reason: String) -> CodecError {
        self.data(self.at, reason)
    }

    fn data(&self, at: usize, reason: String) -> CodecError {
        CodecError::Data { format: Format::Yaml, place: whole::place(self.body.as_bytes(), at), reason }
    }
}

/// The name of a tag of the specification.
fn core(tag: &Tag) -> Option<&str> {
    match tag.parts() {
        (CORE, name) => Some(name),
        // As `!<tag:yaml.org,2002:str>`.
        ("", whole) => whole.strip_prefix(CORE),
        _ => None,
    }
}

/// The tag `!`: what is written is a string, an array or a map, and nothing is to be resolved.
fn is_unspecific(tag: &Tag) -> bool {
    matches!(tag.parts(), ("", "!") | ("!", ""))
}

fn spelled(tag: &Tag) -> String {
    let (handle, suffix) = tag.original_parts();
    scalar::shortened(&format!("{handle}{suffix}"))
}
