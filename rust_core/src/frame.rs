//! The bytes of one RFC 6455 frame, as a client reads and writes them.
//!
//! A header is judged as soon as it is whole, before its payload is waited for
//! and before anything is allocated for it.

use crate::error::{ArgumentError, ProtocolError};

/// Payload bytes that a control frame may hold.
pub const CONTROL_BYTES_MAX: u64 = 125;
/// The close code that stands for a close frame without one.
pub const NO_CLOSE_CODE: u16 = 1005;

/// Four bytes that mask a client's payload; unpredictable, a new one each frame.
pub type MaskKey = [u8; 4];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of the open message.
    Continuation,
    /// A text, or its first fragment.
    Text,
    /// A binary message, or its first fragment.
    Binary,
    /// The last frame of a connection.
    Close,
    /// A question that a pong must answer.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            _ => Err(ProtocolError::UnknownOpcode(bits)),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether frames of this kind may stand between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The first bytes of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub is_final: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Bytes of the header itself: 2, 4 or 10.
    pub header_bytes: usize,
    /// Bytes that follow the header.
    pub payload_bytes: u64,
}

/// Reads the header of the frame that `buf` starts with.
///
/// Returns `None` when `buf` ends before the header does: read more, then call
/// again with the longer buffer.
///
/// # Errors
///
/// Returns [`ProtocolError`] when the server breaks RFC 6455.
pub fn read_header(buf: &[u8]) -> Result<Option<Header>, ProtocolError> {
    let Some((&[first, second], rest)) = buf.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let reserved = (first >> 4) & 0b111;
    if reserved != 0 {
        return Err(ProtocolError::ReservedBits(reserved));
    }
    let opcode = Opcode::from_bits(first & 0x0f)?;
    if second & 0x80 != 0 {
        return Err(ProtocolError::MaskedFrame);
    }
    let is_final = first & 0x80 != 0;
    if opcode.is_control() && !is_final {
        return Err(ProtocolError::ControlFragmented);
    }
    let Some((header_bytes, payload_bytes)) = read_length(second & 0x7f, rest)? else {
        return Ok(None);
    };
    if opcode.is_control() && payload_bytes > CONTROL_BYTES_MAX {
        return Err(ProtocolError::ControlTooLong(payload_bytes));
    }
    Ok(Some(Header { is_final, opcode, header_bytes, payload_bytes }))
}

fn read_length(short: u8, rest: &[u8]) -> Result<Option<(usize, u64)>, ProtocolError> {
    let (header_bytes, length, length_min) = match short {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (4, u64::from(u16::from_be_bytes(*bytes)), 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (10, u64::from_be_bytes(*bytes), 0x1_0000),
            None => return Ok(None),
        },
        _ => (2, u64::from(short), 0),
    };
    if length >> 63 != 0 {
        return Err(ProtocolError::LengthTooLarge(length));
    }
    if length < length_min {
        return Err(ProtocolError::LengthNotMinimal(length));
    }
    Ok(Some((header_bytes, length)))
}

/// Reads the payload of a close frame: the code, and the reason in words.
///
/// The code is [`NO_CLOSE_CODE`] when the payload is empty.
///
/// # Errors
///
/// Returns [`ProtocolError`] for half a code, a code that must not be sent, or
/// a reason that is not UTF-8.
pub fn read_close(payload: &[u8]) -> Result<(u16, &str), ProtocolError> {
    if payload.is_empty() {
        return Ok((NO_CLOSE_CODE, ""));
    }
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Err(ProtocolError::CloseTooShort);
    };
    let code = u16::from_be_bytes(*code);
    if !is_close_code(code) {
        return Err(ProtocolError::InvalidCloseCode(code));
    }
    let reason = simdutf8::basic::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
    Ok((code, reason))
}

/// Whether an endpoint may put this code into a close frame.
///
/// 1004 to 1006 and 1015 are reserved; 1012 to 1014 were registered later.
#[must_use]
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A whole text message in one masked frame.
///
/// # Errors
///
/// Returns [`ArgumentError`] when the payload is not UTF-8.
pub fn encode_text(payload: &[u8], key: MaskKey) -> Result<Vec<u8>, ArgumentError> {
    simdutf8::basic::from_utf8(payload).map_err(|_| ArgumentError::InvalidUtf8)?;
    let mut out = Vec::new();
    encode(Opcode::Text, payload, key, &mut out);
    Ok(out)
}

/// A masked close frame; without a code when `code` is [`NO_CLOSE_CODE`].
///
/// # Errors
///
/// Returns [`ArgumentError`] when the code must not be sent.
pub fn encode_close(code: u16, key: MaskKey) -> Result<Vec<u8>, ArgumentError> {
    if code != NO_CLOSE_CODE && !is_close_code(code) {
        return Err(ArgumentError::InvalidCloseCode(code));
    }
    let mut out = Vec::new();
    let payload = code.to_be_bytes();
    encode(Opcode::Close, if code == NO_CLOSE_CODE { &[] } else { &payload }, key, &mut out);
    Ok(out)
}

/// Appends one final, masked frame to `out`.
///
/// The payload of a control frame must have [`CONTROL_BYTES_MAX`] bytes or fewer.
pub fn encode(opcode: Opcode, payload: &[u8], key: MaskKey, out: &mut Vec<u8>) {
    out.reserve(payload.len().saturating_add(14));
    out.push(0x80 | opcode.bits());
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 0x7e);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 0x7f);
            let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    for group in payload.chunks(4) {
        out.extend(group.iter().zip(key).map(|(byte, mask)| byte ^ mask));
    }
}
