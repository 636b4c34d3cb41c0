//! Elements, as the reader and the writer of XML both have them between text and values.
//!
//! An element that is closed has its contents in the one form that the mapping has for them: no text is empty, no two texts
//! stand side by side, and white space that is mere layout is gone.

use std::collections::HashSet;

use ::xml::common::{TextPosition, is_whitespace_str};
use ::xml::name::OwnedName;
use ::xml::namespace::{NS_XML_PREFIX, NS_XML_URI, NS_XMLNS_PREFIX, NS_XMLNS_URI, Namespace};

use super::super::error::CodecError;
use super::super::event::Event;

/// The key of a text beside attributes.
pub(super) const TEXT: &str = "#text";

/// The key of contents whose order says something.
pub(super) const CHILDREN: &str = "#children";

/// What the key of an attribute begins with.
pub(super) const ATTRIBUTE: char = '@';

#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: Box<str>,
    /// The declarations of namespaces, then the others.
    pub(super) attributes: Vec<(Box<str>, Box<str>)>,
    pub(super) contents: Vec<Content>,
    /// Whether white space says something in it.
    pub(super) preserves: bool,
    pub(super) place: TextPosition,
}

#[derive(Debug, PartialEq)]
pub(super) enum Content {
    Text(String),
    Element(Element),
}

/// Wherever they are, elements that say the same are equal.
impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.attributes == other.attributes && self.contents == other.contents
    }
}

type Send<'s> = dyn FnMut(Event<'_>, TextPosition) -> Result<(), CodecError> + 's;

impl Element {
    /// One in which white space is as in the one around it.
    pub(super) fn new(name: &str, preserves: bool, place: TextPosition) -> Self {
        Element { name: name.into(), attributes: Vec::new(), contents: Vec::new(), preserves, place }
    }

    /// Adds the namespaces that are not as they are around it.
    pub(super) fn declare(&mut self, around: &Namespace, inside: &Namespace) {
        for (prefix, uri) in &inside.0 {
            // Without a declaration there is none for names without a prefix.
            let before = around.get(prefix.as_str()).or(prefix.is_empty().then_some(""));
            if before != Some(uri) {
                let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
                self.attributes.push((name.into(), uri.as_str().into()));
            }
        }
    }

    pub(super) fn attribute(&mut self, name: &str, value: &str) {
        if name == "xml:space" {
            self.preserves = value == "preserve";
        }
        self.attributes.push((name.into(), value.into()));
    }

    pub(super) fn push_text(&mut self, text: &str) {
        match self.contents.last_mut() {
            _ if text.is_empty() => {}
            Some(Content::Text(before)) => before.push_str(text),
            _ => self.contents.push(Content::Text(text.to_owned())),
        }
    }

    pub(super) fn push_element(&mut self, element: Element) {
        self.contents.push(Content::Element(element));
    }

    /// Nothing more comes. Returns whether there was white space that is no part of the document.
    pub(super) fn close(&mut self) -> bool {
        let is_layout = |content: &Content| matches!(content, Content::Text(text) if is_whitespace_str(text));
        let has_elements = self.contents.iter().any(|content| matches!(content, Content::Element(_)));
        let has_text = self.contents.iter().any(|content| matches!(content, Content::Text(_)) && !is_layout(content));
        if !has_elements || has_text || self.preserves {
            return false;
        }
        let before = self.contents.len();
        self.contents.retain(|content| !is_layout(content));
        self.contents.len() < before
    }

    /// Sends the name and the value.
    pub(super) fn send(&self, send: &mut Send<'_>) -> Result<(), CodecError> {
        send(Event::Str(&self.name), self.place)?;
        self.send_value(send)
    }

    fn send_value(&self, send: &mut Send<'_>) -> Result<(), CodecError> {
        let at = self.place;
        let text = match self.contents.as_slice() {
            [] => Some(""),
            [Content::Text(text)] => Some(text.as_str()),
            _ => None,
        };
        if let (Some(text), []) = (text, self.attributes.as_slice()) {
            return send(Event::Str(text), at);
        }
        let groups = self.groups();
        let inside = match (text, &groups) {
            (Some(text), _) => usize::from(!text.is_empty()),
            (None, Some(groups)) => groups.len(),
            (None, None) => 1,
        };
        send(Event::BeginMap(Some((self.attributes.len() + inside) as u64)), at)?;
        for (name, value) in &self.attributes {
            send(Event::Str(&format!("{ATTRIBUTE}{name}")), at)?;
            send(Event::Str(value), at)?;
        }
        match (text, groups) {
            (Some(""), _) => {}
            (Some(text), _) => {
                send(Event::Str(TEXT), at)?;
                send(Event::Str(text), at)?;
            }
            (None, Some(groups)) => {
                for group in groups {
                    send_group(&group, send)?;
                }
            }
            (None, None) => self.send_children(send)?,
        }
        send(Event::EndMap, at)
    }

    fn send_children(&self, send: &mut Send<'_>) -> Result<(), CodecError> {
        send(Event::Str(CHILDREN), self.place)?;
        send(Event::BeginSeq(Some(self.contents.len() as u64)), self.place)?;
        for content in &self.contents {
            match content {
                Content::Text(text) => send(Event::Str(text), self.place)?,
                Content::Element(element) => {
                    send(Event::BeginMap(Some(1)), element.place)?;
                    element.send(send)?;
                    send(Event::EndMap, element.place)?;
                }
            }
        }
        send(Event::EndSeq, self.place)
    }

    /// The elements inside by their names, if there is nothing else and that tells their order.
    fn groups(&self) -> Option<Vec<Vec<&Element>>> {
        let mut groups: Vec<Vec<&Element>> = Vec::new();
        let mut names = HashSet::new();
        for content in &self.contents {
            let Content::Element(element) = content else { return None };
            match groups.last_mut() {
                Some(group) if group[0].name == element.name => group.push(element),
                _ if names.insert(&element.name) => groups.push(vec![element]),
                _ => return None,
            }
        }
        Some(groups)
    }
}

fn send_group(group: &[&Element], send: &mut Send<'_>) -> Result<(), CodecError> {
    let [first, rest @ ..] = group else { return Ok(()) };
    if rest.is_empty() {
        return first.send(send);
    }
    send(Event::Str(&first.name), first.place)?;
    send(Event::BeginSeq(Some(group.len() as u64)), first.place)?;
    for element in group {
        element.send_value(send)?;
    }
    send(Event::EndSeq, first.place)
}

/// The namespaces that need no declaration.
pub(super) fn builtin_scope() -> Namespace {
    let known = [(NS_XML_PREFIX, NS_XML_URI), (NS_XMLNS_PREFIX, NS_XMLNS_URI)];
    Namespace(known.map(|(prefix, uri)| (prefix.to_owned(), uri.to_owned())).into())
}

/// A name as it is written.
pub(super) fn qualified(name: &OwnedName) -> String {
    match &name.prefix {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", name.local_name),
        _ => name.local_name.clone(),
    }
}
