//! Codecs: no document makes a conversion panic, run away or lie, whatever it nests and claims.
//!
//! Of the first byte five bits choose the format of the input, and three how deep the rest of it is nested.

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use mq::codec::{CodecError, Conversion, Format, convert};

/// Brings one byte at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = buf.len().min(1);
        self.0.read(&mut buf[..len])
    }
}

fn converted(from: Format, to: Format, input: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    let result = convert(from, to, &mut &*input, &mut output);
    let mut trickled = Vec::new();
    let trickle = convert(from, to, &mut Trickle(input), &mut trickled);
    assert_eq!(result.is_ok(), trickle.is_ok(), "the pieces make a difference");
    match result {
        Ok(()) => {
            assert_eq!(output, trickled);
            Some(output)
        }
        Err(error @ CodecError::Data { .. }) => {
            assert!(!error.to_string().is_empty());
            None
        }
        Err(error) => panic!("memory failed: {error}"),
    }
}

fn loses_nothing(from: Format, to: Format, input: &[u8]) -> bool {
    let strict = Conversion { is_strict: true, ..Conversion::new(from, to) };
    strict.run(&mut &*input, &mut Vec::new()).is_ok()
}

/// What was converted is valid, and says the same when it is written anew and taken there and back.
fn check(from: Format, to: Format, input: &[u8]) {
    let Some(output) = converted(from, to, input) else { return };
    let again = converted(to, to, &output).expect("what was written can be read");
    assert_eq!(again, output, "written anew it is another document");
    // Others may begin as JSON does, or be JSON.
    let is_told = matches!(to, Format::Json | Format::Msgpack | Format::Xml);
    assert!(!is_told || !Format::detect(&output, output.len() as u64).is_ok_and(|format| format != to));
    for other in Format::STRUCTURED {
        // Each may hold what the others cannot: keys that are no strings, integers of any length.
        // Lines are an array, also one that was the whole document, and TOML and XML have none
        // outermost.
        if *other == Format::JsonLines && matches!(to, Format::Toml | Format::Xml) {
            continue;
        }
        let Some(there) = converted(to, *other, &output) else { continue };
        let back = converted(*other, to, &there).expect("the way back");
        let there_again = converted(to, *other, &back).expect("and there once more");
        // What is lost on the way back cannot be there once more.
        if loses_nothing(*other, to, &there) {
            assert_eq!(there_again, there, "{to} to {other} and back is no fixed point");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [choice, input @ ..] = data else { return };
    let from = Format::STRUCTURED[usize::from(*choice & 0x1f) % Format::STRUCTURED.len()];
    // Deep nesting is a matter of a few bytes in Msgpack and of as many as there are levels in JSON.
    let nested: Vec<u8> = match choice >> 5 {
        0..=4 => input.to_vec(),
        5 => [&[0x91; 200], input].concat(),
        6 => [&[b'['; 120], input, &[b']'; 120]].concat(),
        _ => [&vec![b'['; 100_000], input].concat(),
    };
    let _ = Format::detect(&nested, nested.len() as u64);
    for to in Format::STRUCTURED {
        check(from, *to, &nested);
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(format) = text.parse::<Format>()
    {
        assert_eq!(format.name().parse(), Ok(format));
        assert_eq!(format.mime_type().parse(), Ok(format));
    }
});
