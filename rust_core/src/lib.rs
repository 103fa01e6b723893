//! Market data of the gateway's WebSocket, from socket bytes to quotes and bars.
//!
//! Nothing here does I/O, starts a thread or reads a clock: bytes and the time
//! come in as arguments, values go out. Prices and sizes are integers in units
//! of 10⁻⁸; a text that has no exact value there is refused, never rounded.
//!
//! # Layout
//!
//! - [`feed`]: one connection's decoder, which joins all the parts below.
//! - [`frame`]: the bytes of one RFC 6455 frame, read and written.
//! - [`handshake`]: the accept key of the opening handshake.
//! - [`message`]: frames into messages, and messages into whole JSON documents.
//! - [`json`]: an incremental JSON checker, and the members of a document.
//! - [`decimal`]: number texts into scaled integers.
//! - [`tick`]: one market data message into a typed update.
//! - [`book`]: the last quote of every contract.
//! - [`bar`]: trades into time bars.
//! - [`error`]: every mistake a peer or a caller can make.
//! - `python`: the extension module, and the only place that knows Python.

pub mod bar;
pub mod book;
pub mod decimal;
pub mod error;
pub mod feed;
pub mod frame;
pub mod handshake;
pub mod json;
pub mod message;
pub mod tick;

#[cfg(feature = "python")]
mod python;
