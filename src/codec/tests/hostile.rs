//! Bodies that are wrong, or mean harm.

use super::{BOTH, json_to_json, json_to_msgpack, msgpack_to_json, refusal, run};
use crate::codec::{CodecError, Conversion, Format, MAX_DEPTH, Place};

fn place(from: Format, to: Format, body: &[u8]) -> Place {
    match run(from, to, body).unwrap_err() {
        CodecError::Data { format, place, .. } if format == from => place,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_body_is_no_document() {
    for to in BOTH {
        for body in ["", "  \n"] {
            assert!(refusal(Format::Json, to, body.as_bytes()).contains("the body is empty"));
        }
        assert!(refusal(Format::Msgpack, to, b"").contains("the body is empty"));
    }
}

#[test]
fn a_body_is_one_document() {
    for body in ["1 2", "{}{}", "[1]]", "null,", "1-2", "\"a\"\0", "{}\u{a0}"] {
        refusal(Format::Json, Format::Json, body.as_bytes());
        refusal(Format::Json, Format::Msgpack, body.as_bytes());
    }
    assert_eq!(json_to_json(" [1]\r\n\t "), "[1]");
    for body in [&[0x01, 0x02][..], &[0x90, 0x90], &[0xc0, b'\n'], &[0x81, 0xa0, 0xc0, 0x00]] {
        for to in BOTH {
            let message = refusal(Format::Msgpack, to, body);
            assert!(message.contains(&format!("byte offset {}: more bytes", body.len() - 1)), "{message}");
        }
    }
}

#[test]
fn json_that_is_malformed_is_refused() {
    for body in [
        "[1,]",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "{null:1}",
        "[",
        "{\"a\"",
        "\"abc",
        "tru",
        "truE",
        "nul1",
        "'a'",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "--1",
        "1.2.3",
        "1e5e5",
        "0x1",
        "-01",
        "00",
        "[1 2]",
        "[1\"a\"]",
        "NaN",
        "Infinity",
        "\"\n\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ud800a\"",
        "// a\n1",
        "\u{feff}1",
        "[1,2",
        "{\"a\":1",
        "1true",
        "[-]",
        "{\"a\":1e}",
    ] {
        for to in BOTH {
            assert!(!refusal(Format::Json, to, body.as_bytes()).contains(" at line "), "{body}");
        }
    }
    for body in [&b"\"\xff\""[..], b"\"\xc0\xaf\"", b"\"\xed\xa0\x80\"", b"\xff", b"[\x80]"] {
        refusal(Format::Json, Format::Json, body);
    }
}

#[test]
fn json_errors_tell_line_and_column() {
    let at = |line, column| Place::LineColumn { line, column };
    assert_eq!(place(Format::Json, Format::Json, b"[\n 123456, x]"), at(2, 10));
    assert_eq!(place(Format::Json, Format::Json, b"{\"a\": 1.25e5 \"b\"}"), at(1, 14));
    assert_eq!(place(Format::Json, Format::Json, b"[1,\n2,\n01]"), at(3, 2));
    let message = refusal(Format::Json, Format::Msgpack, b"{\n \"n\": 99999999999999999999}");
    assert!(message.starts_with("json body, line 2, column "), "{message}");
    assert!(message.ends_with("the number 99999999999999999999 is outside the range of 64-bit integers"), "{message}");
}

#[test]
fn numbers_that_the_target_cannot_hold_are_refused() {
    for body in ["18446744073709551616", "-9223372036854775809", "[123456789012345678901234567890]"] {
        assert!(refusal(Format::Json, Format::Msgpack, body.as_bytes()).contains("64-bit integers"));
    }
    for body in ["1e400", "-1e400", "{\"a\":1.8e308}"] {
        assert!(refusal(Format::Json, Format::Msgpack, body.as_bytes()).contains("64-bit floats"));
    }
    let long = "9".repeat(1_000_000);
    assert!(refusal(Format::Json, Format::Msgpack, long.as_bytes()).len() < 200);
    assert_eq!(json_to_json(&long), long);
}

#[test]
fn nesting_stops_at_the_limit() {
    let nested = |depth: usize, inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = nested(MAX_DEPTH, r#"{"$ext":[1,"aGk="]}"#);
    let binary = json_to_msgpack(&deepest);
    assert_eq!(binary.len(), MAX_DEPTH + 4);
    assert_eq!(msgpack_to_json(&binary), deepest);
    assert_eq!(json_to_json(&deepest), deepest);
    let maps = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
    assert_eq!(msgpack_to_json(&json_to_msgpack(&maps)), maps);

    for to in BOTH {
        let message = refusal(Format::Json, to, nested(MAX_DEPTH + 1, "").as_bytes());
        assert!(message.contains("nest more than 120 levels"), "{message}");
        refusal(Format::Json, to, nested(MAX_DEPTH, r#"{"$ext":[1,[]]}"#).as_bytes());
        refusal(Format::Json, to, "[".repeat(1_000_000).as_bytes());
        refusal(Format::Json, to, "{\"a\":".repeat(1_000_000).as_bytes());
        refusal(Format::Json, to, "{\"$ext\":[".repeat(1_000_000).as_bytes());

        let message = refusal(Format::Msgpack, to, &vec![0x91; 1_000_000]);
        assert!(message.contains("byte offset 120: arrays and maps nest more than"), "{message}");
        refusal(Format::Msgpack, to, &[0x81, 0xa1, b'a'].repeat(1_000_000));
        // Maps in the place of keys.
        refusal(Format::Msgpack, to, &vec![0x81; 1_000_000]);
    }
}

#[test]
fn lengths_that_lie_are_not_believed() {
    let bodies: &[&[u8]] = &[
        &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a', b'b'],
        &[0xc6, 0xff, 0xff, 0xff, 0xff, 0, 0],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0],
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, b'a'],
        &[0xd9, 5, b'a'],
        &[0xd9],
        &[0xcf, 1, 2],
        &[0xca],
        &[0xd8, 1],
        &[0xd4],
        &[0xc7, 4],
        &[0x92, 0x01],
        &[0x81, 0xa1, b'a'],
    ];
    for &body in bodies {
        for to in BOTH {
            let message = refusal(Format::Msgpack, to, body);
            let expected = format!("msgpack body, byte offset {}: the body ends before", body.len());
            assert!(message.contains(&expected), "{body:x?}: {message}");
        }
    }
}

#[test]
fn msgpack_that_is_malformed_is_refused_with_its_offset() {
    for to in BOTH {
        assert!(refusal(Format::Msgpack, to, &[0x92, 0x01, 0xc1]).contains("byte offset 2: the byte 0xc1"));
        for head in [&[0xa2][..], &[0xd9, 2], &[0xda, 0, 2], &[0xdb, 0, 0, 0, 2]] {
            let body = [&[0x91], head, &[0xff, 0xfe]].concat();
            assert!(refusal(Format::Msgpack, to, &body).contains("byte offset 1: a string is not valid UTF-8"));
        }
    }
    // The same bytes are right in a bin.
    assert_eq!(msgpack_to_json(&[0xc4, 2, 0xff, 0xfe]), r#"{"$binary":"//4="}"#);
}

#[test]
fn msgpack_that_json_has_no_form_for_is_refused() {
    for key in [&[0x90][..], &[0x80], &[0xc4, 0], &[0xd4, 1, 1]] {
        let body = [&[0x82, 0xa1, b'a', 0xc0], key, &[0xc0]].concat();
        let message = refusal(Format::Msgpack, Format::Json, &body);
        assert!(message.contains("byte offset 4: a map key is an array, a map or binary"), "{message}");
    }
    for (key, spelled) in
        [(&[0x01][..], "1"), (&[0xc0], "null"), (&[0xc3], "true"), (&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], "0")]
    {
        let body = [&[0x81], key, &[0xc0]].concat();
        assert_eq!(msgpack_to_json(&body), format!("{{\"{spelled}\":null}}"));
        let strict = Conversion { is_strict: true, ..Conversion::new(Format::Msgpack, Format::Json) };
        let error = strict.run(&mut body.as_slice(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains(&format!("that the map key {spelled} is no string would be lost")), "{error}");
    }
    for map in [
        &b"\x81\xa7$binary\xa4aGk="[..],
        b"\x81\xa6$float\xa3NaN",
        b"\x81\xa4$ext\x92\x01\xa4aGk=",
        b"\x81\xa4$ext\x92\xff\xa0",
    ] {
        assert!(refusal(Format::Msgpack, Format::Json, map).contains("would come back as something else"));
        assert_eq!(run(Format::Msgpack, Format::Msgpack, map).unwrap(), map);
    }
}

#[test]
fn broad_and_deep_bodies_take_linear_time() {
    // With buffers inside buffers each of these bytes would be copied once per level.
    let leaf = format!("\"{}\"", "x".repeat(4_000_000));
    let json = format!("{}{leaf}{}", "[1,".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(msgpack_to_json(&json_to_msgpack(&json)), json);
}
