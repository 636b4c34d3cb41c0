//! Writing TOML: the document is kept on a tape until it ends, since what comes last in a table can only then be known.
//!
//! What TOML cannot hold is refused as it comes, so that an error has its place. The tables, and the arrays of tables, that
//! come last in their table get headers; whatever has a plain value after it stands in one line, so that the order of keys
//! stays what it is.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml_writer::TomlWrite as _;

use super::super::event::{Care, Event, Sink, SinkError};
use super::super::format::Format;
use super::super::markers;
use super::super::tape::Tape;
use super::super::whole;

/// How many levels of arrays and tables the reader bears, and so the writer writes.
pub(super) const MOST_LEVELS: usize = 80;

/// A writer of TOML.
pub(in super::super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    Writer { out, care, tape: Tape::default(), open: Vec::new() }
}

/// What a refused integer is told.
pub(super) fn out_of_range(integer: &str) -> String {
    let shown: String = integer.chars().take(40).collect();
    let dots = if shown.len() < integer.len() { "…" } else { "" };
    format!("the integer {shown}{dots} is outside the range of TOML, which is from -2^63 to 2^63-1")
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    care: Care,
    tape: Tape,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Open>,
}

enum Open {
    Seq,
    Map {
        keys: HashSet<Box<str>>,
        /// The key whose value is due.
        due: Option<Box<str>>,
    },
}

impl Writer<'_> {
    /// The key that the next value is below.
    fn place(&self) -> String {
        let key = self.open.iter().rev().find_map(|open| match open {
            Open::Map { due: Some(key), .. } => Some(key),
            _ => None,
        });
        key.map_or_else(|| "the document".to_owned(), |key| format!("a value of the key \"{}\"", key.escape_debug()))
    }

    fn key(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let key = self.care.key(event, "TOML")?;
        if let Some(Open::Map { keys, due }) = self.open.last_mut() {
            let key: Box<str> = (&*key).into();
            if !keys.insert(key.clone()) {
                return refuse(format!(
                    "the key \"{}\" comes twice in a map, and in TOML it cannot",
                    key.escape_debug()
                ));
            }
            *due = Some(key);
        }
        self.tape.accept(Event::Str(&key))
    }

    fn begin(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if self.open.len() == MOST_LEVELS {
            return refuse(format!(
                "arrays and maps nest more than {MOST_LEVELS} levels deep, and in TOML they cannot"
            ));
        }
        let is_map = matches!(event, Event::BeginMap(_));
        if self.open.is_empty() && !is_map {
            return refuse("the document is no map, and TOML has only those".to_owned());
        }
        self.open.push(if is_map { Open::Map { keys: HashSet::new(), due: None } } else { Open::Seq });
        self.tape.accept(event)
    }

    fn end(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        self.tape.accept(event)?;
        self.open.pop();
        self.value_ends();
        if self.open.is_empty() {
            let text = Document { tape: &self.tape, text: String::new(), path: Vec::new() }.spell();
            whole::check_len(Format::Toml, text.len(), super::MOST_MIB)?;
            self.out.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn value_ends(&mut self) {
        if let Some(Open::Map { due, .. }) = self.open.last_mut() {
            *due = None;
        }
    }

    fn scalar(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        if self.open.is_empty() {
            return refuse("the document is no map, and TOML has only those".to_owned());
        }
        match event {
            Event::Null => return refuse(format!("{} is null, and TOML has none", self.place())),
            Event::Unsigned(value) if i64::try_from(value).is_err() => return refuse(out_of_range(&value.to_string())),
            Event::Number(text) if is_integer(text) => {
                if text.parse::<i64>().is_err() {
                    return refuse(out_of_range(text));
                }
                self.tape.accept(event)?;
            }
            Event::Number("-0") => self.tape.accept(Event::F64(-0.0))?,
            // The digits stay, but they are those of a float of 64 bits.
            Event::Number(text) => {
                self.care.number(text)?;
                self.tape.accept(event)?;
            }
            Event::Bytes(bytes) => {
                self.care.lose("that a value is binary")?;
                self.base64(bytes)?;
            }
            Event::Ext(kind, bytes) => {
                self.care.lose(&format!("the type {kind} of an ext"))?;
                self.base64(bytes)?;
            }
            _ => self.tape.accept(event)?,
        }
        self.value_ends();
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let is_marker = |open: &Open| {
            matches!(open, Open::Map { due: Some(key), .. }
                if matches!(&**key, markers::BINARY | markers::EXT | markers::FLOAT))
        };
        if self.open.iter().any(is_marker) {
            return refuse(format!("binary as {} would come back as something else", self.place()));
        }
        self.tape.accept(Event::Str(&STANDARD.encode(bytes)))
    }
}

impl Sink for Writer<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        // Dates and times are at home here.
        let event = match event {
            Event::Datetime(_) => event,
            _ => match self.care.plain(event)? {
                Some(event) => event,
                None => return Ok(()),
            },
        };
        if matches!(event, Event::EndSeq | Event::EndMap) {
            return self.end(event);
        }
        if matches!(self.open.last(), Some(Open::Map { due: None, .. })) {
            return self.key(event);
        }
        match event {
            Event::BeginSeq(_) | Event::BeginMap(_) => self.begin(event),
            _ => self.scalar(event),
        }
    }
}

