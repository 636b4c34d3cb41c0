//! Writing XML: the values are kept on a tape, become a tree of elements, and that a text.
//!
//! Scalars are text from the moment they come, so that what is lost of them has its place.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;

use ::xml::common::{TextPosition, is_name_char, is_name_start_char, is_xml10_char};
use ::xml::namespace::Namespace;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::error::CodecError;
use super::super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};
use super::super::format::Format;
use super::super::tape::Tape;
use super::super::whole;
use super::tree::{self, ATTRIBUTE, CHILDREN, Content, Element, TEXT};

/// A writer of XML.
pub(in super::super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    Writer { out, care, tape: Tape::default(), open: Vec::new() }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    care: Care,
    tape: Tape,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Due>,
}

/// What is due next in an open array or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Element,
    Key,
    Value,
}

const NO_ROOT: &str = "the document is no map of one key, which would be the name of the root element";

impl Writer<'_> {
    /// The text of a scalar.
    fn text<'t>(&self, event: Event<'t>) -> Result<Cow<'t, str>, SinkError> {
        let lose = |what: &str| self.care.lose(what);
        let (text, kind): (Cow<'t, str>, _) = match event {
            Event::Str(text) => {
                return match text.chars().find(|c| !is_xml10_char(*c)) {
                    Some(c) => refuse(format!("the character U+{:04X} cannot be in XML", u32::from(c))),
                    None => Ok(text.into()),
                };
            }
            Event::Bool(value) => (value.to_string().into(), "a boolean"),
            Event::Unsigned(value) => (value.to_string().into(), "a number"),
            Event::Signed(value) => (value.to_string().into(), "a number"),
            Event::F32(value) => (float(f64::from(value)).into(), "a number"),
            Event::F64(value) => (float(value).into(), "a number"),
            Event::Number(text) => (text.into(), "a number"),
            Event::Bytes(bytes) => {
                lose("that a value is binary")?;
                return Ok(STANDARD.encode(bytes).into());
            }
            Event::Ext(kind, bytes) => {
                lose(&format!("the type {kind} of an ext"))?;
                return Ok(STANDARD.encode(bytes).into());
            }
            _ => {
                lose("that a value is null")?;
                return Ok("".into());
            }
        };
        let shown: String = text.chars().take(40).collect();
        lose(&format!("that {shown} is {kind}"))?;
        Ok(text)
    }

    fn begin(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let is_map = matches!(event, Event::BeginMap(_));
        if self.open.is_empty() && !is_map {
            return refuse(NO_ROOT.to_owned());
        }
        if self.open.len() == MAX_DEPTH {
            return Err(SinkError::too_deep());
        }
        self.open.push(if is_map { Due::Key } else { Due::Element });
        self.tape.accept(event)
    }

    fn end(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        self.tape.accept(event)?;
        self.open.pop();
        if !self.open.is_empty() {
            return Ok(());
        }
        let copies = Cell::new(self.tape.len().max(super::LEAST_NAMESPACE_COPIES));
        let root = Build { tape: &self.tape, care: self.care, copies }.root()?;
        let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        spell(&root, &mut text);
        text.push('\n');
        whole::check_len(Format::Xml, text.len(), super::MOST_MIB)?;
        check(&root, &text)?;
        Ok(self.out.write_all(text.as_bytes())?)
    }
}

impl Sink for Writer<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Some(event) = self.care.plain(event)? else { return Ok(()) };
        if matches!(event, Event::EndSeq | Event::EndMap) {
            return self.end(event);
        }
        match self.open.last_mut() {
            Some(due @ Due::Key) => {
                *due = Due::Value;
                return self.tape.accept(Event::Str(&self.care.key(event, "XML")?));
            }
            Some(due @ Due::Value) => *due = Due::Key,
            Some(Due::Element) => {}
            None if matches!(event, Event::BeginMap(_)) => {}
            None => return refuse(NO_ROOT.to_owned()),
        }
        match event {
            Event::BeginSeq(_) | Event::BeginMap(_) => self.begin(event),
            _ => {
                let text = self.text(event)?;
                self.tape.accept(Event::Str(&text))
            }
        }
    }
}

/// Makes elements of values.
struct Build<'t> {
    tape: &'t Tape,
    care: Care,
    /// How many namespaces may still be copied.
    copies: Cell<usize>,
}

