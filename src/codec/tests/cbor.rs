//! CBOR: the examples of RFC 8949, appendix A, and what is not well-formed.

use super::{refusal, run, text};
use crate::codec::{Conversion, Format};

/// Of an example: its bytes, and what it is in JSON.
const EXAMPLES: &[(&str, &str)] = &[
    ("00", "0"),
    ("01", "1"),
    ("0a", "10"),
    ("17", "23"),
    ("1818", "24"),
    ("1819", "25"),
    ("1864", "100"),
    ("1903e8", "1000"),
    ("1a000f4240", "1000000"),
    ("1b000000e8d4a51000", "1000000000000"),
    ("1bffffffffffffffff", "18446744073709551615"),
    ("c249010000000000000000", "18446744073709551616"),
    ("3bffffffffffffffff", "-18446744073709551616"),
    ("c349010000000000000000", "-18446744073709551617"),
    ("20", "-1"),
    ("29", "-10"),
    ("3863", "-100"),
    ("3903e7", "-1000"),
    ("f90000", "0.0"),
    ("f98000", "-0.0"),
    ("f93c00", "1.0"),
    ("fb3ff199999999999a", "1.1"),
    ("f93e00", "1.5"),
    ("f97bff", "65504.0"),
    ("fa47c35000", "100000.0"),
    ("fa7f7fffff", "3.4028234663852886e+38"),
    ("fb7e37e43c8800759c", "1e+300"),
    ("f90001", "5.960464477539063e-8"),
    ("f90400", "0.00006103515625"),
    ("f9c400", "-4.0"),
    ("fbc010666666666666", "-4.1"),
    ("f97c00", r#"{"$float":"Infinity"}"#),
    ("f97e00", r#"{"$float":"NaN"}"#),
    ("f9fc00", r#"{"$float":"-Infinity"}"#),
    ("f4", "false"),
    ("f5", "true"),
    ("f6", "null"),
    ("40", r#"{"$binary":""}"#),
    ("4401020304", r#"{"$binary":"AQIDBA=="}"#),
    ("60", r#""""#),
    ("6161", r#""a""#),
    ("6449455446", r#""IETF""#),
    ("62225c", r#""\"\\""#),
    ("62c3bc", "\"\u{fc}\""),
    ("63e6b0b4", "\"\u{6c34}\""),
    ("64f0908591", "\"\u{10151}\""),
    ("80", "[]"),
    ("83010203", "[1,2,3]"),
    ("8301820203820405", "[1,[2,3],[4,5]]"),
    (
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]",
    ),
    ("a0", "{}"),
    ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
    ("826161a161626163", r#"["a",{"b":"c"}]"#),
    ("a56161614161626142616361436164614461656145", r#"{"a":"A","b":"B","c":"C","d":"D","e":"E"}"#),
    ("9fff", "[]"),
    ("9f018202039f0405ffff", "[1,[2,3],[4,5]]"),
    ("bf61610161629f0203ffff", r#"{"a":1,"b":[2,3]}"#),
    ("bf6346756ef563416d7421ff", r#"{"Fun":true,"Amt":-2}"#),
];

/// Those that other formats have less to say of: the bytes, and what is left in JSON.
const MORE: &[(&str, &str)] = &[
    ("f7", "null"),
    ("f0", "null"),
    ("f8ff", "null"),
    ("c074323031332d30332d32315432303a30343a30305a", r#""2013-03-21T20:04:00Z""#),
    ("c11a514b67b0", "1363896240"),
    ("c1fb41d452d9ec200000", "1363896240.5"),
    ("d74401020304", r#"{"$binary":"AQIDBA=="}"#),
    ("d818456449455446", r#"{"$binary":"ZElFVEY="}"#),
    ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", r#""http://www.example.com""#),
    ("a201020304", r#"{"1":2,"3":4}"#),
];

fn bytes(hex: &str) -> Vec<u8> {
    run(Format::Hex, Format::Raw, hex.as_bytes()).unwrap()
}

fn to_json(hex: &str) -> String {
    text(run(Format::Cbor, Format::Json, &bytes(hex)))
}

fn again(hex: &str) -> String {
    text(run(Format::Raw, Format::Hex, &run(Format::Cbor, Format::Cbor, &bytes(hex)).unwrap()))
}

fn strictly(from: Format, to: Format, mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let conversion = Conversion { is_strict: true, ..Conversion::new(from, to) };
    conversion.run(&mut body, &mut out).ok().map(|()| out)
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    for (hex, json) in EXAMPLES.iter().chain(MORE) {
        assert_eq!(to_json(hex), *json, "{hex}");
    }
    assert_eq!(to_json("5f42010243030405ff"), r#"{"$binary":"AQIDBAU="}"#);
    assert_eq!(to_json("7f657374726561646d696e67ff"), r#""streaming""#);
    assert_eq!(to_json("fa7f800000"), r#"{"$float":"Infinity"}"#);
    assert_eq!(to_json("fb7ff8000000000000"), r#"{"$float":"NaN"}"#);
}

#[test]
fn the_examples_of_the_rfc_are_written() {
    for (hex, _) in EXAMPLES.iter().chain(MORE) {
        assert_eq!(again(hex), *hex);
    }
    // The same values in longer forms get their shortest one.
    for (long, short) in [
        ("1800", "00"),
        ("c24101", "01"),
        ("fb3ff0000000000000", "f93c00"),
        ("fa3fc00000", "f93e00"),
        ("5f42010243030405ff", "450102030405"),
        ("d9d9f78101", "8101"),
    ] {
        assert_eq!(again(long), short);
    }
}

#[test]
fn json_is_the_same_after_cbor() {
    for (_, json) in EXAMPLES {
        let cbor = strictly(Format::Json, Format::Cbor, json.as_bytes()).expect(json);
        assert_eq!(text(strictly(Format::Cbor, Format::Json, &cbor).ok_or_else(|| unreachable!())), *json);
    }
}

#[test]
fn nothing_is_lost_where_nothing_may_be() {
    for (hex, _) in MORE {
        assert_eq!(strictly(Format::Cbor, Format::Json, &bytes(hex)), None, "{hex}");
    }
    assert!(strictly(Format::Json, Format::Cbor, b"0.1").is_some());
    assert!(strictly(Format::Json, Format::Cbor, b"100e-2").is_some());
    assert_eq!(strictly(Format::Json, Format::Cbor, b"0.12345678901234567890"), None);
}

#[test]
fn a_timestamp_of_msgpack_is_one() {
    let cbor = run(Format::Msgpack, Format::Cbor, &bytes("d6ff514b67b0")).unwrap();
    assert_eq!(text(run(Format::Raw, Format::Hex, &cbor)), "c11a514b67b0");
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for (hex, why) in [
        ("", "the body is empty"),
        ("18", "the body ends before"),
        ("5bffffffffffffffff00", "the body ends before"),
        ("81", "the body ends before"),
        ("c2", "the body ends before"),
        ("5f41", "the body ends before"),
        ("0000", "more bytes follow"),
        ("1c", "begins no value"),
        ("fe", "begins no value"),
        ("1f", "left open"),
        ("df", "left open"),
        ("f800", "below 32"),
        ("f81f", "below 32"),
        ("ff", "a break stands"),
        ("81ff", "a break stands"),
        ("c1ff", "a break stands"),
        ("9fc1ff", "a break stands"),
        ("bf01ff", "a break stands"),
        ("a1ff", "a break stands"),
        ("5f5f4100ffff", "a piece of a string"),
        ("5f6100ff", "a piece of a string"),
        ("7f61c361bcff", "not valid UTF-8"),
        ("61ff", "not valid UTF-8"),
        ("bbffffffffffffffff", "more entries"),
    ] {
        let error = refusal(Format::Cbor, Format::Json, &bytes(hex));
        assert!(error.contains(why), "{hex}: {error}");
    }
}

#[test]
fn neither_depth_nor_claims_cost_anything() {
    for hostile in ["81", "9f", "a100", "bf00", "c1", "d81e", "c281", "9fc1", "5f"] {
        let body = bytes(hostile).repeat(1_000_000);
        refusal(Format::Cbor, Format::Json, &body);
    }
    for claims in ["9bffffffffffffffff", "bb7fffffffffffffff", "5b00000000ffffffff", "7bffffffffffffffff"] {
        refusal(Format::Cbor, Format::Msgpack, &bytes(claims));
    }
}
