//! Every mistake a peer or a caller can make, one line each.
//!
//! A [`ProtocolError`] is the peer's fault and ends the connection with its
//! close code. An [`ArgumentError`] is our own fault and changes nothing.

use std::fmt;

/// The peer broke RFC 6455 or exceeded a limit; close with [`Self::close_code`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A reserved bit is set, although no extension was negotiated.
    ReservedBits(u8),
    /// The opcode has no meaning in RFC 6455.
    UnknownOpcode(u8),
    /// A server must not mask.
    MaskedFrame,
    /// The length would have fitted into a shorter form.
    LengthNotMinimal(u64),
    /// The most significant bit of a 64-bit length is set.
    LengthTooLarge(u64),
    /// A control frame has more payload than 125 bytes.
    ControlTooLong(u64),
    /// A control frame is not final.
    ControlFragmented,
    /// A continuation came although no message was open.
    UnexpectedContinuation,
    /// A new message began before the last fragment of the open one.
    MessageInterrupted,
    /// A message, all fragments together, is longer than allowed.
    MessageTooLong {
        /// Bytes of the message so far, with the frame that broke the limit.
        found: u64,
        /// Bytes allowed.
        allowed: u64,
    },
    /// A message has more fragments than allowed.
    TooManyFragments {
        /// Fragments allowed.
        allowed: usize,
    },
    /// A text or a close reason is not UTF-8.
    InvalidUtf8,
    /// A close frame holds one byte, half a code.
    CloseTooShort,
    /// A close frame holds a code that must not be sent.
    InvalidCloseCode(u16),
    /// More pings than allowed within one second.
    PingFlood {
        /// Pings allowed in one second.
        allowed: u32,
    },
    /// One JSON document, split over several messages, is longer than allowed.
    DocumentTooLong {
        /// Bytes of the document so far, with the piece that broke the limit.
        found: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// One JSON document is split over more messages than allowed.
    TooManyPieces {
        /// Pieces allowed.
        allowed: usize,
    },
}

impl ProtocolError {
    /// The close code (RFC 6455 section 7.4.1) that tells the peer what it did.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::InvalidUtf8 => 1007,
            Self::PingFlood { .. } | Self::TooManyFragments { .. } | Self::TooManyPieces { .. } => {
                1008
            }
            Self::MessageTooLong { .. } | Self::DocumentTooLong { .. } => 1009,
            _ => 1002,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(found) => write!(f, "reserved bits {found:#05b}, allowed 0b000"),
            Self::UnknownOpcode(found) => write!(f, "unknown opcode {found:#x}"),
            Self::MaskedFrame => write!(f, "masked frame from a server"),
            Self::LengthNotMinimal(found) => {
                write!(f, "length of {found} bytes in a longer form than needed")
            }
            Self::LengthTooLarge(found) => {
                write!(f, "length of {found} bytes, limit is 2^63 - 1 bytes")
            }
            Self::ControlTooLong(found) => {
                write!(f, "control frame of {found} bytes, limit is 125 bytes")
            }
            Self::ControlFragmented => write!(f, "control frame that is not final"),
            Self::UnexpectedContinuation => write!(f, "continuation without an open message"),
            Self::MessageInterrupted => write!(f, "new message before the end of the open one"),
            Self::MessageTooLong { found, allowed } => {
                write!(f, "message of {found} bytes, limit is {allowed} bytes")
            }
            Self::TooManyFragments { allowed } => {
                write!(f, "message of more than {allowed} fragments, limit is {allowed} fragments")
            }
            Self::InvalidUtf8 => write!(f, "text that is not UTF-8"),
            Self::CloseTooShort => {
                write!(f, "close frame of 1 byte, a close code needs 2 bytes")
            }
            Self::InvalidCloseCode(found) => write!(f, "close code {found} must not be sent"),
            Self::PingFlood { allowed } => {
                write!(f, "more than {allowed} pings within 1 s, limit is {allowed} pings")
            }
            Self::DocumentTooLong { found, allowed } => {
                write!(f, "split JSON of {found} bytes, limit is {allowed} bytes")
            }
            Self::TooManyPieces { allowed } => {
                write!(f, "JSON split into more than {allowed} pieces, limit is {allowed} pieces")
            }
        }
    }
}

impl std::error::Error for ProtocolError {}

/// The caller asked for something that cannot be; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentError {
    /// A conid is not positive.
    InvalidConid(i64),
    /// The length of a bar is outside its range.
    InvalidInterval(i64),
    /// One contract has more bar intervals than allowed.
    TooManyIntervals(usize),
    /// More contracts are tracked than allowed.
    TooManyContracts,
    /// A close code must not be sent.
    InvalidCloseCode(u16),
    /// A message that a caller wants to send as text is not UTF-8.
    InvalidUtf8,
    /// The limit of bytes in a message is zero.
    InvalidMessageLimit,
    /// A time lies before 1970.
    InvalidTime(i64),
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidConid(found) => write!(f, "conid {found}, allowed are 1 and above"),
            Self::InvalidInterval(found) => write!(
                f,
                "bar interval of {found} ms, allowed are {} to {} ms",
                crate::bar::INTERVAL_MS_MIN,
                crate::bar::INTERVAL_MS_MAX
            ),
            Self::TooManyIntervals(found) => write!(
                f,
                "{found} bar intervals for one contract, limit is {}",
                crate::bar::INTERVALS_MAX
            ),
            Self::TooManyContracts => {
                write!(f, "too many tracked contracts, limit is {}", crate::book::CONTRACTS_MAX)
            }
            Self::InvalidCloseCode(found) => {
                write!(f, "close code {found}, allowed are those RFC 6455 lets an endpoint send")
            }
            Self::InvalidUtf8 => write!(f, "text that is not UTF-8"),
            Self::InvalidMessageLimit => {
                write!(f, "message_bytes_max of 0 bytes, allowed are 1 byte and above")
            }
            Self::InvalidTime(found) => write!(f, "time of {found} ns, allowed are 0 and above"),
        }
    }
}

impl std::error::Error for ArgumentError {}
