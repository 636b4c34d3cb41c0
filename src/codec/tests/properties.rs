//! Round trips of generated documents.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{json_to_json, json_to_msgpack, msgpack_to_json, run, text};
use crate::codec::Format;

/// A document of whatever Msgpack can hold.
#[derive(Debug, Clone)]
enum Doc {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Str(String),
    Bin(Vec<u8>),
    Ext(i8, Vec<u8>),
    Seq(Vec<Doc>),
    Map(Vec<(String, Doc)>),
}

impl Doc {
    fn binary(&self, out: &mut Vec<u8>) {
        match self {
            Doc::Null => rmp::encode::write_nil(out).unwrap(),
            Doc::Bool(value) => rmp::encode::write_bool(out, *value).unwrap(),
            Doc::Unsigned(value) => drop(rmp::encode::write_uint(out, *value).unwrap()),
            Doc::Signed(value) => drop(rmp::encode::write_sint(out, *value).unwrap()),
            Doc::Float(value) => rmp::encode::write_f64(out, *value).unwrap(),
            Doc::Str(text) => rmp::encode::write_str(out, text).unwrap(),
            Doc::Bin(bytes) => rmp::encode::write_bin(out, bytes).unwrap(),
            Doc::Ext(kind, bytes) => {
                rmp::encode::write_ext_meta(out, len(bytes), *kind).unwrap();
                out.extend(bytes);
            }
            Doc::Seq(elements) => {
                rmp::encode::write_array_len(out, len(elements)).unwrap();
                for element in elements {
                    element.binary(out);
                }
            }
            Doc::Map(entries) => {
                rmp::encode::write_map_len(out, len(entries)).unwrap();
                for (key, value) in entries {
                    rmp::encode::write_str(out, key).unwrap();
                    value.binary(out);
                }
            }
        }
    }

    /// The document as compact JSON; bin and ext as what a person might have meant literally.
    fn json(&self) -> String {
        match self {
            Doc::Null => "null".to_owned(),
            Doc::Bool(value) => value.to_string(),
            Doc::Unsigned(value) => value.to_string(),
            Doc::Signed(value) => value.to_string(),
            Doc::Float(value) if value.is_finite() => serde_json::to_string(value).unwrap(),
            Doc::Float(value) => format!("{{\"$float\":\"{value}\"}}"),
            Doc::Str(text) => serde_json::to_string(text).unwrap(),
            Doc::Bin(bytes) => format!("{{\"$binary\":{}}}", serde_json::to_string(bytes).unwrap()),
            Doc::Ext(kind, bytes) => format!("{{\"$ext\":[{kind},\"{}\"]}}", "AAAA".repeat(bytes.len())),
            Doc::Seq(elements) => format!("[{}]", elements.iter().map(Doc::json).collect::<Vec<_>>().join(",")),
            Doc::Map(entries) => {
                let entry =
                    |(key, value): &(String, Doc)| format!("{}:{}", serde_json::to_string(key).unwrap(), value.json());
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn len<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap()
}

fn documents(key: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Doc> {
    let leaf = prop_oneof![
        Just(Doc::Null),
        any::<bool>().prop_map(Doc::Bool),
        any::<u64>().prop_map(Doc::Unsigned),
        (0_u32..64).prop_flat_map(|shift| any::<u64>().prop_map(move |value| Doc::Unsigned(value >> shift))),
        (0_u32..64).prop_flat_map(|shift| any::<i64>().prop_map(move |value| Doc::Signed(value >> shift))),
        any::<f64>().prop_map(Doc::Float),
        Just(Doc::Float(f64::NAN)),
        Just(Doc::Float(f64::NEG_INFINITY)),
        ".{0,40}".prop_map(Doc::Str),
        "([A-Za-z0-9]{4}){0,3}".prop_map(Doc::Str),
        vec(any::<u8>(), 0..300).prop_map(Doc::Bin),
        (any::<i8>(), vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| Doc::Ext(kind, bytes)),
    ];
    leaf.prop_recursive(8, 200, 40, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..40).prop_map(Doc::Seq),
            vec((key.clone(), inner.clone()), 0..20).prop_map(Doc::Map),
            (key.clone(), inner).prop_map(|entry| Doc::Map(vec![entry])),
        ]
    })
}

fn keys() -> impl Strategy<Value = String> + Clone {
    prop_oneof![".{0,8}", "[a-c]"]
}

fn marker_keys() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just("$binary".to_owned()), Just("$ext".to_owned()), Just("$float".to_owned()), "[a-c]"]
}

proptest! {
    #[test]
    fn msgpack_comes_back_from_json(document in documents(keys())) {
        let mut binary = Vec::new();
        document.binary(&mut binary);
        let json = msgpack_to_json(&binary);
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok());
        prop_assert_eq!(json_to_msgpack(&json), &*binary);
        prop_assert_eq!(json_to_json(&json), json);
        prop_assert_eq!(run(Format::Msgpack, Format::Msgpack, &binary).unwrap(), &*binary);
    }

    #[test]
    fn msgpack_of_marker_keys_comes_back_or_is_refused(document in documents(marker_keys())) {
        let mut binary = Vec::new();
        document.binary(&mut binary);
        match run(Format::Msgpack, Format::Json, &binary) {
            Ok(json) => prop_assert_eq!(run(Format::Json, Format::Msgpack, &json).unwrap(), binary),
            Err(error) => prop_assert!(error.to_string().contains("would come back"), "{}", error),
        }
    }

    #[test]
    fn json_comes_back_from_msgpack(document in documents(prop_oneof![keys(), marker_keys()])) {
        let json = document.json();
        let back = msgpack_to_json(&json_to_msgpack(&json));
        prop_assert_eq!(&back, &json);
        prop_assert_eq!(json_to_json(&json), json);
    }

    #[test]
    fn json_comes_back_from_yaml(document in documents(keys())) {
        // Extensions are all that YAML does not have.
        let json = document.json().replace("$ext", "$exit");
        let yaml = run(Format::Json, Format::Yaml, json.as_bytes()).unwrap();
        prop_assert_eq!(text(run(Format::Yaml, Format::Json, &yaml)), json_to_json(&json));
        prop_assert_eq!(run(Format::Yaml, Format::Yaml, &yaml).unwrap(), &*yaml);
    }

    #[test]
    fn json_comes_back_from_toml(document in documents(keys())) {
        // What TOML cannot hold is left out: null, large integers, binary as such, repeated keys.
        let json = format!("{{\"all\":{}}}", document.json()).replace("null", "0").replace('$', "_");
        if let Ok(toml) = run(Format::Json, Format::Toml, json.as_bytes()) {
            prop_assert_eq!(text(run(Format::Toml, Format::Json, &toml)), json_to_json(&json));
            prop_assert_eq!(run(Format::Toml, Format::Toml, &toml).unwrap(), &*toml);
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        for &from in Format::STRUCTURED {
            for &to in Format::STRUCTURED {
                // Lines are an array, also one that was the whole document, and TOML and XML have none outermost.
                let is_one_way = to == Format::JsonLines && matches!(from, Format::Toml | Format::Xml);
                if let Ok(out) = run(from, to, &bytes) {
                    prop_assert!(is_one_way || run(to, from, &out).is_ok());
                }
            }
        }
    }

    #[test]
    fn text_like_json_agrees_with_serde_json(text in r#"[\[\]{}",:0-9eE.+\-\\ a-btrufalsn]{0,12}"#) {
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(run(Format::Json, Format::Json, text.as_bytes()).is_ok(), valid, "{}", text);
    }
}
