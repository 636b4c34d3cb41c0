//! Protobuf, by bytes that were put together by hand.

use super::text;
use crate::codec::{CodecError, Conversion, Format, MAX_DEPTH, Schema, SchemaError};

pub(super) const ALL: &str = include_str!("../../../tests/proto/all.proto");
const OLD: &str = include_str!("../../../tests/proto/old.proto");

pub(super) fn schema(source: &'static str, message: &str) -> Schema {
    Schema::compile("t.proto", message, move |name| Ok((name == "t.proto").then(|| source.to_owned()))).unwrap()
}

pub(super) fn convert(
    schema: &Schema,
    from: Format,
    to: Format,
    is_strict: bool,
    mut body: &[u8],
) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    Conversion { from, to, is_strict, schema: Some(schema) }.run(&mut body, &mut out)?;
    Ok(out)
}

fn json_of(message: &str, body: &[u8]) -> String {
    let schema = if message == "t.All" { schema(ALL, message) } else { schema(OLD, message) };
    text(convert(&schema, Format::Protobuf, Format::Json, true, body))
}

fn bytes_of(message: &str, json: &str) -> Vec<u8> {
    let schema = if message == "t.All" { schema(ALL, message) } else { schema(OLD, message) };
    convert(&schema, Format::Json, Format::Protobuf, true, json.as_bytes()).unwrap()
}

/// What is said of a body that is refused.
fn refusal(schema: &Schema, from: Format, to: Format, body: &[u8]) -> String {
    let error = convert(schema, from, to, false, body).expect_err("must be refused");
    assert!(error.is_data(), "{error:?}");
    error.to_string()
}

fn not_read(body: &[u8]) -> String {
    refusal(&schema(ALL, "t.All"), Format::Protobuf, Format::Json, body)
}

fn not_written(json: &str) -> String {
    refusal(&schema(ALL, "t.All"), Format::Json, Format::Protobuf, json.as_bytes())
}

/// Both are the same message, and either becomes the other.
#[track_caller]
fn same(body: &[u8], json: &str) {
    assert_eq!(json_of("t.All", body), json);
    assert_eq!(bytes_of("t.All", json), body, "{json}");
}

const MINUS_ONE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];

