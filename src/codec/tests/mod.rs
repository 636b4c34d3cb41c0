//! Tests of the room, through its public face.

mod cbor;
mod convert;
mod formats;
mod framing;
mod grpc;
mod hostile;
mod plain;
mod properties;
mod protobuf;
mod toml;
mod xml;
mod yaml;

use super::{CodecError, Format, convert};

/// The two that most tests are about.
const BOTH: [Format; 2] = [Format::Json, Format::Msgpack];

/// Converts a whole body held in memory.
fn run(from: Format, to: Format, mut body: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    convert(from, to, &mut body, &mut out)?;
    Ok(out)
}

fn json_to_json(body: &str) -> String {
    text(run(Format::Json, Format::Json, body.as_bytes()))
}

fn json_to_msgpack(body: &str) -> Vec<u8> {
    run(Format::Json, Format::Msgpack, body.as_bytes()).unwrap()
}

fn msgpack_to_json(body: &[u8]) -> String {
    text(run(Format::Msgpack, Format::Json, body))
}

fn text(converted: Result<Vec<u8>, CodecError>) -> String {
    String::from_utf8(converted.unwrap()).unwrap()
}

/// The message of a conversion that must fail for the body's fault.
fn refusal(from: Format, to: Format, body: &[u8]) -> String {
    let error = run(from, to, body).expect_err("must be refused");
    assert!(error.is_data(), "{error:?}");
    error.to_string()
}
