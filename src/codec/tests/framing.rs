//! Messages in, messages out.

use std::io::{self, Read};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::codec::framing::{Framing, FramingError, Splitter, check_frame, write_frame};

const ALL: [Framing; 3] = [Framing::Lines, Framing::Null, Framing::LengthPrefixed];

fn frames(framing: Framing, stream: &[u8]) -> Result<Vec<Vec<u8>>, FramingError> {
    let mut splitter = Splitter::new(framing);
    splitter.push(stream);
    let mut frames = Vec::new();
    while let Some(frame) = splitter.finish()? {
        frames.push(frame);
    }
    Ok(frames)
}

fn joined(framing: Framing, bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for body in bodies {
        write_frame(framing, &mut &body[..], body.len() as u64, &mut stream).unwrap();
    }
    stream
}

#[test]
fn lines_are_exact_bytes() {
    let expect = |stream: &[u8], lines: &[&[u8]]| assert_eq!(frames(Framing::Lines, stream).unwrap(), lines);
    expect(b"", &[]);
    expect(b"\n", &[b""]);
    expect(b"a\n\nb", &[b"a", b"", b"b"]);
    expect(b"a\r\n\0\xff\n", &[b"a\r", b"\0\xff"]);
    assert_eq!(frames(Framing::Null, b"a\nb\0\0c").unwrap(), [&b"a\nb"[..], b"", b"c"]);
}

#[test]
fn netstrings_are_strict() {
    assert_eq!(frames(Framing::LengthPrefixed, b"5:hello,0:,3:a,\n,").unwrap(), [&b"hello"[..], b"", b"a,\n"]);
    assert!(frames(Framing::LengthPrefixed, b"").unwrap().is_empty());

    let refused = |stream: &[u8]| frames(Framing::LengthPrefixed, stream).unwrap_err();
    for stream in [&b"5"[..], b"5:", b"5:hell", b"5:hello", b"1:a,0", b"0:", b"9999999999999999999:"] {
        assert!(matches!(refused(stream), FramingError::Truncated { .. }), "{stream:?}");
    }
    for (stream, byte) in [(&b"a:"[..], b'a'), (b":,", b':'), (b"-1:a,", b'-'), (b"1:a,\n", b'\n'), (b"1 :a,", b' ')] {
        assert!(matches!(refused(stream), FramingError::NotALength { byte: b, .. } if b == byte), "{stream:?}");
    }
    for stream in [&b"00:,"[..], b"05:hello,"] {
        assert!(matches!(refused(stream), FramingError::LeadingZero { frame: 1 }), "{stream:?}");
    }
    assert!(matches!(refused(b"10000000000000000000:"), FramingError::LengthTooLong { frame: 1 }));
    let error = refused(b"1:a,5:hello;1:b,");
    assert!(matches!(error, FramingError::MissingComma { frame: 2, byte: b';' }));
    assert!(error.to_string().starts_with("message 2 of the stream"), "{error}");
}

#[test]
fn errors_stay() {
    let mut splitter = Splitter::new(Framing::LengthPrefixed);
    splitter.push(b"1:a;");
    for _ in 0..2 {
        assert!(matches!(splitter.next_frame(), Err(FramingError::MissingComma { frame: 1, .. })));
        splitter.push(b"1:b,");
    }
}

#[test]
fn buffered_counts_the_unfinished_message() {
    let mut splitter = Splitter::new(Framing::Lines);
    splitter.push(b"one\ntw");
    assert_eq!(splitter.next_frame().unwrap().unwrap(), b"one");
    assert!(splitter.next_frame().unwrap().is_none());
    assert_eq!(splitter.buffered(), 2);
    splitter.push(b"o");
    assert_eq!(splitter.buffered(), 3);
    assert_eq!(splitter.finish().unwrap().unwrap(), b"two");
    assert_eq!(splitter.buffered(), 0);
}

#[test]
fn single_bytes_take_linear_time() {
    for framing in ALL {
        let body = vec![b'x'; 1_000_000];
        let mut splitter = Splitter::new(framing);
        let mut found = None;
        for byte in joined(framing, std::slice::from_ref(&body)) {
            splitter.push(&[byte]);
            found = splitter.next_frame().unwrap();
        }
        assert_eq!(found, Some(body));
    }
}

#[test]
fn a_large_message_streams_and_the_splitter_goes_on() {
    for framing in ALL {
        let bodies = [b"first".to_vec(), vec![b'x'; 300_000], b"".to_vec(), b"last".to_vec()];
        let stream = joined(framing, &bodies);
        let (arrived, mut rest) = stream.split_at(40_000);
        let mut splitter = Splitter::new(framing);
        splitter.push(arrived);
        assert_eq!(splitter.next_frame().unwrap().unwrap(), bodies[0]);
        assert!(splitter.next_frame().unwrap().is_none());

        let mut start = [0; 10];
        splitter.stream_frame(&mut rest).read_exact(&mut start).unwrap();
        assert!(matches!(splitter.next_frame(), Err(FramingError::Unfinished { frame: 2 })));
        assert!(matches!(splitter.finish(), Err(FramingError::Unfinished { frame: 2 })));

        // Another reader goes on where the first one stopped.
        let mut body = start.to_vec();
        let mut reader = splitter.stream_frame(&mut rest);
        reader.read_to_end(&mut body).unwrap();
        assert_eq!(reader.read(&mut start).unwrap(), 0);
        assert_eq!(body, bodies[1]);
        splitter.push(rest);
        assert_eq!(splitter.finish().unwrap().unwrap(), bodies[2]);
        assert_eq!(splitter.finish().unwrap().unwrap(), bodies[3]);
        assert!(splitter.finish().unwrap().is_none());
    }
}