#[test]
fn scalars_have_their_values() {
    same(&[], "{}");
    same(b"\x09\0\0\0\0\0\0\xf8\xbf", r#"{"d":-1.5}"#);
    same(b"\x15\xcd\xcc\xcc\x3d", r#"{"f":0.1}"#);
    same(&[&[0x18], &MINUS_ONE[..]].concat(), r#"{"i32":-1}"#);
    same(&[&[0x20], &MINUS_ONE[..]].concat(), r#"{"i64":"-1"}"#);
    same(b"\x28\xff\xff\xff\xff\x0f", r#"{"u32":4294967295}"#);
    same(&[&[0x30], &MINUS_ONE[..]].concat(), r#"{"u64":"18446744073709551615"}"#);
    same(b"\x38\xff\xff\xff\xff\x0f", r#"{"s32":-2147483648}"#);
    same(b"\x40\x09", r#"{"s64":"-5"}"#);
    same(b"\x4d\x07\0\0\0", r#"{"f32":7}"#);
    same(b"\x51\x08\0\0\0\0\0\0\0", r#"{"f64":"8"}"#);
    same(b"\x5d\xf7\xff\xff\xff", r#"{"sf32":-9}"#);
    same(b"\x61\xf6\xff\xff\xff\xff\xff\xff\xff", r#"{"sf64":"-10"}"#);
    same(b"\x68\x01\x72\x03h\xc3\xa9\x7a\x02hi", "{\"b\":true,\"s\":\"h\u{e9}\",\"y\":\"aGk=\"}");
    same(b"\x80\x01\x01", r#"{"colour":"RED"}"#);
    same(&[&[0x80, 1], &MINUS_ONE[..]].concat(), r#"{"colour":"MINUS"}"#);
    // One that the schema does not have keeps its number.
    same(b"\x80\x01\x07", r#"{"colour":7}"#);
    same(b"\x09\0\0\0\0\0\0\xf8\x7f\x15\0\0\x80\xff", r#"{"d":"NaN","f":"-Infinity"}"#);
    same(b"\x09\0\0\0\0\0\0\0\x80", r#"{"d":-0.0}"#);
}

#[test]
fn defaults_are_told_only_where_they_are_not_the_same_as_nothing() {
    assert_eq!(json_of("t.All", b"\x18\0\x72\0\x80\x01\0\x09\0\0\0\0\0\0\0\0\x8a\x01\0"), "{}");
    assert_eq!(bytes_of("t.All", r#"{"i32":0,"s":"","colour":"NONE","d":0,"packed":[],"byName":{},"at":null}"#), b"");
    same(b"\xd8\x01\0", r#"{"maybe":0}"#);
    same(b"\xc8\x01\0", r#"{"number":0}"#);
    assert_eq!(json_of("old.Group", b"\x18\0\x28\0\x22\0"), r#"{"must":0,"s":"","zero":0}"#);
}

#[test]
fn lists_are_packed_or_not_as_the_schema_says_and_read_either_way() {
    let minus_two = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    same(&[b"\x8a\x01\x0d\x01", &minus_two[..], b"\xac\x02"].concat(), r#"{"packed":[1,-2,300]}"#);
    same(b"\x90\x01\x01\x90\x01\x02", r#"{"loose":[1,2]}"#);
    same(b"\x9a\x01\0\x9a\x01\x01b", r#"{"names":["","b"]}"#);
    same(b"\xba\x02\x03\0\x01\x07", r#"{"colours":["NONE","RED",7]}"#);
    same(b"\xe2\x02\x08\0\0\0\0\0\0\xf0\x3f\xea\x02\x04\x05\0\0\0", r#"{"doubles":[1.0],"fixed":[5]}"#);
    assert_eq!(json_of("t.All", b"\x88\x01\x01\x8a\x01\x02\x02\x03\x88\x01\x04"), r#"{"packed":[1,2,3,4]}"#);
    assert_eq!(json_of("t.All", b"\x92\x01\x02\x01\x02"), r#"{"loose":[1,2]}"#);
    assert_eq!(bytes_of("old.Group", r#"{"must":1,"loose":[1],"packed":[2]}"#), b"\x18\x01\x38\x01\x42\x01\x02");
}

#[test]
fn maps_are_in_the_order_of_their_keys() {
    same(b"\xaa\x01\x05\x0a\x01a\x10\x01\xaa\x01\x05\x0a\x01b\x10\x02", r#"{"byName":{"a":"1","b":"2"}}"#);
    let minus_nine = b"\x08\xf7\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\0";
    let numbers = [b"\xb2\x01\x0d", &minus_nine[..], b"\xb2\x01\x04\x08\x09\x12\0\xb2\x01\x04\x08\x0a\x12\0"].concat();
    same(&numbers, r#"{"byNumber":{"-9":{},"9":{},"10":{}}}"#);
    same(b"\xba\x01\x05\x08\0\x12\x01\0\xba\x01\x04\x08\x01\x12\0", r#"{"byTruth":{"false":"AA==","true":""}}"#);
    // The last of two counts; a key or a value that is not there is the default.
    let body = b"\xaa\x01\x05\x0a\x01b\x10\x02\xaa\x01\x02\x10\x05\xaa\x01\x03\x0a\x01b";
    assert_eq!(json_of("t.All", body), r#"{"byName":{"":"5","b":"0"}}"#);
    assert_eq!(
        bytes_of("t.All", r#"{"byName":{"b":1,"a":2}}"#),
        b"\xaa\x01\x05\x0a\x01a\x10\x02\xaa\x01\x05\x0a\x01b\x10\x01"
    );
}

#[test]
fn messages_that_are_there_twice_are_merged() {
    let body = b"\xd2\x01\x02\x18\x01\x72\x01a\xd2\x01\x04\x18\x03\x28\x02";
    assert_eq!(json_of("t.All", body), r#"{"s":"a","inner":{"i32":3,"u32":2}}"#);
    // Each is whole by itself: a field does not go on in the next one.
    assert!(not_read(b"\xd2\x01\x01\x18\xd2\x01\x01\x01").contains("t.All.inner: the message ends within a number"));
}

#[test]
fn the_last_of_a_choice_counts() {
    assert_eq!(json_of("t.All", b"\xc2\x01\x01a\xc8\x01\x05"), r#"{"number":5}"#);
    assert_eq!(json_of("t.All", b"\xc8\x01\x05\xc2\x01\x01a"), r#"{"text":"a"}"#);
    // What was there before another was chosen is gone, what came since is merged.
    let body = b"\xd2\x01\x02\x18\x01\xc8\x01\x05\xd2\x01\x02\x28\x02\xd2\x01\x02\x30\x03";
    assert_eq!(json_of("t.All", body), r#"{"inner":{"u32":2,"u64":"3"}}"#);
}

#[test]
fn fields_come_in_any_order_and_leave_in_that_of_their_numbers() {
    assert_eq!(json_of("t.All", b"\x72\x01a\x18\x01\x72\x01b"), r#"{"i32":1,"s":"b"}"#);
    assert_eq!(bytes_of("t.All", r#"{"s":"a","i32":1}"#), b"\x18\x01\x72\x01a");
    // The names of the schema do as well as those of JSON.
    assert_eq!(bytes_of("t.All", r#"{"m_colour":{},"by_name":{"a":"1"}}"#), b"\xaa\x01\x05\x0a\x01a\x10\x01");
    assert_eq!(bytes_of("old.Group", r#"{"renamed":1,"must":1}"#), b"\x18\x01\x48\x01");
    assert_eq!(json_of("old.Group", b"\x18\x01\x48\x01"), r#"{"must":1,"other":1}"#);
}

#[test]
fn well_known_messages_have_the_forms_of_json() {
    let before = b"\xe2\x01\x11\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x80\xca\xb5\xee\x01";
    same(before, r#"{"at":"1969-12-31T23:59:59.500Z"}"#);
    same(
        b"\xea\x01\x16\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x80\xb6\xca\x91\xfe\xff\xff\xff\xff\x01",
        r#"{"span":"-1.500s"}"#,
    );
    same(b"\xe2\x01\0\xea\x01\0", r#"{"at":"1970-01-01T00:00:00Z","span":"0s"}"#);
    same(b"\xf2\x01\x09\x0a\x07\x0a\x01a\x12\x02\x08\0", r#"{"object":{"a":null}}"#);
    same(b"\xf2\x01\x10\x0a\x0e\x0a\x01a\x12\x09\x11\0\0\0\0\0\0\xf0\x3f", r#"{"object":{"a":1}}"#);
    same(b"\xfa\x01\x02\x08\0", r#"{"value":null}"#);
    same(b"\x82\x02\x0f\x0a\x02\x20\x01\x0a\x09\x11\0\0\0\0\0\0\xf8\x3f", r#"{"list":[true,1.5]}"#);
    same(b"\x8a\x02\x0d\x0a\x07x/t.All\x12\x02\x18\x04", r#"{"any":{"@type":"x/t.All","i32":4}}"#);
    same(
        b"\x8a\x02\x20\x0a\x1ax/google.protobuf.Duration\x12\x02\x08\x01",
        r#"{"any":{"@type":"x/google.protobuf.Duration","value":"1s"}}"#,
    );
    same(b"\x8a\x02\0", r#"{"any":{}}"#);
    same(b"\x92\x02\0\x9a\x02\x03\x0a\x01a", r#"{"wrapped":"0","wrappedText":"a"}"#);
    same(b"\xa2\x02\x0e\x0a\x07foo_bar\x0a\x03a.b\xaa\x02\0", r#"{"mask":"fooBar,a.b","empty":{}}"#);
    same(b"\xda\x02\x02\x08\0\xda\x02\x03\x1a\x01a", r#"{"values":[null,"a"]}"#);
    assert_eq!(bytes_of("t.All", r#"{"nil":null,"wrapped":null}"#), b"");
    let empty_path = b"\xa2\x02\x05\x0a\0\x0a\x01a";
    let all = schema(ALL, "t.All");
    assert_eq!(text(convert(&all, Format::Protobuf, Format::Json, false, empty_path)), r#"{"mask":"a"}"#);
    assert!(convert(&all, Format::Protobuf, Format::Json, true, empty_path).is_err());
    // The type of an Any may come last.
    assert_eq!(
        bytes_of("t.All", r#"{"any":{"i32":4,"@type":"x/t.All"}}"#),
        b"\x8a\x02\x0d\x0a\x07x/t.All\x12\x02\x18\x04"
    );
}

#[test]
fn times_are_those_of_the_calendar() {
    for (spelled, read) in [
        ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"),
        ("2020-01-01T01:00:00.123456789+01:30", "2019-12-31T23:30:00.123456789Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("1900-03-01T00:00:00.1-00:00", "1900-03-01T00:00:00.100Z"),
    ] {
        let bytes = bytes_of("t.All", &format!(r#"{{"at":"{spelled}"}}"#));
        assert_eq!(json_of("t.All", &bytes), format!(r#"{{"at":"{read}"}}"#));
    }
    for wrong in [
        "1900-02-29T00:00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:00:60Z",
        "2020-01-01 00:00:00Z",
        "2020-01-01T00:00:00",
        "2020-01-01T00:00:00.Z",
        "2020-01-01T00:00:00.1234567890Z",
        "2020-1-01T00:00:00Z",
        "0000-12-31T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "+020-01-01T00:00:00Z",
        "2020-01-01T00:00:00+0\u{e9}:00",
        "",
    ] {
        assert!(not_written(&format!(r#"{{"at":"{wrong}"}}"#)).contains("not of the form"), "{wrong}");
    }
    for wrong in ["1", "s", ".5s", "1.s", "+1s", "--1s", "315576000001s", "1.1234567890s", "1e3s", " 1s"] {
        assert!(not_written(&format!(r#"{{"span":"{wrong}"}}"#)).contains("not of the form"), "{wrong}");
    }
    // Nanoseconds of another sign, and of more than a second.
    assert!(not_read(b"\xea\x01\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").contains("no span"));
    assert!(not_read(b"\xe2\x01\x06\x10\x80\x94\xeb\xdc\x03").contains("no time"));
}

#[test]
fn binary_formats_get_values_as_they_are() {
    let all = schema(ALL, "t.All");
    let body = b"\x15\xcd\xcc\xcc\x3d\x20\x05\x7a\x01\xff\xe2\x02\x08\0\0\0\0\0\0\xf8\x7f";
    let msgpack = convert(&all, Format::Protobuf, Format::Msgpack, true, body).unwrap();
    assert_eq!(
        msgpack,
        b"\x84\xa1f\xca\x3d\xcc\xcc\xcd\xa3i64\x05\xa1y\xc4\x01\xff\xa7doubles\x91\xcb\x7f\xf8\0\0\0\0\0\0"
    );
    for format in [Format::Cbor, Format::Msgpack, Format::Json] {
        let there = convert(&all, Format::Protobuf, format, true, body).unwrap();
        assert_eq!(convert(&all, format, Format::Protobuf, true, &there).unwrap(), body, "{format}");
    }
    assert_eq!(bytes_of("t.All", r#"{"y":{"$binary":"/w=="},"f":{"$float":"NaN"}}"#), b"\x15\0\0\xc0\x7f\x7a\x01\xff");
}

#[test]
fn proto2_has_groups_extensions_and_required_fields() {
    for (body, json) in [
        (&b"\x0b\x0c\x18\x01"[..], r#"{"inner":{},"must":1}"#),
        (
            b"\x0b\x0a\x02\x18\x02\x13\x08\x01\x14\x13\x14\x0c\x18\x01",
            r#"{"inner":{"g":{"must":2},"each":[{"n":1},{}]},"must":1}"#,
        ),
        (b"\x18\x01\xa0\x06\x05", r#"{"must":1,"[old.ext]":5}"#),
        (b"\x18\x01\x30\x02", r#"{"must":1,"closed":"B"}"#),
        (b"\x18\x01\x30\x05", r#"{"must":1,"closed":5}"#),
    ] {
        assert_eq!(json_of("old.Group", body), json);
        assert_eq!(bytes_of("old.Group", json), body, "{json}");
    }
    let old = schema(OLD, "old.Group");
    let refused = refusal(&old, Format::Json, Format::Protobuf, br#"{"inner":{"g":{"must":null}},"must":1}"#);
    assert!(refused.contains("old.Group.inner.g: the field must, which is required, is missing"), "{refused}");
}

#[test]
fn what_the_schema_does_not_have_is_lost_or_refused() {
    let all = schema(ALL, "t.All");
    let unknown = b"\x18\x01\xd2\x01\x03\xf8\x3f\x01";
    let json = convert(&all, Format::Protobuf, Format::Json, false, unknown).unwrap();
    assert_eq!(json, br#"{"i32":1,"inner":{}}"#);
    let error = convert(&all, Format::Protobuf, Format::Json, true, unknown).unwrap_err().to_string();
    let expected =
        "protobuf body, byte offset 7: t.All.inner: the field 1023, which t.All does not have, would be lost";
    assert!(error.starts_with(expected), "{error}");
    let refused = not_written(r#"{"more":[{},{"byNumber":{"7":{"nope":1}}}]}"#);
    assert!(refused.ends_with(r#"t.All.more[1].byNumber["7"]: t.All has no field "nope""#), "{refused}");
}

#[test]
fn values_that_do_not_fit_are_refused_with_their_path() {
    for (json, reason) in [
        (r#"{"i32":1.5}"#, "t.All.i32: this is 1.5, and the schema says int32"),
        (r#"{"i32":2147483648}"#, "2147483648 is outside the range of int32"),
        (r#"{"u32":-1}"#, "-1 is outside the range of uint32"),
        (r#"{"i64":9223372036854775808}"#, "outside the range of int64"),
        (r#"{"i64":9.223372036854775808e18}"#, "outside the range of int64"),
        (r#"{"u64":"18446744073709551616"}"#, "outside the range of uint64"),
        (r#"{"i32":" 1"}"#, "the schema says int32"),
        (r#"{"i32":"01"}"#, "the schema says int32"),
        (r#"{"i32":"0x1"}"#, "the schema says int32"),
        (r#"{"i32":true}"#, "this is true"),
        (r#"{"f":1e40}"#, "outside the range of float"),
        (r#"{"f":"1e40"}"#, "outside the range of float"),
        (r#"{"d":1e400}"#, "outside the range of 64-bit floats"),
        (r#"{"d":"inf"}"#, "the schema says double"),
        (r#"{"b":1}"#, "the schema says bool"),
        (r#"{"s":1}"#, "the schema says string"),
        (r#"{"y":"@@"}"#, "this is no base64"),
        (r#"{"colour":"BLUE"}"#, "the enum t.Colour has no value"),
        (r#"{"packed":1}"#, "this is no array"),
        (r#"{"packed":[1,null]}"#, "t.All.packed[1]: this is null"),
        (r#"{"byName":[1]}"#, "t.All.byName: this is an array"),
        (r#"{"byNumber":{"x":{}}}"#, "the schema says int32"),
        (r#"{"byTruth":{"yes":""}}"#, "the schema says bool"),
        (r#"{"inner":1}"#, "t.All.inner: this is 1, and the schema says t.All"),
        (r"[1]", "this is an array, and the schema says t.All"),
        (r#"{"text":"a","number":1}"#, "text and number are both there"),
        (r#"{"mask":"foo_bar"}"#, "no path of a field mask"),
        (r#"{"object":[1]}"#, "this is no map"),
        (r#"{"value":{"$float":"NaN"}}"#, "no number that JSON has"),
        (r#"{"any":{"@type":"x/no.N"}}"#, "of the type no.N, which the schema does not have"),
        (r#"{"any":{"@type":"t.All"}}"#, "no URL"),
        (r#"{"any":{"i32":1}}"#, "has no \"@type\""),
        (r#"{"any":{"@type":"x/google.protobuf.Duration"}}"#, "has to have a \"value\""),
    ] {
        let refused = not_written(json);
        assert!(refused.contains(reason), "{json}: {refused}");
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    for json in [
        r#"{"i32":1,"i32":1}"#,
        r#"{"byName":{},"by_name":{}}"#,
        r#"{"i32":null,"i32":1}"#,
        r#"{"byName":{"a":1,"a":1}}"#,
        r#"{"object":{"a":1,"a":1}}"#,
        r#"{"value":[{"a":1,"b":2,"a":3}]}"#,
        r#"{"any":{"@type":"x/t.All","@type":"x/t.All"}}"#,
        r#"{"any":{"@type":"x/t.All","i32":1,"i32":2}}"#,
    ] {
        let refused = not_written(json);
        assert!(refused.contains("there twice"), "{json}: {refused}");
    }
}

#[test]
fn numbers_may_be_spelled_in_many_ways() {
    for json in [r#"{"i32":100}"#, r#"{"i32":1e2}"#, r#"{"i32":"1e2"}"#, r#"{"i32":100.0}"#, r#"{"i32":"100"}"#] {
        assert_eq!(bytes_of("t.All", json), b"\x18\x64", "{json}");
    }
    assert_eq!(bytes_of("t.All", r#"{"d":1}"#), bytes_of("t.All", r#"{"d":"1.0"}"#));
    assert_eq!(bytes_of("t.All", r#"{"y":"-_8"}"#), bytes_of("t.All", r#"{"y":"+/8="}"#));
    let all = schema(ALL, "t.All");
    for lossy in [r#"{"f":16777217}"#, r#"{"d":9007199254740993}"#, r#"{"f":0.123456789}"#] {
        convert(&all, Format::Json, Format::Protobuf, false, lossy.as_bytes()).unwrap();
        let error = convert(&all, Format::Json, Format::Protobuf, true, lossy.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("would be lost"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_message_are_refused_with_their_place() {
    for (body, reason) in [
        (&b"\x18"[..], "byte offset 1: t.All: the message ends within a number"),
        (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "byte offset 1: t.All: a number has more than 64 bits"),
        (b"\x15\0\0", "byte offset 1: t.All: its length reaches past"),
        (b"\x72\x02a", "byte offset 2: t.All: its length reaches past"),
        (b"\x72\xff\xff\xff\xff\x0fabc", "byte offset 6: t.All: its length reaches past"),
        (b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "its length reaches past"),
        (b"\x00\x01", "byte offset 0: t.All: 0 is no number that a field can have"),
        (b"\x80\x80\x80\x80\x10\x01", "no number that a field can have"),
        (b"\x1c", "byte offset 0: t.All: a group ends here"),
        (b"\x1e", "byte offset 0: t.All: no field has the wire type 6"),
        (b"\x1b\x18\x01", "the message ends within a group"),
        (b"\x1b\x24", "another group ends here"),
        (b"\x1a\x01\x01", "byte offset 2: t.All.i32: its wire type is 2, and the schema says int32, which is of 0"),
        (b"\x72\x02a\xff", "byte offset 3: t.All.s: a string is not valid UTF-8"),
        (b"\xd2\x01\x03\x72\x01\xff", "byte offset 5: t.All.inner.s: a string"),
        (b"\x8a\x01\x02\x01\x80", "t.All.packed[1]: the message ends within a number"),
        (b"\xea\x02\x05\0\0\0\0\0", "t.All.fixed[1]: its length reaches past"),
        (b"\xaa\x01\x02\x0a\x05", "t.All.byName: its length reaches past"),
        (b"\xfa\x01\x09\x11\0\0\0\0\0\0\xf8\x7f", "t.All.value: NaN is no number"),
        (b"\x8a\x02\x09\x0a\x07x/y.Foo", "the type y.Foo, which the schema does not have"),
        (b"\xa2\x02\x03\x0a\x01A", "would not come back from JSON"),
    ] {
        let refused = not_read(body);
        assert!(refused.contains(reason), "{body:x?}: {refused}");
    }
}

/// Messages inside messages, from the innermost out; `head` gives what stands before so many bytes.
fn nested(times: usize, head: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut len = 0;
    for _ in 0..times {
        heads.push(head(len));
        len += heads[heads.len() - 1].len();
    }
    heads.into_iter().rev().flatten().collect()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

#[test]
fn depth_is_limited_whatever_it_is_made_of() {
    let too_deep = "nest more than 120 levels deep";
    let inner = |len| [vec![0xd2, 1], varint(len)].concat();
    assert!(json_of("t.All", &nested(MAX_DEPTH - 1, inner)).len() > MAX_DEPTH);
    assert!(not_read(&nested(MAX_DEPTH, inner)).contains(too_deep));
    let refused = not_read(&nested(200_000, inner));
    assert!(refused.contains(too_deep) && refused.len() < 400, "{refused}");

    let any = |len: usize| {
        let inside = [b"\x0a\x07x/t.All\x12", varint(len).as_slice()].concat();
        [vec![0x8a, 2], varint(inside.len() + len), inside].concat()
    };
    assert!(not_read(&nested(50_000, any)).contains(too_deep));
    // Values in lists of values, and groups that the schema has or does not have.
    let value = |len: usize| {
        let list = [vec![0x0a], varint(len)].concat();
        [vec![0x32], varint(list.len() + len), list].concat()
    };
    let values = nested(50_000, value);
    let values = [vec![0xfa, 1], varint(values.len()), values].concat();
    assert!(not_read(&values).contains(too_deep));
    assert!(not_read(&[0xf3, 0x3f].repeat(1_000_000)).contains(too_deep));
    let old = schema(OLD, "old.Group");
    assert!(refusal(&old, Format::Protobuf, Format::Json, &vec![0x0b; 1_000_000]).contains(too_deep));

    let deep = format!("{}1{}", r#"{"inner":"#.repeat(1000), "}".repeat(1000));
    assert!(not_written(&deep).contains(too_deep));
}

#[test]
fn lists_of_many_messages_take_linear_time() {
    let body: Vec<u8> = [0xa2, 1, 2, 0x18, 1].repeat(100_000);
    let json = json_of("t.All", &body);
    assert_eq!(json.len(), "{\"more\":[]}".len() + 100_000 * "{\"i32\":1},".len() - 1);
    assert!(bytes_of("t.All", &json) == body);
}

#[test]
fn a_schema_is_told_what_is_wrong_with_it() {
    let compile = |source: &'static str, message: &str| {
        let read = move |name: &str| Ok((name == "a.proto").then(|| source.to_owned()));
        Schema::compile("a.proto", message, read).unwrap_err().to_string()
    };
    for (source, message, reason) in [
        ("syntax = \"proto3\";\n\nmessage M { Nope a = 1; }", "M", "a.proto:3:13: name 'Nope' is not defined"),
        ("syntax = \"proto3\";\nmessage M { int32 a 1; }", "M", "a.proto:2:21: expected '='"),
        ("syntax = \"proto3\";\nimport \"gone.proto\";", "M", "a.proto:2:1: import 'gone.proto' not found"),
        ("// A\n/* b */ edition = \"2023\";", "M", "a.proto: editions of Protobuf are not known here"),
        ("syntax = \"proto3\"; package p; message N {}", "M", "the schema has no message \"M\": it is one of p.N"),
        ("syntax = \"proto3\";", "M", "the schema has no message \"M\", nor any other"),
    ] {
        let error = compile(source, message);
        assert!(error.contains(reason), "{source}: {error}");
    }
    for set in [&b"\x0a"[..], b"{}", b"\x0a\x02\x0a\x05"] {
        let error = Schema::from_descriptors(set, "M").unwrap_err();
        assert!(matches!(error, SchemaError::Descriptors(_)), "{error}");
    }
    let editions = Schema::from_descriptors(b"\x0a\x0d\x0a\x01e\x62\x08editions", "M").unwrap_err().to_string();
    assert!(editions.contains("editions of Protobuf are not known here"), "{editions}");
}

#[test]
fn nothing_is_done_without_a_schema() {
    for (from, to) in [(Format::Protobuf, Format::Json), (Format::Json, Format::Protobuf)] {
        let error = Conversion::new(from, to).run(&mut &b"{}"[..], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CodecError::NoSchema(Format::Protobuf)), "{error}");
        assert_eq!(Conversion::new(from, to).needs_schema(), Some(Format::Protobuf));
    }
    let spelled = Conversion::new(Format::Protobuf, Format::Hex);
    assert_eq!(spelled.needs_schema(), None);
    let mut out = Vec::new();
    spelled.run(&mut &b"\x18\x01"[..], &mut out).unwrap();
    assert_eq!(out, b"1801");
}
