//! gRPC's frames, by bytes that were put together by hand.

use std::io::Write as _;

use super::protobuf::{ALL, convert, schema};
use super::text;
use crate::codec::{Format, MAX_DEPTH};

fn json_of(body: &[u8]) -> String {
    text(convert(&schema(ALL, "t.All"), Format::Grpc, Format::Json, true, body))
}

fn bytes_of(json: &str) -> Vec<u8> {
    convert(&schema(ALL, "t.All"), Format::Json, Format::Grpc, true, json.as_bytes()).unwrap()
}

fn refusal(from: Format, to: Format, body: &[u8]) -> String {
    let error = convert(&schema(ALL, "t.All"), from, to, false, body).expect_err("must be refused");
    assert!(error.is_data(), "{error:?}");
    error.to_string()
}

/// A frame of one message that is compressed.
fn packed(message: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(message).unwrap();
    let packed = encoder.finish().unwrap();
    [&[1], &u32::try_from(packed.len()).unwrap().to_be_bytes()[..], &packed].concat()
}

#[test]
fn a_stream_is_an_array_of_messages() {
    for (body, json) in [
        (&b""[..], "[]"),
        (b"\0\0\0\0\0", "[{}]"),
        (b"\0\0\0\0\x02\x18\x01\0\0\0\0\0\0\0\0\0\x03\x72\x01a", r#"[{"i32":1},{},{"s":"a"}]"#),
    ] {
        assert_eq!(json_of(body), json);
        assert_eq!(bytes_of(json), body, "{json}");
    }
    // What is no array is one message.
    assert_eq!(bytes_of(r#"{"i32":1}"#), b"\0\0\0\0\x02\x18\x01");
    let all = schema(ALL, "t.All");
    let lines = b"{\"i32\":1}\n{\"packed\":[]}\n";
    let frames = convert(&all, Format::JsonLines, Format::Grpc, true, lines).unwrap();
    assert_eq!(frames, b"\0\0\0\0\x02\x18\x01\0\0\0\0\0");
    assert_eq!(convert(&all, Format::Grpc, Format::JsonLines, true, &frames).unwrap(), b"{\"i32\":1}\n{}\n");
    assert_eq!(convert(&all, Format::Protobuf, Format::Grpc, true, b"\x18\x01").unwrap(), b"\0\0\0\0\x02\x18\x01");
    assert!(refusal(Format::Grpc, Format::Protobuf, &frames).contains("this is an array, and the schema says t.All"));
}

#[test]
fn messages_may_be_compressed() {
    let names = [0x9a, 1, 1, b'a'].repeat(1000);
    let body = [packed(b"\x18\x01"), b"\0\0\0\0\0".to_vec(), packed(&names)].concat();
    let json = json_of(&body);
    assert!(json.starts_with(r#"[{"i32":1},{},{"names":["a","a","#), "{json}");
    let broken = packed(b"\x18");
    let refused = refusal(Format::Grpc, Format::Json, &broken);
    let expected = "grpc body, byte offset 5: message 0, at 1 of what was compressed: t.All: the message ends within";
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn frames_that_are_wrong_are_refused_with_their_place() {
    let mut trailing = packed(b"\x18\x01");
    trailing.push(0);
    trailing[4] += 1;
    let mut cut = packed(b"\x18\x01");
    cut.pop();
    cut[4] -= 1;
    for (body, reason) in [
        (&b"\0\0\0"[..], "byte offset 3: the body ends within the length of a message"),
        (b"\0\0\0\0\x02\x18", "byte offset 6: the body ends early: of a message of 2 bytes it has 1"),
        (b"\0\xff\xff\xff\xff\x18", "byte offset 6: the body ends early: of a message of 4294967295 bytes it has 1"),
        (b"\x02\0\0\0\0", "byte offset 0: a message begins with 0 or 1, and this is 2"),
        (b"\0\0\0\0\0\x80\0\0\0\x01a", "byte offset 5: these are the trailers"),
        (b"\0\0\0\0\0\0\0\0\0\x03\x72\x01\xff", "byte offset 12: message 1: t.All.s: a string is not valid"),
        (b"\x01\0\0\0\x02\x18\x01", "byte offset 5: the message is said to be compressed, and is no gzip"),
        (&trailing, "byte offset 5: more bytes follow what was compressed"),
        (&cut, "and is no gzip"),
    ] {
        let refused = refusal(Format::Grpc, Format::Json, body);
        assert!(refused.contains(reason), "{body:x?}: {refused}");
    }
    let refused = refusal(Format::Json, Format::Grpc, br#"[{"i32":1},{"nope":1}]"#);
    assert!(refused.contains("t.All has no field \"nope\""), "{refused}");
    assert!(refusal(Format::Json, Format::Grpc, b"[[]]").contains("this is an array, and the schema says t.All"));
}

#[test]
fn what_unpacks_without_end_is_refused() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..65 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let body = [&[1], &u32::try_from(bomb.len()).unwrap().to_be_bytes()[..], &bomb].concat();
    let refused = refusal(Format::Grpc, Format::Json, &body);
    assert!(refused.contains("longer than 64 MiB when it is unpacked"), "{refused}");
}

#[test]
fn the_array_around_messages_is_a_level() {
    let mut message = Vec::new();
    for _ in 0..MAX_DEPTH - 1 {
        let mut head = vec![0xd2, 1];
        let mut len = message.len();
        while len > 0x7f {
            head.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        head.push(u8::try_from(len).unwrap());
        message = [head, message].concat();
    }
    let frame = [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
    assert!(refusal(Format::Grpc, Format::Json, &frame).contains("nest more than 120 levels deep"));
    assert!(convert(&schema(ALL, "t.All"), Format::Protobuf, Format::Json, true, &message).is_ok());
}
