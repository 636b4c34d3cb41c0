//! Names and detection.

use crate::codec::{DetectError, Format};

#[test]
fn names_and_mime_types_are_read_in_any_case() {
    for name in [
        "json",
        "JSON",
        "application/json",
        "Application/JSON; charset=utf-8",
        " text/json ",
        "application/vnd.api+json",
        "application/problem+json;x=1",
    ] {
        assert_eq!(name.parse(), Ok(Format::Json), "{name}");
    }
    for name in [
        "msgpack",
        "MsgPack",
        "application/msgpack",
        "application/x-msgpack",
        "application/vnd.msgpack;v=1",
        "application/thing+msgpack",
    ] {
        assert_eq!(name.parse(), Ok(Format::Msgpack), "{name}");
    }
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    for name in ["", "xls", "+json", "text/html", "application/json5", "json msgpack"] {
        let error = name.parse::<Format>().unwrap_err();
        assert_eq!(error.name, name);
        assert!(error.to_string().contains("one of json, jsonl, msgpack, cbor"), "{error}");
    }
}

#[test]
fn names_come_back() {
    for &format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(format.mime_type().parse(), Ok(format));
        assert_eq!(format!("{format:>8}").len(), 8);
    }
}

#[test]
fn json_is_detected() {
    for body in ["{}", "[1]", " \r\n\t{", "\"a\"", "-1", "12", "5\n", "true", "false", "null"] {
        assert_eq!(Format::detect(body.as_bytes(), body.len() as u64), Ok(Format::Json), "{body}");
    }
    // The start of a longer body may be a single digit.
    assert_eq!(Format::detect(b"5", 2), Ok(Format::Json));
}

#[test]
fn msgpack_is_detected() {
    for body in [&[0x90_u8][..], &[0x93, 1, 2, 3], &[0xa1, b'a'], &[0xc0], &[0xff], &[0xc4, 1, 0], &[0xd9, 0]] {
        assert_eq!(Format::detect(body, body.len() as u64), Ok(Format::Msgpack), "{body:x?}");
    }
    let long = [&[0x92, 0xdb, 0, 0, 0x80, 0][..], &[b'x'; 3000]].concat();
    assert_eq!(Format::detect(&long, 0x8007), Ok(Format::Msgpack));
}

#[test]
fn cbor_is_detected() {
    for body in [&[0x83_u8, 1, 2, 3][..], &[0xa1, 0x61, b'a', 1], &[0x9f, 0xff], &[0xd9, 0xd9, 0xf7, 1], &[0xf9, 0, 0]]
    {
        assert_eq!(Format::detect(body, body.len() as u64), Ok(Format::Cbor), "{body:x?}");
    }
}

#[test]
fn yaml_is_detected_by_its_first_line_alone() {
    for body in ["---", "---\n- a", "--- a", "---\r\na: 1", "%YAML 1.2\n---\n1"] {
        assert_eq!(Format::detect(body.as_bytes(), body.len() as u64), Ok(Format::Yaml), "{body}");
    }
    for body in ["a: 1", "%TAG ! a", "# a", "----"] {
        assert_ne!(Format::detect(body.as_bytes(), body.len() as u64), Ok(Format::Yaml), "{body}");
    }
    assert_eq!("text/x-yaml".parse(), Ok(Format::Yaml));
    assert_eq!("application/openapi+yaml".parse(), Ok(Format::Yaml));
}

#[test]
fn xml_is_detected_by_its_declaration() {
    for body in ["<?xml version='1.0'?><a/>", "<?xml\nversion='1.0'?><a/>", "\u{feff}<?xml version='1.0'?><a/>"] {
        assert_eq!(Format::detect(body.as_bytes(), body.len() as u64), Ok(Format::Xml), "{body}");
    }
    assert_eq!("text/xml".parse(), Ok(Format::Xml));
    assert_eq!("image/svg+xml".parse(), Ok(Format::Xml));
}

#[test]
fn what_is_both_or_neither_is_refused() {
    assert_eq!(Format::detect(b"", 0), Err(DetectError::Empty));
    for digit in b'0'..=b'9' {
        assert_eq!(Format::detect(&[digit], 1), Err(DetectError::Ambiguous));
    }
    for body in [&[0x80_u8][..], &[0xa0], &[0xc4, 0]] {
        assert_eq!(Format::detect(body, body.len() as u64), Err(DetectError::Ambiguous), "{body:x?}");
    }
    for body in [
        &b"hello"[..],
        b"  ",
        b"<a/>",
        b"<?xml-stylesheet?>",
        b"\xef\xbb\xbf{}",
        "été".as_bytes(),
        b"\xc1",
        b"\x05",
        b"[",
        b"\"",
        b"t",
    ] {
        let error = Format::detect(body, body.len() as u64).unwrap_err();
        assert_eq!(error, DetectError::Unknown, "{body:x?}");
        assert!(error.to_string().contains("name its format"));
    }
}
