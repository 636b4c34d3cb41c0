//! Writing YAML in block style, event by event.
//!
//! A string is plain only where every reader of YAML 1.1 and 1.2 takes it for a string; the others have double quotes and
//! the escapes of JSON. Numbers are spelled as they came, even those that a reader of 1.1 takes for strings for want of a point
//! (`1e3`); floats that came without a spelling get one that all take for floats. Nothing is held but the beginning of an array or a map, since an
//! empty one is `[]` or `{}`.

use std::io::Write;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};

/// Blanks by which an inner block stands in from its outer one.
const STEP: usize = 2;

/// The longest key that stands before its colon without a `?`, in bytes; the specification allows 1024 characters.
const SHORT_KEY_BYTES: usize = 256;

/// A writer of YAML.
pub(in super::super) fn writer(out: &mut dyn Write, care: Care) -> impl Sink {
    Writer { out, care, open: Vec::new(), begun: None, spelled: String::new() }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    care: Care,
    /// The arrays and maps begun and not ended, outermost first.
    open: Vec<Open>,
    /// Whether an array or a map has begun, of which nothing is written: whether it is a map.
    begun: Option<bool>,
    /// Where scalars are spelled, kept for its memory.
    spelled: String,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    due: Due,
    /// The column of its entries.
    indent: usize,
    /// Whether nothing of it is written, and the column is reached.
    is_first: bool,
}

/// What is due next in an open array or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Element,
    Key,
    /// After `key:`, on the same line.
    Value,
    /// After `? key`, on a line of its own.
    ValueOfLong,
}