#[test]
fn the_end_of_the_stream_ends_a_line_and_truncates_a_netstring() {
    let mut splitter = Splitter::new(Framing::Lines);
    splitter.push(b"beginning ");
    let mut body = String::new();
    splitter.stream_frame(&mut &b"and end"[..]).read_to_string(&mut body).unwrap();
    assert_eq!(body, "beginning and end");
    assert!(splitter.finish().unwrap().is_none());

    for (arrived, rest, kind) in [
        (&b"5:he"[..], &b"ll"[..], io::ErrorKind::UnexpectedEof),
        (b"5:he", b"llo", io::ErrorKind::UnexpectedEof),
        (b"5", b"", io::ErrorKind::UnexpectedEof),
        (b"", b"", io::ErrorKind::UnexpectedEof),
        (b"5:he", b"llo;", io::ErrorKind::InvalidData),
        (b"5:hello", b";", io::ErrorKind::InvalidData),
        (b"5", b"x", io::ErrorKind::InvalidData),
    ] {
        let mut splitter = Splitter::new(Framing::LengthPrefixed);
        splitter.push(arrived);
        let error = splitter.stream_frame(&mut &*rest).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), kind, "{arrived:?} {rest:?}");
        assert!(error.get_ref().unwrap().is::<FramingError>());
        assert!(splitter.next_frame().is_err());
    }
}

#[test]
fn a_body_that_would_not_come_back_is_refused() {
    let long = [&vec![b'x'; 100_000][..], b"\n"].concat();
    let error = check_frame(Framing::Lines, &mut &long[..]).unwrap_err();
    assert!(matches!(error, FramingError::HoldsDelimiter { delimiter: b'\n', offset: 100_000 }));
    assert!(error.to_string().contains("line feed") && error.to_string().contains("--length-prefixed"), "{error}");
    let error = check_frame(Framing::Null, &mut &b"\0"[..]).unwrap_err();
    assert!(error.to_string().contains("NUL byte at byte offset 0"), "{error}");

    check_frame(Framing::Lines, &mut &b"a\0\r"[..]).unwrap();
    check_frame(Framing::Null, &mut &long[..]).unwrap();
    check_frame(Framing::LengthPrefixed, &mut &b"\n\0,"[..]).unwrap();
}

#[test]
fn a_body_of_another_length_is_refused() {
    for framing in ALL {
        for len_bytes in [0, 4, 6, u64::MAX] {
            let error = write_frame(framing, &mut &b"hello"[..], len_bytes, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, FramingError::WrongLength { .. }), "{error:?}");
        }
    }
}

/// Brings the pieces one by one.
struct Pieces<'a>(Vec<&'a [u8]>);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.0.first_mut() {
            if !piece.is_empty() {
                return piece.read(buf);
            }
            self.0.remove(0);
        }
        Ok(0)
    }
}

/// Cuts a stream at every position that `cuts` says, relative to its length.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in at {
        pieces.push(&stream[start..end]);
        start = end;
    }
    pieces.push(&stream[start..]);
    pieces
}

fn bodies(framing: Framing) -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Few byte values, so that delimiters, digits and commas meet often.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"\n\0,:059\r"[..])]
        .prop_map(move |byte| if framing.delimiter() == Some(byte) { b'x' } else { byte });
    vec(vec(byte, 0..30), 0..12)
}

fn cases() -> impl Strategy<Value = (Framing, Vec<Vec<u8>>, Vec<prop::sample::Index>)> {
    prop::sample::select(&ALL[..])
        .prop_flat_map(|framing| (Just(framing), bodies(framing), vec(any::<prop::sample::Index>(), 0..40)))
}

proptest! {
    #[test]
    fn frames_out_are_bodies_in((framing, bodies, cuts) in cases()) {
        let stream = joined(framing, &bodies);
        let mut splitter = Splitter::new(framing);
        let mut out = Vec::new();
        for piece in cut(&stream, &cuts) {
            splitter.push(piece);
            while let Some(frame) = splitter.next_frame().unwrap() {
                out.push(frame);
            }
        }
        prop_assert_eq!(splitter.buffered(), 0);
        prop_assert!(splitter.finish().unwrap().is_none());
        prop_assert_eq!(out, bodies);
    }

    #[test]
    fn streamed_frames_are_bodies_in(
        (framing, bodies, cuts) in cases(),
        arrived in any::<prop::sample::Index>(),
        step in 1_usize..9,
    ) {
        let stream = joined(framing, &bodies);
        let (arrived, rest) = stream.split_at(arrived.index(stream.len() + 1));
        let mut rest = Pieces(cut(rest, &cuts));
        let mut splitter = Splitter::new(framing);
        splitter.push(arrived);
        for (number, body) in bodies.iter().enumerate() {
            // Whole messages now and then, to see that the two ways of reading agree on where they are.
            if number % 3 == 2 && let Some(frame) = splitter.next_frame().unwrap() {
                prop_assert_eq!(&frame, body);
                continue;
            }
            let mut reader = splitter.stream_frame(&mut rest);
            let mut frame: Vec<u8> = Vec::new();
            let mut block = [0; 8];
            loop {
                match reader.read(&mut block[..step.min(8)]).unwrap() {
                    0 => break,
                    len => frame.extend(&block[..len]),
                }
            }
            prop_assert_eq!(&frame, body);
        }
        let mut left = Vec::new();
        rest.read_to_end(&mut left).unwrap();
        prop_assert!(left.is_empty() && splitter.finish().unwrap().is_none());
    }
}
