//! What conversions keep.

use std::io::{self, Read, Write};

use super::{BOTH, json_to_json, json_to_msgpack, msgpack_to_json, run};
use crate::codec::{CodecError, Format, convert};

/// Each kind of head of Msgpack, and its JSON.
fn every_head() -> Vec<(Vec<u8>, String)> {
    let pairs: &[(&[u8], &str)] = &[
        (&[0x00], "0"),
        (&[0x7f], "127"),
        (&[0xe0], "-32"),
        (&[0xff], "-1"),
        (&[0xc0], "null"),
        (&[0xc2], "false"),
        (&[0xc3], "true"),
        (&[0xcc, 0x80], "128"),
        (&[0xcd, 0x01, 0x00], "256"),
        (&[0xce, 0x00, 0x01, 0x00, 0x00], "65536"),
        (&[0xcf, 0, 0, 0, 1, 0, 0, 0, 0], "4294967296"),
        (&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "18446744073709551615"),
        (&[0xd0, 0xdf], "-33"),
        (&[0xd1, 0xff, 0x7f], "-129"),
        (&[0xd2, 0xff, 0xff, 0x7f, 0xff], "-32769"),
        (&[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff], "-2147483649"),
        (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
        (&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], "1.0"),
        (&[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0], "-0.0"),
        (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], r#"{"$float":"NaN"}"#),
        (&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], r#"{"$float":"Infinity"}"#),
        (&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0], r#"{"$float":"-Infinity"}"#),
        (&[0xa0], r#""""#),
        (&[0xa3, b'a', b'"', b'\n'], r#""a\"\n""#),
        (&[0xc4, 0], r#"{"$binary":""}"#),
        (&[0xc4, 2, b'h', b'i'], r#"{"$binary":"aGk="}"#),
        (&[0xd4, 0x05, 0xff], r#"{"$ext":[5,"/w=="]}"#),
        (&[0xd5, 0x80, 1, 2], r#"{"$ext":[-128,"AQI="]}"#),
        (&[0xd6, 0xff, 0, 0, 0, 0], r#"{"$ext":[-1,"AAAAAA=="]}"#),
        (&[0xd7, 0xff, 0, 0, 0, 0, 0, 0, 0, 0], r#"{"$ext":[-1,"AAAAAAAAAAA="]}"#),
        (&[0xc7, 0, 0x7f], r#"{"$ext":[127,""]}"#),
        (&[0xc7, 3, 0, 1, 2, 3], r#"{"$ext":[0,"AQID"]}"#),
        (&[0x90], "[]"),
        (&[0x92, 0x01, 0x90], "[1,[]]"),
        (&[0x80], "{}"),
        (&[0x82, 0xa1, b'b', 0x01, 0xa1, b'b', 0x80], r#"{"b":1,"b":{}}"#),
    ];
    let mut all: Vec<(Vec<u8>, String)> =
        pairs.iter().map(|&(binary, json)| (binary.to_vec(), json.to_owned())).collect();

    let long = |head: &[u8], len: usize, byte: u8| [head, &vec![byte; len][..]].concat();
    all.push((long(&[0xd8, 0x02], 16, 0), format!(r#"{{"$ext":[2,"{}=="]}}"#, "A".repeat(22))));
    all.push((long(&[0xc8, 0x01, 0x2c, 0x02], 300, 0), format!(r#"{{"$ext":[2,"{}"]}}"#, "A".repeat(400))));
    all.push((
        long(&[0xc9, 0, 1, 0x11, 0x70, 0x02], 70_000, 0),
        format!(r#"{{"$ext":[2,"{}A=="]}}"#, "A".repeat(93_333)),
    ));
    all.push((long(&[0xd9, 32], 32, b'x'), format!("\"{}\"", "x".repeat(32))));
    all.push((long(&[0xda, 1, 0], 256, b'x'), format!("\"{}\"", "x".repeat(256))));
    all.push((long(&[0xdb, 0, 1, 0, 0], 65_536, b'x'), format!("\"{}\"", "x".repeat(65_536))));
    all.push((long(&[0xc5, 0x01, 0x2c], 300, 0), format!(r#"{{"$binary":"{}"}}"#, "A".repeat(400))));
    all.push((long(&[0xc6, 0, 1, 0x11, 0x70], 70_000, 0), format!(r#"{{"$binary":"{}A=="}}"#, "A".repeat(93_333))));
    all.push((long(&[0xdc, 0, 16], 16, 0x01), format!("[{}1]", "1,".repeat(15))));
    all.push((long(&[0xdd, 0, 1, 0, 0], 65_536, 0x01), format!("[{}1]", "1,".repeat(65_535))));
    let entries = |count: usize| [0xa1, b'k', 0x01].repeat(count);
    let objects = |count: usize| format!("{{{}\"k\":1}}", "\"k\":1,".repeat(count - 1));
    all.push(([&[0xde, 0, 16][..], &entries(16)].concat(), objects(16)));
    all.push(([&[0xdf, 0, 1, 0, 0][..], &entries(65_536)].concat(), objects(65_536)));
    all
}

#[test]
fn every_head_goes_to_json_and_back() {
    for (binary, json) in every_head() {
        let shown = &json[..json.len().min(60)];
        assert_eq!(msgpack_to_json(&binary), json, "{shown}");
        assert_eq!(json_to_msgpack(&json), binary, "{shown}");
        assert_eq!(json_to_json(&json), json, "{shown}");
        assert_eq!(run(Format::Msgpack, Format::Msgpack, &binary).unwrap(), binary, "{shown}");
    }
}

#[test]
fn every_head_survives_inside_others() {
    let (binaries, texts): (Vec<_>, Vec<_>) = every_head().into_iter().unzip();
    let count = u16::try_from(binaries.len()).unwrap().to_be_bytes();
    let binary = [&[0x81, 0xa0, 0xdc], &count[..], &binaries.concat()].concat();
    let json = format!("{{\"\":[{}]}}", texts.join(","));
    assert_eq!(msgpack_to_json(&binary), json);
    assert_eq!(json_to_msgpack(&json), binary);
}

#[test]
fn a_float_32_becomes_the_float_64_of_its_value() {
    let binary = [0xca, 0x3d, 0xcc, 0xcc, 0xcd];
    assert_eq!(msgpack_to_json(&binary), "0.10000000149011612");
    assert_eq!(run(Format::Msgpack, Format::Msgpack, &binary).unwrap(), binary);
    assert_eq!(msgpack_to_json(&[0xca, 0x7f, 0x80, 0, 0]), r#"{"$float":"Infinity"}"#);
}

#[test]
fn heads_longer_than_needed_become_the_shortest() {
    let long = [0xdd, 0, 0, 0, 2, 0xcf, 0, 0, 0, 0, 0, 0, 0, 1, 0xdb, 0, 0, 0, 1, b'a'];
    assert_eq!(run(Format::Msgpack, Format::Msgpack, &long).unwrap(), [0x92, 0x01, 0xa1, b'a']);
    assert_eq!(msgpack_to_json(&long), r#"[1,"a"]"#);
    // An integer in a signed head is the same integer.
    assert_eq!(msgpack_to_json(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 5]), "5");
}

#[test]
fn json_to_json_keeps_the_spelling_of_numbers() {
    for number in [
        "0",
        "-0",
        "1.10",
        "1e400",
        "-1E+05",
        "123456789012345678901234567890",
        "-9223372036854775809",
        "0.1000000000000000055511151231257827",
        "1.0e-999",
    ] {
        assert_eq!(json_to_json(number), number);
        let nested = format!("[{number} , {{ \"a\" :{number}\n}}]");
        assert_eq!(json_to_json(&nested), format!("[{number},{{\"a\":{number}}}]"));
    }
}

#[test]
fn json_strings_are_not_taken_for_anything_else() {
    for string in [r#""1.10""#, r#""\\""#, r#""a\\\"1e5""#, r#""-\\\\""#, r#"["\"", 7 ]"#] {
        assert_eq!(json_to_json(string), string.replace(' ', ""));
    }
    assert_eq!(json_to_json(r#""\u0041\ud83d\ude00\/""#), "\"A😀/\"");
    // A key that a library uses for itself is a key like any other.
    let magic = r#"{"$serde_json::private::Number":"12"}"#;
    assert_eq!(json_to_json(magic), magic);
    assert_eq!(msgpack_to_json(&json_to_msgpack(magic)), magic);
}

#[test]
fn floats_keep_their_value() {
    for (json, bits) in [
        ("1.0", 1.0_f64.to_bits()),
        ("1e0", 1.0_f64.to_bits()),
        ("-0", (-0.0_f64).to_bits()),
        ("-0.0", (-0.0_f64).to_bits()),
        ("5e-324", 1),
        ("1.7976931348623157e308", f64::MAX.to_bits()),
        // A tie that only correct rounding gets right.
        ("9007199254740993.0", 9_007_199_254_740_992.0_f64.to_bits()),
        ("0.1000000000000000055511151231257827", 0.1_f64.to_bits()),
    ] {
        let binary = [&[0xcb], &bits.to_be_bytes()[..]].concat();
        assert_eq!(json_to_msgpack(json), binary, "{json}");
        assert_eq!(json_to_msgpack(&msgpack_to_json(&binary)), binary, "{json}");
    }
}

#[test]
fn order_and_repeated_keys_are_kept() {
    let json = r#"{"z":1,"a":2,"z":3,"":[{"a":null,"a":null}]}"#;
    assert_eq!(msgpack_to_json(&json_to_msgpack(json)), json);
}

#[test]
fn what_resembles_a_marker_is_an_ordinary_map() {
    for json in [
        r#"{"$binary":5}"#,
        r#"{"$binary":"aGk"}"#,
        r#"{"$binary":"aGl="}"#,
        r#"{"$binary":"aG k="}"#,
        r#"{"$binary":"aGk=","x":1}"#,
        r#"{"x":1,"$binary":"aGk="}"#,
        r#"{"$binary":{"$binary":5}}"#,
        r#"{"$binary":["aGk="]}"#,
        r#"{"$float":"nan"}"#,
        r#"{"$float":"1.5"}"#,
        r#"{"$float":null}"#,
        r#"{"$ext":[128,"aGk="]}"#,
        r#"{"$ext":[-129,"aGk="]}"#,
        r#"{"$ext":[1.0,"aGk="]}"#,
        r#"{"$ext":["aGk=",1]}"#,
        r#"{"$ext":[1,"aGk"]}"#,
        r#"{"$ext":[1]}"#,
        r#"{"$ext":[]}"#,
        r#"{"$ext":[1,"aGk=",1]}"#,
        r#"{"$ext":[1,"aGk="],"x":1}"#,
        r#"{"$ext":"aGk="}"#,
        r#"{"$ext":{}}"#,
        r#"{"$Binary":"aGk="}"#,
        r#"["$binary","aGk="]"#,
        "{}",
    ] {
        let binary = json_to_msgpack(json);
        assert!(matches!(binary[0], 0x80..=0x9f), "{json}: {binary:x?}");
        assert_eq!(msgpack_to_json(&binary), json);
        assert_eq!(json_to_json(json), json);
    }
}

#[test]
fn markers_nest_in_ordinary_maps() {
    let json = r#"{"$binary":{"$binary":"aGk="}}"#;
    assert_eq!(json_to_msgpack(json), [b"\x81\xa7$binary", &[0xc4, 2, b'h', b'i'][..]].concat());
    assert_eq!(msgpack_to_json(&json_to_msgpack(json)), json);
    let json = r#"{"$ext":[{"$binary":"aGk="},{"$float":"NaN"}]}"#;
    assert_eq!(msgpack_to_json(&json_to_msgpack(json)), json);
    // Spelled otherwise, and still one.
    assert_eq!(json_to_msgpack("{ \"\\u0024binary\" : \"aGk=\" }"), [0xc4, 2, b'h', b'i']);
}

#[test]
fn keys_that_are_no_strings_stay_in_msgpack() {
    let binary = [0x83, 0x01, 0xc0, 0x90, 0xc3, 0xc4, 1, 9, 0x80];
    assert_eq!(run(Format::Msgpack, Format::Msgpack, &binary).unwrap(), binary);
}

#[test]
fn long_input_crosses_blocks() {
    let items: Vec<String> = (0..40_000).map(|n| format!("{{\"n\\\"\":[{n}.5,\"{n}\\\\\",-{n}]}}")).collect();
    let json = format!("[{}]", items.join(","));
    assert_eq!(json_to_json(&json), json);
    let expected = json.replace(",-0]", ",-0.0]");
    assert_eq!(msgpack_to_json(&json_to_msgpack(&json)), expected);
}

/// Fails after some bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the disk is gone")),
            len => Ok(len),
        }
    }
}

impl Write for Failing<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failures_of_input_and_output_are_told_apart() {
    let bodies: [(Format, &[u8]); 4] = [
        (Format::Json, b"[1, 2"),
        (Format::Json, b"[1]"),
        (Format::Msgpack, &[0x92, 0x01]),
        (Format::Msgpack, &[0xa5, b'a']),
    ];
    for (from, body) in bodies {
        for to in BOTH {
            let error = convert(from, to, &mut Failing(body), &mut Vec::new()).unwrap_err();
            assert!(matches!(&error, CodecError::Input(e) if e.to_string() == "the disk is gone"), "{error:?}");
            assert!(!error.is_data());
        }
    }
    for to in BOTH {
        for body in [&b"[1]"[..], format!("[\"{}\"]", "x".repeat(100_000)).as_bytes()] {
            let error = convert(Format::Json, to, &mut &*body, &mut Failing(b"")).unwrap_err();
            assert!(matches!(&error, CodecError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe), "{error:?}");
        }
    }
}

/// Brings one byte at a time, and is interrupted before each.
struct Slow<'a>(&'a [u8], bool);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buf.len().min(1);
        self.0.read(&mut buf[..len])
    }
}

#[test]
fn a_slow_and_interrupted_input_is_read_all_the_same() {
    let json = r#"{"a":[1.50,"text",{"$binary":"aGk="}]}"#;
    let binary = json_to_msgpack(json);
    let mut out = Vec::new();
    convert(Format::Json, Format::Json, &mut Slow(json.as_bytes(), false), &mut out).unwrap();
    assert_eq!(out, json.as_bytes());
    out.clear();
    convert(Format::Msgpack, Format::Msgpack, &mut Slow(&binary, false), &mut out).unwrap();
    assert_eq!(out, binary);
}

/// Documents that do not fit into what Msgpack's writer holds, with arrays and maps open and closed at every place.
#[test]
fn a_document_larger_than_memory_holds_is_the_same() {
    let record = |n: usize| format!(r#"{{"id":{n},"tags":["a",["b",{{}}],[]],"text":"{}"}}"#, "x".repeat(n % 700));
    let records = |from: usize, to: usize| (from..to).map(record).collect::<Vec<_>>().join(",");
    let long =
        format!(r#"{{"first":[{}],"deep":[[[{{"second":[{}]}}]]],"last":[]}}"#, records(0, 30_000), records(1, 9000));
    for document in [long.clone(), format!("[{long},[[{long}]],{long}]")] {
        assert!(msgpack_to_json(&json_to_msgpack(&document)) == document);
    }
}
