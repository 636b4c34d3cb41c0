//! YAML: what is read as what, what is written how, and what means harm.

use super::{json_to_json, refusal, run, text};
use crate::codec::{CodecError, Conversion, Format, MAX_DEPTH, Place};

fn to_json(yaml: &str) -> String {
    text(run(Format::Yaml, Format::Json, yaml.as_bytes()))
}

fn to_yaml(json: &str) -> String {
    text(run(Format::Json, Format::Yaml, json.as_bytes()))
}

fn strictly(from: Format, to: Format, mut body: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let conversion = Conversion { is_strict: true, ..Conversion::new(from, to) };
    conversion.run(&mut body, &mut out).map(|()| out)
}

/// A scalar, and what it is in JSON.
const SCALARS: &[(&str, &str)] = &[
    ("null", "null"),
    ("~", "null"),
    ("NULL", "null"),
    ("nULL", "\"nULL\""),
    ("true", "true"),
    ("False", "false"),
    ("tRUE", "\"tRUE\""),
    ("yes", "\"yes\""),
    ("off", "\"off\""),
    ("y", "\"y\""),
    ("0", "0"),
    ("-0", "-0"),
    ("+12", "12"),
    ("0777", "777"),
    ("-007", "-7"),
    ("00", "0"),
    ("0o17", "15"),
    ("0x1F", "31"),
    ("0xdeadbeefdeadbeefdeadbeef", "68915718021581205938132336367"),
    ("0o7777777777777777777777777", "37778931862957161709567"),
    ("-0x1F", "\"-0x1F\""),
    ("0x", "\"0x\""),
    ("0o8", "\"0o8\""),
    ("0b1", "\"0b1\""),
    ("123456789012345678901234567890", "123456789012345678901234567890"),
    ("1.50", "1.50"),
    ("+1.5", "1.5"),
    (".5", "0.5"),
    ("-.5", "-0.5"),
    ("1.", "1.0"),
    ("01.5e3", "1.5e3"),
    ("1.e3", "1.0e3"),
    ("1e400", "1e400"),
    ("12e+03", "12e+03"),
    ("-0.0", "-0.0"),
    ("00.0", "0.0"),
    (".inf", r#"{"$float":"Infinity"}"#),
    ("+.INF", r#"{"$float":"Infinity"}"#),
    ("-.Inf", r#"{"$float":"-Infinity"}"#),
    (".nan", r#"{"$float":"NaN"}"#),
    ("-.nan", "\"-.nan\""),
    (".", "\".\""),
    ("-", "[null]"),
    ("+", "\"+\""),
    ("1e", "\"1e\""),
    ("e3", "\"e3\""),
    ("1.5.5", "\"1.5.5\""),
    ("1_000", "\"1_000\""),
    ("1:30", "\"1:30\""),
    ("2001-12-14", "\"2001-12-14\""),
    ("'12'", "\"12\""),
    ("\"null\"", "\"null\""),
    ("|\n  12\n", "\"12\\n\""),
    ("!!str 12", "\"12\""),
    ("!!str", "\"\""),
    ("! 12", "\"12\""),
    ("!<tag:yaml.org,2002:str> 12", "\"12\""),
    ("!!int \"12\"", "12"),
    ("!!int \"0x1f\"", "31"),
    ("!!float 1", "1.0"),
    ("!!float 1e3", "1e3"),
    ("!!float .inf", r#"{"$float":"Infinity"}"#),
    ("!!bool 'true'", "true"),
    ("!!null ''", "null"),
    ("!!binary aGk=", r#"{"$binary":"aGk="}"#),
    ("!!binary |\n  aG\n  k=\n", r#"{"$binary":"aGk="}"#),
];

#[test]
fn scalars_are_resolved_by_the_core_schema() {
    for (yaml, json) in SCALARS {
        assert_eq!(to_json(yaml), *json, "{yaml}");
    }
    assert_eq!(to_json("a:\nb: # nothing\n"), r#"{"a":null,"b":null}"#);
    assert_eq!(to_json("\u{feff}a"), "\"a\"");
}

#[test]
fn documents_are_read() {
    for (yaml, json) in [
        ("--- 1", "1"),
        ("%YAML 1.2\n---\n- a\n- {b: [c, 'd']}\n...\n", r#"["a",{"b":["c","d"]}]"#),
        ("a: 1\na: 2\n", r#"{"a":1,"a":2}"#),
        ("<<: {a: 1}\n", r#"{"<<":{"a":1}}"#),
        ("1: a\nnull: b\n", r#"{"1":"a","null":"b"}"#),
        ("a: &x [1, &y b]\nc: *x\nd: *y\n", r#"{"a":[1,"b"],"c":[1,"b"],"d":"b"}"#),
        ("&k key: *k\n", r#"{"key":"key"}"#),
        ("- &a 1\n- &a 2\n- *a\n", "[1,2,2]"),
        ("- &a [&b [x], *b]\n- *a\n", r#"[[["x"],["x"]],[["x"],["x"]]]"#),
        ("- &a\n- *a\n", "[null,null]"),
        ("!!map {a: !!seq [1]}", r#"{"a":[1]}"#),
        ("- !thing {a: 1}\n- !thing 12\n- !!set {}\n", r#"[{"a":1},"12",{}]"#),
    ] {
        assert_eq!(to_json(yaml), json, "{yaml}");
    }
}

/// A document, and how it is written.
const WRITTEN: &[(&str, &str)] = &[
    ("null", "null\n"),
    ("[]", "[]\n"),
    ("{}", "{}\n"),
    ("\"\"", "\"\"\n"),
    ("[1,[2,[],[3]],{\"a\":1,\"b\":{}}]", "- 1\n- - 2\n  - []\n  - - 3\n- a: 1\n  b: {}\n"),
    ("{\"a\":{\"b\":[1]},\"c\":[[1],{\"d\":null}]}", "a:\n  b:\n    - 1\nc:\n  - - 1\n  - d: null\n"),
    (
        r#"["yes","No","on","y","~","null","TRUE"]"#,
        "- \"yes\"\n- \"No\"\n- \"on\"\n- \"y\"\n- \"~\"\n- \"null\"\n- \"TRUE\"\n",
    ),
    (
        r#"["12","1e3",".inf","0x1","1:30","<<","=","2001-01-01"]"#,
        "- \"12\"\n- \"1e3\"\n- \".inf\"\n- \"0x1\"\n- \"1:30\"\n- \"<<\"\n- \"=\"\n- \"2001-01-01\"\n",
    ),
    (
        r#"["a b","a: b","a #b","- a"," a","a ","a:","http://a/b?c","a, b"]"#,
        "- a b\n- \"a: b\"\n- \"a #b\"\n- \"- a\"\n- \" a\"\n- \"a \"\n- \"a:\"\n- http://a/b?c\n- a, b\n",
    ),
    (r#"{"no":1,"a b":2,"a, b":3,"":4}"#, "\"no\": 1\na b: 2\n\"a, b\": 3\n\"\": 4\n"),
    ("[1.50,-0,1e400,123456789012345678901]", "- 1.50\n- -0\n- 1e400\n- 123456789012345678901\n"),
    (r#"[{"$float":"NaN"},{"$float":"-Infinity"},{"$binary":"aGk="}]"#, "- .nan\n- -.inf\n- !!binary \"aGk=\"\n"),
    (
        r#""\u0000\t\r\n\"\\\u007f\u0085\u2028\ufeff\ufffe\u00e9\ud83d\ude00""#,
        "\"\\u0000\\t\\r\\n\\\"\\\\\\u007f\\u0085\\u2028\\ufeff\\ufffe\u{e9}\u{1f600}\"\n",
    ),
];

#[test]
fn documents_are_written_and_come_back() {
    for (json, yaml) in WRITTEN {
        assert_eq!(to_yaml(json), *yaml, "{json}");
        assert_eq!(to_json(yaml), json_to_json(json), "{yaml}");
        assert_eq!(text(strictly(Format::Json, Format::Yaml, json.as_bytes())), *yaml);
        assert_eq!(text(run(Format::Yaml, Format::Yaml, yaml.as_bytes())), *yaml);
    }
}

#[test]
fn floats_are_floats_for_every_reader() {
    for (float, yaml) in [(1.0_f64, "1.0\n"), (1e300, "1.0e+300\n"), (-1.5e-9, "-1.5e-9\n"), (-0.0, "-0.0\n")] {
        let msgpack = [&[0xcb][..], &float.to_be_bytes()].concat();
        assert_eq!(text(run(Format::Msgpack, Format::Yaml, &msgpack)), yaml);
        assert_eq!(run(Format::Yaml, Format::Msgpack, yaml.as_bytes()).unwrap(), msgpack);
    }
}

#[test]
fn keys_are_of_any_type() {
    let hex = b"a6820102a1016161f580a0f6a18063616263f404f97e0005426869";
    let cbor = run(Format::Hex, Format::Raw, hex).unwrap();
    let yaml = text(run(Format::Cbor, Format::Yaml, &cbor));
    let expected = "? - 1\n  - 2\n: 1: a\ntrue: []\n{}: null\n? []: abc\n: false\n4: .nan\n5: !!binary \"aGk=\"\n";
    assert_eq!(yaml, expected);
    assert_eq!(text(run(Format::Yaml, Format::Yaml, yaml.as_bytes())), yaml);
    let back = run(Format::Yaml, Format::Cbor, yaml.as_bytes()).unwrap();
    assert_eq!(text(run(Format::Cbor, Format::Yaml, &back)), yaml);
}

#[test]
fn long_keys_come_back() {
    let json = format!("{{\"{0}\":{{\"{0}\":[1],\"a\":2}},\"b\":3}}", "k".repeat(3000));
    let yaml = to_yaml(&json);
    assert!(yaml.starts_with("? kkk") && yaml.contains("\n: ? kkk"), "{yaml}");
    assert_eq!(to_json(&yaml), json);
}

#[test]
fn nothing_is_lost_where_nothing_may_be() {
    for (yaml, what) in [
        ("!thing 1", "the tag !thing would be lost"),
        ("- !!set {}", "line 1, column 9: the tag !!set would be lost"),
        ("!!timestamp 2001-01-01", "the tag !!timestamp would be lost"),
        ("1: 2", "that the map key 1 is no string"),
    ] {
        let error = strictly(Format::Yaml, Format::Json, yaml.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let ext = br#"{"$ext":[5,"aGk="]}"#;
    assert_eq!(text(run(Format::Json, Format::Yaml, ext)), "!!binary \"aGk=\"\n");
    let error = strictly(Format::Json, Format::Yaml, ext).unwrap_err().to_string();
    assert!(error.contains("the type 5 of an ext would be lost"), "{error}");
    assert_eq!(text(strictly(Format::Yaml, Format::Yaml, b"? [1]\n: 0x10 # why\n")), "? - 1\n: 16\n");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (yaml, line, column, why) in [
        ("", 1, 1, "the body is empty"),
        ("# only\n", 1, 1, "the body is empty"),
        ("a: [1\n", 1, 4, "unclosed"),
        ("a: b: c", 1, 5, ""),
        ("a: *nope", 1, 4, ""),
        ("a: \u{1}", 1, 4, ""),
        ("a: 1\n\t- b", 1, 4, "a tab"),
        ("--- 1\n--- 2\n", 2, 1, "a second document"),
        ("\u{e9}: !!int x", 1, 11, "\"x\" is not what its tag !!int says"),
        ("!!int 1.5", 1, 7, "is not what"),
        ("!!bool yes", 1, 8, "is not what"),
        ("!!binary a-b", 1, 10, "is not what"),
        ("- !!str [1]", 1, 9, "has the tag !!str"),
        ("&a [*a]", 1, 5, "inside of what it names"),
        ("&a {b: [1, *a]}", 1, 12, "inside of what it names"),
    ] {
        let CodecError::Data { format: Format::Yaml, place, reason } =
            run(Format::Yaml, Format::Json, yaml.as_bytes()).expect_err(yaml)
        else {
            panic!("{yaml}")
        };
        assert!(reason.contains(why) && !reason.is_empty(), "{yaml}: {reason}");
        assert_eq!(place, Place::LineColumn { line, column }, "{yaml:?}: {reason}");
    }
    let error = refusal(Format::Yaml, Format::Json, b"a: b\nc: \xff");
    assert!(error.contains("line 2, column 4: this is not UTF-8"), "{error}");
    assert!(refusal(Format::Yaml, Format::Msgpack, b"99999999999999999999").contains("64-bit integers"));
    assert!(refusal(Format::Yaml, Format::Json, format!("0x{}", "f".repeat(3000)).as_bytes()).contains("too long"));
}

#[test]
fn depth_stops_at_the_limit() {
    let nested = format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let maps = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
    for json in [nested, maps] {
        assert_eq!(to_json(&json), json);
        assert_eq!(to_json(&to_yaml(&json)), json);
        let error = refusal(Format::Yaml, Format::Json, format!("[{json}]").as_bytes());
        assert!(error.contains("nest more than 120 levels"), "{error}");
    }
    // An alias brings its own levels.
    let half = "[".repeat(70) + &"]".repeat(70);
    let error = refusal(
        Format::Yaml,
        Format::Json,
        format!("a: &a {half}\nb: {}*a{}", "[".repeat(60), "]".repeat(60)).as_bytes(),
    );
    assert!(error.contains("line 2, column 64: arrays and maps nest more than"), "{error}");
}

#[test]
fn neither_depth_nor_aliases_cost_much() {
    for hostile in ["[", "{", "{a: ", "- ", "? ", "[? ", "- a: ", "!!seq [", "&a [", "\"", "*a "] {
        refusal(Format::Yaml, Format::Json, hostile.repeat(1_000_000).as_bytes());
    }
    // What would be 10^12 strings, a million arrays that are empty, and the same for each anchor anew.
    let line = |level: usize| format!("a{}: &a{0} [{}]\n", level, vec![format!("*a{}", level - 1); 10].join(", "));
    let laughs = format!("a0: &a0 [lol]\n{}", (1..=12).map(line).collect::<String>());
    let wide = format!("- &a [{}]\n{}", "[],".repeat(100_000), "- *a\n".repeat(100_000));
    let long = format!("- &a {}\n{}", "x".repeat(1_000_000), "- *a\n".repeat(100_000));
    for bomb in [laughs, wide, long] {
        for to in [Format::Json, Format::Msgpack, Format::Yaml] {
            let error = refusal(Format::Yaml, to, bomb.as_bytes());
            assert!(error.contains("far more of the document"), "{error}");
        }
    }
}