impl Writer<'_> {
    /// Writes what stands between the value before and this one, which as a key may be too long to stand on one line.
    fn separate(&mut self, is_long: bool) -> Result<(), SinkError> {
        let Some(around) = self.open.last_mut() else { return Ok(()) };
        let indent = around.indent;
        let is_first = std::mem::take(&mut around.is_first);
        let (mark, then) = match around.due {
            Due::Element => ("- ", Due::Element),
            Due::Key if is_long => ("? ", Due::ValueOfLong),
            Due::Key => ("", Due::Value),
            Due::Value => {
                around.due = Due::Key;
                return Ok(());
            }
            Due::ValueOfLong => (": ", Due::Key),
        };
        around.due = then;
        if !is_first {
            write!(self.out, "\n{:indent$}", "")?;
        }
        Ok(self.out.write_all(mark.as_bytes())?)
    }

    /// Writes a scalar that is spelled, or an empty array or map.
    fn node(&mut self, text: &str) -> Result<(), SinkError> {
        let is_beside = self.open.last().is_some_and(|around| around.due == Due::Value);
        self.separate(text.len() > SHORT_KEY_BYTES)?;
        if is_beside {
            self.out.write_all(b" ")?;
        }
        self.out.write_all(text.as_bytes())?;
        if matches!(self.open.last(), Some(Open { due: Due::Value, .. })) {
            self.out.write_all(b":")?;
        }
        self.whole()
    }

    /// A value is whole; with the outermost one the document is.
    fn whole(&mut self) -> Result<(), SinkError> {
        if self.open.is_empty() {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Begins the array or the map that was held, since it is not empty.
    fn begin_held(&mut self) -> Result<(), SinkError> {
        let Some(is_map) = self.begun.take() else { return Ok(()) };
        let is_beside = self.open.last().is_some_and(|around| around.due == Due::Value);
        self.separate(true)?;
        let indent = self.open.last().map_or(0, |around| around.indent + STEP);
        if is_beside {
            write!(self.out, "\n{:indent$}", "")?;
        }
        self.open.push(Open { due: if is_map { Due::Key } else { Due::Element }, indent, is_first: true });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SinkError> {
        if let Some(is_map) = self.begun.take() {
            return self.node(if is_map { "{}" } else { "[]" });
        }
        self.open.pop();
        self.whole()
    }

    fn spell(&self, event: Event<'_>, spelled: &mut String) -> Result<(), SinkError> {
        let is_key = self.open.last().is_some_and(|around| around.due == Due::Key);
        match event {
            Event::Bool(value) => spelled.push_str(if value { "true" } else { "false" }),
            Event::Unsigned(value) => spelled.push_str(&value.to_string()),
            Event::Signed(value) => spelled.push_str(&value.to_string()),
            Event::F32(value) => float(f64::from(value), spelled),
            Event::F64(value) => float(value, spelled),
            Event::Number(text) => spelled.push_str(text),
            Event::Str(text) if is_plain(text, is_key) => spelled.push_str(text),
            Event::Str(text) => quote(text, spelled),
            Event::Bytes(bytes) => binary(bytes, spelled),
            Event::Ext(kind, bytes) => {
                self.care.lose(&format!("the type {kind} of an ext"))?;
                binary(bytes, spelled);
            }
            _ => spelled.push_str("null"),
        }
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn accept(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Some(event) = self.care.plain(event)? else { return Ok(()) };
        if matches!(event, Event::EndSeq | Event::EndMap) {
            return self.end();
        }
        self.begin_held()?;
        if let Event::BeginSeq(_) | Event::BeginMap(_) = event {
            if self.open.len() == MAX_DEPTH {
                return Err(SinkError::too_deep());
            }
            self.begun = Some(matches!(event, Event::BeginMap(_)));
            return Ok(());
        }
        let mut spelled = std::mem::take(&mut self.spelled);
        spelled.clear();
        self.spell(event, &mut spelled)?;
        self.node(&spelled)?;
        self.spelled = spelled;
        Ok(())
    }
}

fn float(value: f64, to: &mut String) {
    if value.is_nan() {
        return to.push_str(".nan");
    }
    if value.is_infinite() {
        return to.push_str(if value > 0.0 { ".inf" } else { "-.inf" });
    }
    // Readers of YAML 1.1 know a float by its point and by the sign of its exponent.
    let shortest = format!("{value:?}");
    match shortest.split_once('e') {
        Some((digits, power)) => {
            to.push_str(digits);
            to.push_str(if digits.contains('.') { "e" } else { ".0e" });
            to.push_str(if power.starts_with('-') { "" } else { "+" });
            to.push_str(power);
        }
        None => to.push_str(&shortest),
    }
}

fn binary(bytes: &[u8], to: &mut String) {
    to.push_str("!!binary \"");
    to.push_str(&Base64Display::new(bytes, &STANDARD).to_string());
    to.push('"');
}

/// Whether a string is one for every reader of YAML without quotes.
fn is_plain(text: &str, is_key: bool) -> bool {
    /// What YAML 1.1 or 1.2 takes for something else, in whatever case.
    const RESOLVED: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let may_begin = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '/' || (!c.is_ascii() && c.is_alphabetic());
    if !text.starts_with(may_begin)
        || text.ends_with(' ')
        || RESOLVED.iter().any(|word| text.eq_ignore_ascii_case(word))
    {
        return false;
    }
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_safe = match c {
            ' ' | '_' | '-' | '.' | '/' | '+' | '(' | ')' | '\'' | ';' | '=' | '@' => true,
            ',' | '!' | '?' => !is_key,
            // Followed by a blank it would end a key.
            ':' => !is_key && chars.peek().is_some_and(|c| c.is_ascii_alphanumeric() || *c == '/'),
            c => c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphanumeric()),
        };
        if !is_safe {
            return false;
        }
    }
    true
}

/// A string in double quotes: JSON's, with what YAML takes for a line end or no text escaped too.
fn quote(text: &str, to: &mut String) {
    use std::fmt::Write as _;
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a string does not fail.
                let _ = write!(to, "\\u{:04x}", u32::from(c));
            }
            c => to.push(c),
        }
    }
    to.push('"');
}