impl<'t> Build<'t> {
    fn root(&self) -> Result<Element, SinkError> {
        match self.only_entry(0) {
            Some((name, at)) if !self.is_seq(at) => self.element(name, at, &tree::builtin_scope(), false),
            _ => refuse(NO_ROOT.to_owned()),
        }
    }

    /// The entry of a map that has one.
    fn only_entry(&self, at: usize) -> Option<(&'t str, usize)> {
        match (self.tape.event(at), self.tape.event(at + 1)) {
            (Event::BeginMap(_), Event::Str(key))
                if self.tape.after(self.tape.after(at + 2)) == self.tape.after(at) =>
            {
                Some((key, at + 2))
            }
            _ => None,
        }
    }

    fn is_seq(&self, at: usize) -> bool {
        matches!(self.tape.event(at), Event::BeginSeq(_))
    }

    /// The element of the value at `at`.
    fn element(&self, name: &str, at: usize, around: &Namespace, preserves: bool) -> Result<Element, SinkError> {
        if !is_name(name) {
            return refuse(format!("\"{}\" is no name that an element could have", shown(name)));
        }
        let mut element = Element::new(name, preserves, TextPosition::new());
        match self.tape.event(at) {
            Event::Str(text) => element.push_text(text),
            Event::BeginMap(_) => self.fill(&mut element, at, around)?,
            _ => return refuse(format!("an array inside of an array, of elements \"{name}\", has no form in XML")),
        }
        if element.close() {
            self.care.lose(&format!("white space between the elements in \"{name}\""))?;
        }
        Ok(element)
    }

    /// Gives an element what the map at `at` says.
    fn fill(&self, element: &mut Element, at: usize, around: &Namespace) -> Result<(), SinkError> {
        let scope = self.attributes(element, at, around)?;
        let mut key_at = at + 1;
        if matches!(self.tape.event(key_at), Event::EndMap) {
            self.care.lose(&format!("that \"{}\" is an empty map", element.name))?;
        }
        while let Event::Str(key) = self.tape.event(key_at) {
            let at = key_at + 1;
            key_at = self.tape.after(at);
            match (key, self.tape.event(at)) {
                _ if key.starts_with(ATTRIBUTE) => {}
                (TEXT, Event::Str(text)) => element.push_text(text),
                (TEXT, _) => return refuse(format!("{TEXT} of \"{}\" is no text", element.name)),
                (CHILDREN, Event::BeginSeq(_)) => self.children(element, at, &scope)?,
                (CHILDREN, _) => return refuse(format!("{CHILDREN} of \"{}\" is no array", element.name)),
                _ => self.named(element, key, at, &scope)?,
            }
        }
        Ok(())
    }

    /// Gives an element its attributes. Returns the namespaces in it.
    fn attributes<'n>(
        &self,
        element: &mut Element,
        at: usize,
        around: &'n Namespace,
    ) -> Result<Cow<'n, Namespace>, SinkError> {
        let mut declared = BTreeMap::new();
        let mut attributes = Vec::new();
        let mut key_at = at + 1;
        while let Event::Str(key) = self.tape.event(key_at) {
            let value = self.tape.event(key_at + 1);
            key_at = self.tape.after(key_at + 1);
            let Some(name) = key.strip_prefix(ATTRIBUTE) else { continue };
            let Event::Str(value) = value else {
                return refuse(format!("the attribute \"{}\" of \"{}\" is no text", shown(name), element.name));
            };
            if !is_name(name) {
                return refuse(format!("\"{}\" is no name that an attribute could have", shown(name)));
            }
            let prefix = if name == "xmlns" { Some("") } else { name.strip_prefix("xmlns:") };
            let Some(prefix) = prefix else {
                attributes.push((name, value));
                continue;
            };
            if declared.insert(prefix.to_owned(), value.to_owned()).is_some() {
                return refuse(format!("the attribute \"{name}\" of \"{}\" comes twice", element.name));
            }
        }
        let mut scope = Cow::Borrowed(around);
        if !declared.is_empty() {
            let left = self.copies.get().checked_sub(around.0.len());
            self.copies.set(left.ok_or_else(|| SinkError::Refused(super::TOO_MANY_COPIES.to_owned()))?);
            scope.to_mut().0.append(&mut declared);
            element.declare(around, &scope);
        }
        for (name, value) in attributes {
            element.attribute(name, value);
        }
        Ok(scope)
    }

    /// Adds the elements that the value of a key stands for.
    fn named(&self, element: &mut Element, name: &str, at: usize, scope: &Namespace) -> Result<(), SinkError> {
        if !self.is_seq(at) {
            element.push_element(self.element(name, at, scope, element.preserves)?);
            return Ok(());
        }
        let mut count = 0;
        let mut at = at + 1;
        while !matches!(self.tape.event(at), Event::EndSeq) {
            element.push_element(self.element(name, at, scope, element.preserves)?);
            count += 1;
            at = self.tape.after(at);
        }
        match count {
            0 => self.care.lose(&format!("the empty array \"{}\"", shown(name))),
            1 => self.care.lose(&format!("that \"{name}\" is an array of one")),
            _ => Ok(()),
        }
    }

    fn children(&self, element: &mut Element, at: usize, scope: &Namespace) -> Result<(), SinkError> {
        let mut at = at + 1;
        loop {
            match self.tape.event(at) {
                Event::EndSeq => return Ok(()),
                Event::Str(text) => element.push_text(text),
                _ => match self.only_entry(at) {
                    Some((name, value)) if !self.is_seq(value) => {
                        element.push_element(self.element(name, value, scope, element.preserves)?);
                    }
                    _ => {
                        let name = &element.name;
                        return refuse(format!(
                            "{CHILDREN} of \"{name}\" has what is neither text nor a map of one key"
                        ));
                    }
                },
            }
            at = self.tape.after(at);
        }
    }
}

