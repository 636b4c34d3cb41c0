//! The language of man(7), as much of it as a page of the manual needs.
//!
//! Invariant: whatever text comes in, none of it is taken for a request or an escape sequence.

use std::fmt::Write as _;

/// A page that is being written.
pub(super) struct Roff {
    text: String,
    /// Whether a section has begun and nothing is in it yet: a paragraph needs no break there.
    is_at_start: bool,
}

/// Text without a meaning to roff, letter for letter: dashes that can be copied, quotes that stay straight.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '.' if at == 0 || text[..at].ends_with('\n') => escaped.push_str("\\&."),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Words to be typed as they are.
pub(super) fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

/// Words that stand for others.
pub(super) fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// A page, as text refers to it: `mq-put(1)`.
pub(super) fn page_reference(name: &str, section: u8) -> String {
    format!("{}({section})", bold(name))
}

/// Text in which what stands between backticks is bold.
fn inline(text: &str) -> String {
    let mut marked = String::new();
    for (at, part) in text.split('`').enumerate() {
        marked.push_str(&if at % 2 == 1 { bold(part) } else { escape(part) });
    }
    // A bold word hides a dot at the start; a paragraph that begins with one is escaped already.
    marked
}

impl Roff {
    /// A page with its title.
    pub(super) fn new(title: &str, section: u8, date: &str, source: &str) -> Self {
        let title = title.to_uppercase();
        Self { text: format!(".TH {title} {section} {date} \"{source}\" \"mq manual\"\n"), is_at_start: true }
    }

    /// Begins a section.
    pub(super) fn section(&mut self, heading: &str) {
        let _ = writeln!(self.text, ".SH {heading}");
        self.is_at_start = true;
    }

    /// A line of roff as it is.
    pub(super) fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
        self.is_at_start = false;
    }

    /// A paragraph of running text.
    pub(super) fn paragraph(&mut self, text: &str) {
        if !self.is_at_start {
            self.line(".PP");
        }
        self.line(&inline(text));
    }

    /// Paragraphs; what is indented is shown as it stands.
    pub(super) fn text(&mut self, text: &str) {
        for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            if !block.starts_with(' ') {
                self.paragraph(&block.split_whitespace().collect::<Vec<_>>().join(" "));
                continue;
            }
            let lines: Vec<&str> = block.lines().collect();
            let indent = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
            if !self.is_at_start {
                self.line(".PP");
            }
            self.line(".nf");
            for line in lines {
                let line = escape(&line[indent..]);
                self.line(&line);
            }
            self.line(".fi");
        }
    }

    /// An entry of a list: what it is called, in roff, and what it means, in words.
    pub(super) fn item(&mut self, tag: &str, text: &str) {
        self.line(".TP");
        self.line(tag);
        self.line(&inline(text));
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_taken_for_a_request() {
        assert_eq!(escape(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(escape("a\n.b"), "a\n\\&.b");
        assert_eq!(escape("'x' \\fB -- ~"), "\\(aqx\\(aq \\efB \\-\\- \\(ti");
        assert_eq!(inline("use `mq put`, please"), "use \\fBmq put\\fR, please");
    }
}
