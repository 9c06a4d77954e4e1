//! The wire format: numbers and length-delimited bytes.

/// A field as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) number: u64,
    pub(super) payload: Payload<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Bytes that are no protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("the body ends within a field")]
    Truncated,
    #[error("unsupported wire type {0}")]
    WireType(u64),
}

impl Item<'_> {
    /// The number as a signed integer (negative ones are sent as 64-bit two's complement).
    pub(super) fn number_value(&self) -> i64 {
        match self.payload {
            Payload::Number(number) => number.cast_signed(),
            Payload::Bytes(_) => 0,
        }
    }

    /// Whether the field has the value that absence means.
    pub(super) fn is_zero(&self) -> bool {
        match self.payload {
            Payload::Number(number) => number == 0,
            Payload::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// The fields of a message, in order.
pub(super) fn items(mut bytes: &[u8]) -> Result<Vec<Item<'_>>, WireError> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let payload = match tag & 7 {
            0 => Payload::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| WireError::Truncated)?;
                let (content, rest) = bytes.split_at_checked(length).ok_or(WireError::Truncated)?;
                bytes = rest;
                Payload::Bytes(content)
            }
            other => return Err(WireError::WireType(other)),
        };
        items.push(Item {
            number: tag >> 3,
            payload,
        });
    }
    Ok(items)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(WireError::Truncated)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::Truncated)
}