fn refuse<T>(reason: String) -> Result<T, SinkError> {
    Err(SinkError::Refused(reason))
}

fn is_integer(text: &str) -> bool {
    text != "-0" && !text.contains(['.', 'e', 'E'])
}

/// A whole document on its way to be text. Writing to a string does not fail, which is why no result is looked at.
struct Document<'t> {
    tape: &'t Tape,
    text: String,
    /// The keys of the table that is written.
    path: Vec<&'t str>,
}

impl<'t> Document<'t> {
    fn spell(mut self) -> String {
        self.table(0);
        self.text
    }

    /// The keys of the map at `at`, and where their values are.
    fn entries(&self, at: usize) -> Vec<(&'t str, usize)> {
        let tape = self.tape;
        let mut entries = Vec::new();
        let mut at = at + 1;
        while let Event::Str(key) = tape.event(at) {
            entries.push((key, at + 1));
            at = tape.after(at + 1);
        }
        entries
    }

    /// Where the elements of the array at `at` are.
    fn elements(&self, at: usize) -> Vec<usize> {
        let mut elements = Vec::new();
        let mut at = at + 1;
        while !matches!(self.tape.event(at), Event::EndSeq) {
            elements.push(at);
            at = self.tape.after(at);
        }
        elements
    }

    fn is_map(&self, at: usize) -> bool {
        matches!(self.tape.event(at), Event::BeginMap(_))
    }

    /// Whether a value can have a header of its own.
    fn has_header(&self, at: usize) -> bool {
        match self.tape.event(at) {
            Event::BeginMap(_) => true,
            Event::BeginSeq(_) => {
                let elements = self.elements(at);
                !elements.is_empty() && elements.iter().all(|at| self.is_map(*at))
            }
            _ => false,
        }
    }

    /// Writes the entries of a table, whose header is there.
    fn table(&mut self, at: usize) {
        let entries = self.entries(at);
        let plain = entries.iter().rposition(|(_, at)| !self.has_header(*at)).map_or(0, |last| last + 1);
        for (key, at) in &entries[..plain] {
            let _ = self.text.key(*key);
            self.text.push_str(" = ");
            self.value(*at);
            self.text.push('\n');
        }
        for (key, at) in &entries[plain..] {
            self.path.push(key);
            if self.is_map(*at) {
                // Those of the tables inside say that there is this one.
                let inner = self.entries(*at);
                if inner.is_empty() || inner.iter().any(|(_, at)| !self.has_header(*at)) {
                    self.header("[", "]");
                }
                self.table(*at);
            } else {
                for at in self.elements(*at) {
                    self.header("[[", "]]");
                    self.table(at);
                }
            }
            self.path.pop();
        }
    }

    fn header(&mut self, begin: &str, end: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(begin);
        for (index, key) in self.path.iter().enumerate() {
            if index > 0 {
                self.text.push('.');
            }
            let _ = self.text.key(*key);
        }
        self.text.push_str(end);
        self.text.push('\n');
    }

    fn value(&mut self, at: usize) {
        match self.tape.event(at) {
            Event::Bool(value) => self.text.push_str(if value { "true" } else { "false" }),
            Event::Unsigned(value) => self.text.push_str(&value.to_string()),
            Event::Signed(value) => self.text.push_str(&value.to_string()),
            Event::F32(value) => self.float(f64::from(value)),
            Event::F64(value) => self.float(value),
            Event::Number(text) | Event::Datetime(text) => self.text.push_str(text),
            Event::Str(text) => {
                let _ = self.text.value(text);
            }
            Event::BeginSeq(_) => {
                self.text.push('[');
                for (index, at) in self.elements(at).into_iter().enumerate() {
                    self.text.push_str(if index > 0 { ", " } else { "" });
                    self.value(at);
                }
                self.text.push(']');
            }
            Event::BeginMap(_) => {
                self.text.push('{');
                for (index, (key, at)) in self.entries(at).into_iter().enumerate() {
                    self.text.push_str(if index > 0 { ", " } else { " " });
                    let _ = self.text.key(key);
                    self.text.push_str(" = ");
                    self.value(at);
                }
                self.text.push_str(if self.text.ends_with('{') { "}" } else { " }" });
            }
            _ => {}
        }
    }

    fn float(&mut self, value: f64) {
        if value.is_nan() {
            self.text.push_str("nan");
        } else {
            let _ = write!(self.text, "{value:?}");
        }
    }
}
