//! Bodies in `application/vnd.kubernetes.protobuf`: what `kubectl create namespace|configmap|deployment …` sends.
//!
//! Only for requests, and only for the kinds in [`messages`]; answers are always JSON. A field that a table does not
//! know is refused, unless it has its zero value (Go writes those out) and so says nothing.

mod messages;
mod wire;

use serde_json::{Map, Value, json};

use crate::error::{ApiError, Result};
use messages::{Field, Kind, Message};
use wire::{Item, Payload};

/// The media type.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What stands before `runtime.Unknown`.
const MAGIC: &[u8] = b"k8s\0";

/// Decodes an object.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or_else(|| malformed("no k8s magic"))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for item in wire::items(envelope).map_err(malformed)? {
        match (item.number, item.payload) {
            (1, Payload::Bytes(meta)) => {
                for item in wire::items(meta).map_err(malformed)? {
                    match (item.number, item.payload) {
                        (1, Payload::Bytes(text)) => api_version = string(text)?,
                        (2, Payload::Bytes(text)) => kind = string(text)?,
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(content)) => raw = content,
            _ => {}
        }
    }
    let message = messages::of(&api_version, &kind).ok_or_else(|| unsupported(&format!("{api_version} {kind}")))?;
    let mut object = decode_message(message, raw)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

fn malformed(why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the protobuf body cannot be decoded: {why}"))
}

fn unsupported(what: &str) -> ApiError {
    ApiError::new(
        415,
        "UnsupportedMediaType",
        format!("this API server does not decode {what} from {CONTENT_TYPE}; send application/json"),
    )
}

fn string(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(malformed)
}

fn decode_message(message: &Message, bytes: &[u8]) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    for item in wire::items(bytes).map_err(malformed)? {
        match message.fields.iter().find(|field| field.number == item.number) {
            Some(field) => put(&mut object, field, &item)?,
            None if item.is_zero() => {}
            None => return Err(unsupported(&format!("field {} of {}", item.number, message.name))),
        }
    }
    Ok(object)
}

fn put(object: &mut Map<String, Value>, field: &Field, item: &Item<'_>) -> Result<()> {
    let bytes = || match item.payload {
        Payload::Bytes(bytes) => Ok(bytes),
        Payload::Number(_) => Err(malformed(format!("field {} has the wrong type", field.name))),
    };
    let value = match field.kind {
        Kind::Ignored => return Ok(()),
        Kind::Text => json!(string(bytes()?)?),
        Kind::Flag => json!(item.number_value() != 0),
        Kind::Number => json!(item.number_value()),
        Kind::Time => {
            let seconds = wire::items(bytes()?)
                .map_err(malformed)?
                .iter()
                .find(|i| i.number == 1)
                .map(Item::number_value);
            let Some(time) = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) else {
                return Ok(());
            };
            json!(crate::object::time(time))
        }
        Kind::IntOrText => int_or_text(bytes()?)?,
        Kind::Message(inner) => Value::Object(decode_message(inner, bytes()?)?),
        Kind::TextMap | Kind::BytesMap => {
            let (key, value) = map_entry(bytes()?, matches!(field.kind, Kind::BytesMap))?;
            crate::object::map_mut(object.entry(field.name).or_insert_with(|| json!({}))).insert(key, value);
            return Ok(());
        }
    };
    if field.repeated {
        if let Value::Array(list) = object.entry(field.name).or_insert_with(|| json!([])) {
            list.push(value);
        }
    } else if !is_zero(&value) || field.optional {
        object.insert(field.name.to_owned(), value);
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// `intstr.IntOrString`: type (0 int, 1 string), intVal, strVal.
fn int_or_text(bytes: &[u8]) -> Result<Value> {
    let items = wire::items(bytes).map_err(malformed)?;
    let number = |wanted: u64| {
        items
            .iter()
            .find(|item| item.number == wanted)
            .map(Item::number_value)
            .unwrap_or_default()
    };
    if number(1) == 0 {
        return Ok(json!(number(2)));
    }
    let text = items.iter().find_map(|item| match item.payload {
        Payload::Bytes(text) if item.number == 3 => Some(text),
        _ => None,
    });
    Ok(json!(string(text.unwrap_or_default())?))
}

fn map_entry(bytes: &[u8], binary: bool) -> Result<(String, Value)> {
    let (mut key, mut value) = (String::new(), json!(""));
    for item in wire::items(bytes).map_err(malformed)? {
        match (item.number, item.payload) {
            (1, Payload::Bytes(text)) => key = string(text)?,
            (2, Payload::Bytes(content)) if binary => value = json!(crate::base64::encode(content)),
            (2, Payload::Bytes(text)) => value = json!(string(text)?),
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128, "a one-byte length");
        [&[number << 3 | 2, length], content].concat()
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, b"v1"), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_decoded() {
        let entry = [bytes(1, b"key"), bytes(2, b"value")].concat();
        // Go writes zero values out: an empty namespace (3) and an empty creationTimestamp (8).
        let meta = [bytes(1, b"a"), bytes(3, b""), bytes(8, b"")].concat();
        let body = envelope("ConfigMap", &[bytes(1, &meta), bytes(2, &entry)].concat());
        assert_eq!(
            decode(&body).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "value"}})
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(decode(&envelope("PodTemplate", &[])).unwrap_err().code, 415);
        assert_eq!(decode(&envelope("ConfigMap", &bytes(15, b"x"))).unwrap_err().code, 415);
        assert!(decode(&envelope("ConfigMap", &bytes(15, b""))).is_ok());
        assert_eq!(decode(b"{}").unwrap_err().code, 400);
        assert_eq!(decode(&[MAGIC, &[0x0a, 0x7f]].concat()).unwrap_err().code, 400);
    }
}
