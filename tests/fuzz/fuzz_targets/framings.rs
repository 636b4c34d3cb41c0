//! Framings: the same bytes give the same messages, however they arrive, and what was joined splits again.
//!
//! The first byte chooses the framing, the second the sizes of the pieces; the rest is the stream.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use mq::codec::framing::{Framing, FramingError, Splitter, check_frame, write_frame};

/// The messages of a stream, and whether it came to a good end.
type Split = (Vec<Vec<u8>>, bool);

/// Pieces of the sizes 1, 2, … of a small cycle.
struct Pieces<'a> {
    left: &'a [u8],
    seed: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.seed = (self.seed * 5 + 3) % 64;
        let (piece, left) = self.left.split_at((1 + self.seed % 7).min(self.left.len()));
        self.left = left;
        (!piece.is_empty()).then_some(piece)
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let whole = self.left;
        let len = self.next().map_or(0, <[u8]>::len).min(buf.len());
        buf[..len].copy_from_slice(&whole[..len]);
        self.left = &whole[len..];
        Ok(len)
    }
}

fn split<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> Split {
    let mut splitter = Splitter::new(framing);
    let mut frames = Vec::new();
    let mut pushed = 0;
    let mut drain = |splitter: &mut Splitter, at_end: bool| {
        loop {
            match if at_end { splitter.finish() } else { splitter.next_frame() } {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return true,
                Err(_) => {
                    assert!(splitter.next_frame().is_err() || at_end, "an error has to stay one");
                    return false;
                }
            }
        }
    };
    for piece in pieces {
        splitter.push(piece);
        pushed += piece.len();
        if !drain(&mut splitter, false) {
            return (frames, false);
        }
        assert!(splitter.buffered() <= pushed);
    }
    let ended = drain(&mut splitter, true);
    assert!(!ended || splitter.buffered() == 0);
    (frames, ended)
}

/// Takes every message through a reader, none through memory.
fn split_by_reading(framing: Framing, mut stream: Pieces<'_>, most: usize) -> Split {
    let mut splitter = Splitter::new(framing);
    let mut frames = Vec::new();
    loop {
        if splitter.buffered() == 0 && stream.left.is_empty() {
            return (frames, true);
        }
        let mut frame = Vec::new();
        if splitter.stream_frame(&mut stream).read_to_end(&mut frame).is_err() {
            return (frames, false);
        }
        frames.push(frame);
        assert!(frames.len() <= most, "messages out of nothing");
    }
}

fn join(framing: Framing, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for frame in frames {
        check_frame(framing, &mut frame.as_slice()).expect("it came out of such a stream");
        write_frame(framing, &mut frame.as_slice(), frame.len() as u64, &mut stream).expect("memory takes it");
    }
    stream
}

/// Any body: refused, or it comes back as it is.
fn check_body(framing: Framing, body: &[u8]) {
    let holds = framing.delimiter().is_some_and(|delimiter| body.contains(&delimiter));
    match check_frame(framing, &mut &*body) {
        Ok(()) => {
            assert!(!holds);
            let stream = join(framing, &[body.to_vec(), body.to_vec()]);
            assert_eq!(split(framing, [stream.as_slice()].into_iter()), (vec![body.to_vec(); 2], true));
        }
        Err(FramingError::HoldsDelimiter { .. }) => assert!(holds),
        Err(error) => panic!("{error}"),
    }
    for wrong in [body.len() as u64 + 1, (body.len() as u64).wrapping_sub(1)] {
        let written = write_frame(framing, &mut &*body, wrong, &mut io::sink());
        assert!(matches!(written, Err(FramingError::WrongLength { .. })), "{written:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let [framing, seed, stream @ ..] = data else { return };
    let framing = [Framing::Lines, Framing::Null, Framing::LengthPrefixed][usize::from(framing % 3)];
    let pieces = || Pieces { left: stream, seed: usize::from(*seed) };
    let whole = split(framing, [stream].into_iter());
    assert_eq!(split(framing, pieces()), whole, "the pieces make a difference");
    assert_eq!(split_by_reading(framing, pieces(), stream.len() + 1), whole, "reading makes a difference");
    let (frames, ended) = &whole;
    assert!(frames.iter().map(|frame| frame.len() + 1).sum::<usize>() <= stream.len() + 1);
    let joined = join(framing, frames);
    assert_eq!(&split(framing, [joined.as_slice()].into_iter()), &(frames.clone(), true));
    // What the last message may lack is its delimiter; up to an error the stream is what was joined.
    let same = joined.len().min(stream.len());
    assert_eq!(joined[..same], stream[..same]);
    assert!(!ended || joined.len() == stream.len() || joined.len() == stream.len() + 1);
    check_body(framing, stream);
});