/// Refuses what would not come back: prefixes without a namespace, or levels that only the form of order needs.
fn check(root: &Element, text: &str) -> Result<(), SinkError> {
    let back = match super::parse(text.as_bytes(), Care { is_strict: false }) {
        Ok(back) => back,
        Err(CodecError::Data { reason, .. }) => return refuse(format!("as XML it would be refused: {reason}")),
        Err(_) => return refuse("as XML it would be refused".to_owned()),
    };
    if back != *root {
        return refuse("as XML it would be another document".to_owned());
    }
    let mut depth = 1;
    let mut deepest = 1;
    back.send(&mut |event, _| {
        match event {
            Event::BeginSeq(_) | Event::BeginMap(_) => depth += 1,
            Event::EndSeq | Event::EndMap => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
        Ok(())
    })
    .map_err(|error| SinkError::Refused(error.to_string()))?;
    if deepest > MAX_DEPTH { Err(SinkError::too_deep()) } else { Ok(()) }
}

/// A name as XML with namespaces has them: one colon at most, and that inside.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c| c != ':' && is_name_start_char(c)) && part.chars().all(|c| c != ':' && is_name_char(c))
    };
    match name.split_once(':') {
        Some((prefix, local)) => is_part(prefix) && is_part(local),
        None => is_part(name),
    }
}

fn spell(element: &Element, to: &mut String) {
    to.push('<');
    to.push_str(&element.name);
    for (name, value) in &element.attributes {
        to.push(' ');
        to.push_str(name);
        to.push_str("=\"");
        escape(value, true, to);
        to.push('"');
    }
    if element.contents.is_empty() {
        return to.push_str("/>");
    }
    to.push('>');
    for content in &element.contents {
        match content {
            Content::Text(text) => escape(text, false, to),
            Content::Element(element) => spell(element, to),
        }
    }
    to.push_str("</");
    to.push_str(&element.name);
    to.push('>');
}

/// Escapes what has a meaning, and the white space that a reader would take for other white space.
fn escape(text: &str, is_attribute: bool, to: &mut String) {
    for c in text.chars() {
        match c {
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '&' => to.push_str("&amp;"),
            '\r' => to.push_str("&#13;"),
            '"' if is_attribute => to.push_str("&quot;"),
            '\n' if is_attribute => to.push_str("&#10;"),
            '\t' if is_attribute => to.push_str("&#9;"),
            c => to.push(c),
        }
    }
}

/// As XML Schema spells floats.
fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "INF".to_owned() } else { "-INF".to_owned() }
    } else {
        format!("{value:?}")
    }
}

fn shown(name: &str) -> String {
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    if name.chars().nth(40).is_some() { format!("{shown}…") } else { shown }
}

fn refuse<T>(reason: String) -> Result<T, SinkError> {
    Err(SinkError::Refused(reason))
}
