//! XML 1.0 with namespaces, read by the `xml` crate, and a mapping between elements and values that goes both ways.
//!
//! # The mapping
//!
//! A document is a map of one key: the name of its root element, and the value of that element. The value of an element is
//!
//! 1. its text as a string, if it has neither attributes nor elements inside: `<a>x</a>` is `{"a":"x"}`, and `<a/>` is
//!    `{"a":""}`;
//! 2. else a map. It begins with its namespaces and attributes, whose keys are their names after an `@`. Then comes
//!    * the text under the key `#text`, if there is text and no element inside: `<a id="1">x</a>` is
//!      `{"a":{"@id":"1","#text":"x"}}`;
//!    * or each element inside, under its name, if there is no text and those of the same name stand side by side; two or
//!      more of them are an array: `<a><b>1</b><b>2</b><c/></a>` is `{"a":{"b":["1","2"],"c":""}}`;
//!    * or, where that form would lose an order, everything inside as an array under the key `#children`, texts as strings
//!      and elements as maps of one key: `<a>x<b/>y</a>` is `{"a":{"#children":["x",{"b":""},"y"]}}`.
//!
//! Names keep their prefixes, and namespaces are the attributes that declare them (`@xmlns`, `@xmlns:p`), so nothing is
//! resolved and nothing is invented. A declaration that changes nothing is left out. CDATA is text.
//!
//! White space between elements, where there is no other text beside it, is the layout of a document and no part of it, unless
//! `xml:space="preserve"` holds. Comments and processing instructions are lost.
//!
//! # Back
//!
//! What a map holds becomes what is inside of an element, in the order of its keys, so every value of the forms above comes
//! back as the same element. Beyond them an array of one is its element, the keys may come in any order, and scalars that are
//! no strings become text; what is lost by that is told to [`Care`]. What XML cannot hold is refused: a document that is no map
//! of one key, arrays in arrays, names that are none, control characters. What is written is read once more before it goes
//! out, and refused if it is not the same.
//!
//! A document type declaration is refused, and with it entities of one's own. The whole document is held as a tree.

mod tree;
mod write;

use std::io::Read;

use ::xml::common::{Position, TextPosition, XmlVersion};
use ::xml::reader::{Error, ErrorKind, EventReader, ParserConfig, XmlEvent};

use super::error::{CodecError, Place};
use super::event::{Care, Event, MAX_DEPTH, Sink, SinkError};
use super::format::Format;
use super::whole;
use tree::Element;

pub(super) use write::writer;

/// A body has to be there whole, and the tree of it takes up to thirty times as much.
const MOST_MIB: u64 = 32;

/// More attributes than this an element does not have.
const MOST_ATTRIBUTES: usize = 10_000;

/// The parser copies all namespaces in scope for each element. This many it may, or so many for each byte of the body.
const LEAST_NAMESPACE_COPIES: usize = 10_000_000;

const NAMESPACE_COPIES_PER_BYTE: usize = 4;

const TOO_MANY_COPIES: &str = "there are far too many elements for so many namespaces";

/// Sends the one XML document in `input` to `sink`.
pub(super) fn read(input: &mut dyn Read, sink: &mut dyn Sink, care: Care) -> Result<(), CodecError> {
    let body = whole::bytes(Format::Xml, input, MOST_MIB)?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(data(Place::LineColumn { line: 1, column: 1 }, "the body is empty, which is no XML document"));
    }
    let root = parse(&body, care)?;
    let mut send = |event: Event<'_>, place: TextPosition| {
        sink.accept(event).map_err(|error| match error {
            SinkError::Io(error) => CodecError::Output(error),
            SinkError::Refused(reason) => data(place_in(&body, place), &reason),
        })
    };
    send(Event::BeginMap(Some(1)), root.place)?;
    root.send(&mut send)?;
    send(Event::EndMap, root.place)
}

/// The root element of a document.
fn parse(body: &[u8], care: Care) -> Result<Element, CodecError> {
    let mut config = ParserConfig::new();
    config.allow_multiple_root_elements = false;
    config.ignore_comments = false;
    config.cdata_to_characters = true;
    config.whitespace_to_characters = true;
    config.max_attributes = MOST_ATTRIBUTES;
    let mut reader = EventReader::new_with_config(body, config);
    let mut open: Vec<Element> = Vec::new();
    // The namespaces around what is open, and above the root.
    let mut scopes = vec![tree::builtin_scope()];
    let mut copies = (NAMESPACE_COPIES_PER_BYTE * body.len()).max(LEAST_NAMESPACE_COPIES);
    let mut root = None;
    loop {
        let event = reader.next().map_err(|error| explain(body, &error))?;
        let place = reader.position();
        let refuse = |reason: &str| data(place_in(body, place), reason);
        let lose = |what: &str| {
            care.lose(what).map_err(|error| match error {
                SinkError::Io(error) => CodecError::Output(error),
                SinkError::Refused(reason) => refuse(&reason),
            })
        };
        match event {
            XmlEvent::StartDocument { version: XmlVersion::Version11, .. } => {
                return Err(refuse("this is XML 1.1, and only XML 1.0 is read"));
            }
            XmlEvent::Doctype { .. } => {
                return Err(refuse("a document type declaration stands before the root element, and none is read"));
            }
            XmlEvent::StartElement { name, attributes, namespace } => {
                if open.len() == MAX_DEPTH {
                    return Err(refuse(&format!("elements nest more than {MAX_DEPTH} levels deep")));
                }
                copies = copies.checked_sub(namespace.0.len()).ok_or_else(|| refuse(TOO_MANY_COPIES))?;
                let preserves = open.last().is_some_and(|around| around.preserves);
                let mut element = Element::new(&tree::qualified(&name), preserves, place);
                scopes.last().into_iter().for_each(|around| element.declare(around, &namespace));
                for attribute in attributes {
                    element.attribute(&tree::qualified(&attribute.name), &attribute.value);
                }
                scopes.push(namespace);
                open.push(element);
            }
            XmlEvent::EndElement { .. } => {
                scopes.pop();
                let Some(mut element) = open.pop() else { continue };
                element.close();
                match open.last_mut() {
                    Some(around) => around.push_element(element),
                    None => root = Some(element),
                }
            }
            XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                if let Some(around) = open.last_mut() {
                    around.push_text(&text);
                }
            }
            XmlEvent::Comment(_) => lose("a comment")?,
            XmlEvent::ProcessingInstruction { name, .. } => lose(&format!("the processing instruction {name}"))?,
            XmlEvent::StartDocument { .. } => {}
            XmlEvent::EndDocument => return root.ok_or_else(|| refuse("there is no root element")),
        }
    }
}

fn explain(body: &[u8], error: &Error) -> CodecError {
    let reason = match error.kind() {
        ErrorKind::UnexpectedEof => "the body ends before the document does".to_owned(),
        ErrorKind::Utf8(_) => "this is not UTF-8".to_owned(),
        ErrorKind::Syntax(told) => {
            let told = told.trim().replace('\n', ", ");
            let mut chars = told.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
        _ => error.to_string(),
    };
    data(place_in(body, error.position()), &reason)
}

fn place_in(body: &[u8], at: TextPosition) -> Place {
    let (line, column) = (usize::try_from(at.row).unwrap_or(0), usize::try_from(at.column).unwrap_or(0));
    whole::place_of_char(body, line, column)
}

fn data(place: Place, reason: &str) -> CodecError {
    CodecError::Data { format: Format::Xml, place, reason: reason.to_owned() }
}
