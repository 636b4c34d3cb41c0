//! Texts, bytes and their spellings, and JSON lines.

use super::{refusal, run, text};
use crate::codec::Format;

fn to(from: Format, to: Format, body: &str) -> String {
    text(run(from, to, body.as_bytes()))
}

#[test]
fn a_text_is_a_string_and_bytes_are_binary() {
    assert_eq!(to(Format::Text, Format::Json, "a \"b\"\n"), r#""a \"b\"\n""#);
    assert_eq!(to(Format::Json, Format::Text, r#" "a \"b\"\n" "#), "a \"b\"\n");
    assert_eq!(to(Format::Raw, Format::Json, "hi"), r#"{"$binary":"aGk="}"#);
    assert_eq!(to(Format::Base64, Format::Json, "aGk="), r#"{"$binary":"aGk="}"#);
    assert_eq!(run(Format::Hex, Format::Msgpack, b"00ff").unwrap(), [0xc4, 2, 0, 0xff]);
    for document in ["1", "[\"a\"]", "{}", "null", r#"{"$binary":"aGk="}"#] {
        assert!(refusal(Format::Json, Format::Text, document.as_bytes()).contains("no string"), "{document}");
    }
}

#[test]
fn every_body_is_bytes_as_it_stands() {
    for from in [Format::Json, Format::Msgpack, Format::Text, Format::Raw, Format::Cbor] {
        assert_eq!(to(from, Format::Base64, "{ }"), "eyB9");
        assert_eq!(to(from, Format::Hex, "{ }"), "7b207d");
        assert_eq!(to(from, Format::Raw, "{ }"), "{ }");
    }
    assert_eq!(to(Format::Hex, Format::Base64, "7b 20\n7D"), "eyB9");
    assert_eq!(to(Format::Base64, Format::Hex, "eyB9\n"), "7b207d");
    assert_eq!(to(Format::Base64, Format::Text, "w6k"), "\u{e9}");
}

#[test]
fn long_bodies_come_in_pieces() {
    let body: Vec<u8> = (0..100_003_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for format in [Format::Base64, Format::Hex] {
        let spelled = run(Format::Raw, format, &body).unwrap();
        assert!(run(format, Format::Raw, &spelled).unwrap() == body);
    }
    let letters = "\u{e9}".repeat(50_000);
    assert!(to(Format::Raw, Format::Text, &letters) == letters);
    assert!(to(Format::Text, Format::Text, &format!("x{letters}")).len() == 100_001);
}

#[test]
fn what_is_no_digit_is_told_with_its_place() {
    for (from, body, place) in [
        (Format::Hex, "00 0g", "byte offset 4: this is no hex"),
        (Format::Hex, "000", "byte offset 3: the body ends"),
        (Format::Base64, "aG-=", "byte offset 2: this is no base64"),
        (Format::Base64, "aGk=aGk=", "byte offset 4: this is no base64"),
        (Format::Base64, "aGkaG", "byte offset 5: the body ends"),
    ] {
        let error = refusal(from, Format::Raw, body.as_bytes());
        assert!(error.contains(place), "{error}");
    }
    assert!(refusal(Format::Raw, Format::Text, b"ab\xe9d").contains("byte offset 2: this is not UTF-8"));
    assert!(refusal(Format::Text, Format::Json, b"ab\xe9").contains("byte offset 2"));
    assert!(refusal(Format::Text, Format::Text, b"ab\xc3").contains("byte offset 2"));
}

#[test]
fn json_lines_are_the_elements_of_an_array() {
    assert_eq!(to(Format::JsonLines, Format::Json, "1\n{\"a\": [2]}\n\n\"x\"\n"), r#"[1,{"a":[2]},"x"]"#);
    assert_eq!(
        to(Format::Json, Format::JsonLines, r#"[1, {"a": [2, [3]]}, [], "x"]"#),
        "1\n{\"a\":[2,[3]]}\n[]\n\"x\"\n"
    );
    assert_eq!(to(Format::JsonLines, Format::Json, ""), "[]");
    assert_eq!(to(Format::Json, Format::JsonLines, "[]"), "");
    assert_eq!(to(Format::Json, Format::JsonLines, r#"{"a":[1]}"#), "{\"a\":[1]}\n");
    assert_eq!(to(Format::JsonLines, Format::JsonLines, "1e2 \r\n -0"), "1e2\n-0\n");
    assert!(refusal(Format::JsonLines, Format::Json, b"1\n2\n{\"a\"}\n").contains("line 3"));
}
