//! TOML: what is read as what, what is written how, and what means harm.

use super::{refusal, run, text};
use crate::codec::{CodecError, Conversion, Format, Place};

fn to_json(toml: &str) -> String {
    text(run(Format::Toml, Format::Json, toml.as_bytes()))
}

fn to_toml(json: &str) -> String {
    text(run(Format::Json, Format::Toml, json.as_bytes()))
}

fn strictly(from: Format, to: Format, mut body: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let conversion = Conversion { is_strict: true, ..Conversion::new(from, to) };
    conversion.run(&mut body, &mut out).map(|()| out)
}

#[test]
fn values_are_read() {
    for (toml, json) in [
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("+1_000", "1000"),
        ("-0", "0"),
        ("0xDEAD_BEEF", "3735928559"),
        ("0o17", "15"),
        ("0b101", "5"),
        ("+1.50", "1.50"),
        ("-0.0", "-0.0"),
        ("1_0.5e+0_3", "10.5e+03"),
        ("1e400", "1e400"),
        ("nan", r#"{"$float":"NaN"}"#),
        ("-nan", r#"{"$float":"NaN"}"#),
        ("+inf", r#"{"$float":"Infinity"}"#),
        ("-inf", r#"{"$float":"-Infinity"}"#),
        ("true", "true"),
        ("'a\\b'", r#""a\\b""#),
        ("\"\"\"\na\\\n  b\\u00e9\"\"\"", "\"ab\u{e9}\""),
        ("1979-05-27T07:32:00Z", "\"1979-05-27T07:32:00Z\""),
        ("1979-05-27 07:32:00.1234567890123-07:00", "\"1979-05-27T07:32:00.1234567890123-07:00\""),
        ("1979-05-27t07:32z", "\"1979-05-27T07:32:00Z\""),
        ("1979-05-27T07:32:00.5", "\"1979-05-27T07:32:00.5\""),
        ("1979-05-27", "\"1979-05-27\""),
        ("07:32", "\"07:32:00\""),
        ("[1, [2.0, 'a'], {b = 1}, ]", r#"[1,[2.0,"a"],{"b":1}]"#),
    ] {
        assert_eq!(to_json(&format!("a = {toml}")), format!("{{\"a\":{json}}}"), "{toml}");
    }
}

#[test]
fn tables_are_read_in_the_order_of_their_keys() {
    for (toml, json) in [
        ("", "{}"),
        ("# nothing\n", "{}"),
        ("\u{feff}z = 1\na = 2", r#"{"z":1,"a":2}"#),
        (
            "b.c = 1\n[z]\n[[a]]\nx.y = 1\n[[a]]\n[a.b]\n[d.e]\n[d]\nf = 1\n",
            r#"{"b":{"c":1},"z":{},"a":[{"x":{"y":1}},{"b":{}}],"d":{"e":{},"f":1}}"#,
        ),
        ("'a b'.\"\" = 1", r#"{"a b":{"":1}}"#),
    ] {
        assert_eq!(to_json(toml), json, "{toml}");
    }
}

/// A document, and how it is written.
const WRITTEN: &[(&str, &str)] = &[
    ("{}", ""),
    (r#"{"a":1,"b":"x","c":[1,[2]],"d":{},"e":true}"#, "a = 1\nb = \"x\"\nc = [1, [2]]\nd = {}\ne = true\n"),
    (r#"{"a":1,"b":{"c":2},"d":{"e":{"f":3}}}"#, "a = 1\n\n[b]\nc = 2\n\n[d.e]\nf = 3\n"),
    // What comes before a plain value stays before it.
    (r#"{"b":{"c":2},"a":1}"#, "b = { c = 2 }\na = 1\n"),
    (r#"{"a":{"b":{"c":1},"d":2},"e":{}}"#, "[a]\nb = { c = 1 }\nd = 2\n\n[e]\n"),
    (
        r#"{"a":[{"b":1,"c":{"d":2}},{},{"e":[{}]}],"f":[]}"#,
        "a = [{ b = 1, c = { d = 2 } }, {}, { e = [{}] }]\nf = []\n",
    ),
    (r#"{"a":[{"b":1,"c":{"d":2}},{},{"e":[{}]}]}"#, "[[a]]\nb = 1\n\n[a.c]\nd = 2\n\n[[a]]\n\n[[a]]\n\n[[a.e]]\n"),
    (r#"{"a":[{},1],"":{"b c":{"\"":1}}}"#, "a = [{}, 1]\n\n[\"\".\"b c\"]\n'\"' = 1\n"),
    (r#"{"a":[1.50,-0.0,1e300,-9223372036854775808]}"#, "a = [1.50, -0.0, 1e300, -9223372036854775808]\n"),
    (r#"{"a":[{"$float":"NaN"},{"$float":"Infinity"},{"$float":"-Infinity"}]}"#, "a = [nan, inf, -inf]\n"),
];

#[test]
fn documents_are_written_and_come_back() {
    for (json, toml) in WRITTEN {
        assert_eq!(text(strictly(Format::Json, Format::Toml, json.as_bytes())), *toml, "{json}");
        assert_eq!(text(strictly(Format::Toml, Format::Json, toml.as_bytes())), *json, "{toml}");
        assert_eq!(text(run(Format::Toml, Format::Toml, toml.as_bytes())), *toml);
    }
    let strings = r#"{"a":["","a\nb\n","\"'","'''\"\"\"","\t\r\u0000\u007f\u001b","\\","\u00e9\ud83d\ude00\ufeff"]}"#;
    assert_eq!(to_json(&to_toml(strings)), super::json_to_json(strings));
    let keys = r#"{"a\nb":1,"\u0000":2,"'\"":{"\u00e9":3}}"#;
    assert_eq!(to_json(&to_toml(keys)), super::json_to_json(keys));
}

#[test]
fn dates_stay_dates_in_toml_alone() {
    let toml = "[r]\na = 1979-05-27T07:32:00.5Z\nb = [1979-05-27, 07:32:00]\n";
    assert_eq!(text(strictly(Format::Toml, Format::Toml, toml.as_bytes())), toml);
    for to in Format::STRUCTURED.iter().copied().filter(|to| *to != Format::Toml) {
        run(Format::Toml, to, toml.as_bytes()).unwrap();
        let error = strictly(Format::Toml, to, toml.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("line 2, column 5: that 1979-05-27T07:32:00.5Z is a date or a time would be lost"),
            "{error}"
        );
    }
    let yaml = text(run(Format::Toml, Format::Yaml, toml.as_bytes()));
    assert_eq!(yaml, "r:\n  a: \"1979-05-27T07:32:00.5Z\"\n  b:\n    - \"1979-05-27\"\n    - \"07:32:00\"\n");
    run(Format::Toml, Format::Cbor, toml.as_bytes()).unwrap();
}

#[test]
fn what_toml_cannot_hold_is_refused() {
    for (json, why) in [
        ("[]", "the document is no map"),
        ("1", "the document is no map"),
        ("null", "the document is no map"),
        (r#"{"$binary":"aGk="}"#, "the document is no map"),
        ("{\"a\":null}", "line 1, column 6: a value of the key \"a\" is null, and TOML has none"),
        (r#"{"a":{"b\n":[1,null]}}"#, "a value of the key \"b\\n\" is null"),
        ("{\"a\":9223372036854775808}", "the integer 9223372036854775808 is outside the range of TOML"),
        ("{\"a\":-9223372036854775809}", "outside the range of TOML"),
        ("{\"a\":1e400}", "outside the range of 64-bit floats"),
        ("{\"a\":1,\"a\":2}", "the key \"a\" comes twice"),
        (r#"{"$float":{"$binary":"aGk="}}"#, "would come back as something else"),
        (r#"{"$ext":[1,{"$binary":"aGk="}]}"#, "would come back as something else"),
    ] {
        let error = refusal(Format::Json, Format::Toml, json.as_bytes());
        assert!(error.contains(why), "{json}: {error}");
    }
    let msgpack = [0x81, 0xa1, b'a', 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(refusal(Format::Msgpack, Format::Toml, &msgpack).contains("offset 3: the integer 18446744073709551615"));
    assert!(refusal(Format::Msgpack, Format::Toml, &[0x81, 0x90, 1]).contains("TOML has no such keys"));
    assert!(refusal(Format::Msgpack, Format::Toml, &[0x82, 1, 1, 0xa1, b'1', 1]).contains("\"1\" comes twice"));
}

#[test]
fn nothing_is_lost_where_nothing_may_be() {
    for (json, toml, what) in [
        (r#"{"a":{"$binary":"aGk="}}"#, "a = \"aGk=\"\n", "that a value is binary would be lost"),
        (r#"{"a":{"$ext":[5,"aGk="]}}"#, "a = \"aGk=\"\n", "the type 5 of an ext would be lost"),
        ("{\"a\":0.12345678901234567890}", "a = 0.12345678901234567890\n", "a part of the digits"),
    ] {
        assert_eq!(to_toml(json), toml);
        let error = strictly(Format::Json, Format::Toml, json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(text(run(Format::Msgpack, Format::Toml, &[0x81, 1, 2])), "1 = 2\n");
    let error = strictly(Format::Msgpack, Format::Toml, &[0x81, 1, 2]).unwrap_err().to_string();
    assert!(error.contains("that the map key 1 is no string"), "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (toml, line, column, why) in [
        ("a = 1\na = 2", 2, 1, "duplicate key"),
        ("a = ", 1, 5, ""),
        ("a = 1979-02-30", 1, 5, ""),
        ("[a]\n[a]", 2, 2, "duplicate key"),
        ("a = {b = 1, b = 2}", 1, 13, "duplicate key"),
        ("\u{e9} = 1", 1, 1, ""),
        ("a = 01", 1, 5, ""),
        ("a = 9223372036854775808", 1, 5, "the integer 9223372036854775808 is outside the range"),
        ("b = 1\na = 0xffffffffffffffff", 2, 5, "outside the range"),
        ("a = 1\nb = 2\n", 0, 0, ""),
    ] {
        let result = run(Format::Toml, Format::Json, toml.as_bytes());
        if line == 0 {
            assert!(result.is_ok());
            continue;
        }
        let CodecError::Data { format: Format::Toml, place, reason } = result.expect_err(toml) else {
            panic!("{toml}")
        };
        assert!(reason.contains(why) && !reason.is_empty() && !reason.contains('\n'), "{toml}: {reason}");
        assert_eq!(place, Place::LineColumn { line, column }, "{toml:?}: {reason}");
    }
    assert!(refusal(Format::Toml, Format::Json, b"a = 1\n'\xff'").contains("line 2, column 2: this is not UTF-8"));
    assert!(refusal(Format::Toml, Format::Msgpack, b"a = 1e400").contains("64-bit floats"));
}

#[test]
fn as_much_nests_as_comes_back() {
    let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let maps = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let inline = |depth: usize| format!("{{\"b\":{},\"c\":1}}", maps(depth - 1));
    let tables =
        |depth: usize| format!("{}{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2)).replace("[]", "[{}]");
    for json in [arrays(80), maps(80), inline(80), tables(78)] {
        assert_eq!(to_json(&to_toml(&json)), json);
    }
    for json in [arrays(81), maps(81), inline(81), tables(82)] {
        let error = refusal(Format::Json, Format::Toml, json.as_bytes());
        assert!(error.contains("nest more than 80 levels"), "{error}");
    }
}

#[test]
fn depth_and_repetition_cost_little() {
    let many = 1_000_000;
    for hostile in [
        format!("a = {}", "[".repeat(many)),
        format!("a = {}", "{a=".repeat(many)),
        format!("{}a = 1", "a.".repeat(many)),
        format!("[{}a]", "a.".repeat(many)),
        "[[".repeat(many),
        "[a]\n".repeat(many),
        "\"".repeat(many),
    ] {
        refusal(Format::Toml, Format::Json, hostile.as_bytes());
    }
    let tables = "[[a]]\nb.c.d = 1\n".repeat(100_000);
    assert_eq!(to_json(&tables).len(), "{\"a\":[]}".len() + "{\"b\":{\"c\":{\"d\":1}}},".len() * 100_000 - 1);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(17 << 20));
    assert!(refusal(Format::Json, Format::Toml, long.as_bytes()).contains("longer than 16 MiB"));
    assert!(refusal(Format::Toml, Format::Json, long.as_bytes()).contains("longer than 16 MiB"));
    let header = |depth: usize| format!("[[{}]]\n", ["a"].repeat(depth).join("."));
    let arrays = |depth: usize| (1..=depth).map(header).collect::<Vec<_>>().concat();
    assert_eq!(to_json(&arrays(59)), format!("{}{}", "{\"a\":[".repeat(59), "]}".repeat(59)).replace("[]", "[{}]"));
    assert!(refusal(Format::Toml, Format::Json, arrays(60).as_bytes()).contains("nest more than 120 levels"));
}
