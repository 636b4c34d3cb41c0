//! Protobuf bodies, their streams, and JSON for them, with a schema of everything: recursion, maps, choices, `Any`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mq::codec::{Conversion, Format, Schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let read = |name: &str| Ok((name == "all.proto").then(|| include_str!("../../proto/all.proto").to_owned()));
    Schema::compile("all.proto", "t.All", read).expect("the schema is right")
});

fn convert(from: Format, to: Format, mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let conversion = Conversion { schema: Some(&SCHEMA), ..Conversion::new(from, to) };
    conversion.run(&mut body, &mut out).ok().map(|()| out)
}

/// Frames of gRPC, which may be compressed.
fn stream(body: &[u8]) {
    let Some(json) = convert(Format::Grpc, Format::Json, body) else { return };
    let back = convert(Format::Json, Format::Grpc, &json).expect("the JSON is that of messages");
    assert_eq!(convert(Format::Grpc, Format::Json, &back), Some(json));
}

fuzz_target!(|input: &[u8]| {
    let Some((first, body)) = input.split_first() else { return };
    let body = match first % 3 {
        0 => body.to_vec(),
        2 => return stream(body),
        _ => match convert(Format::Json, Format::Protobuf, body) {
            Some(body) => body,
            None => return,
        },
    };
    let anew = convert(Format::Protobuf, Format::Protobuf, &body);
    let Some(json) = convert(Format::Protobuf, Format::Json, &body) else { return };
    // What was read can be written, and is the same message; and so it is by way of the other formats.
    let back = convert(Format::Json, Format::Protobuf, &json).expect("the JSON is that of a message");
    assert_eq!(convert(Format::Protobuf, Format::Json, &back).as_deref(), Some(&json[..]));
    let anew = anew.expect("the message can be read");
    assert_eq!(convert(Format::Protobuf, Format::Json, &anew).as_deref(), Some(&json[..]));
    let cbor = convert(Format::Protobuf, Format::Cbor, &body).expect("the message can be read");
    let by_way_of_cbor = convert(Format::Cbor, Format::Protobuf, &cbor).expect("the CBOR is that of a message");
    // Not the bytes: what is inside a NaN is no part of its value.
    assert_eq!(convert(Format::Protobuf, Format::Json, &by_way_of_cbor), Some(json));
});
