//! The accept key of the opening handshake (RFC 6455 section 4.2.2).
//!
//! SHA-1 is what the standard demands here; it proves that the peer speaks
//! WebSocket and protects nothing.

use sha1_smol::Sha1;

const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The `Sec-WebSocket-Accept` a server must answer to this `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::from(key.as_bytes());
    hash.update(ACCEPT_GUID);
    base64(&hash.digest().bytes())
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| (bits << 8) | u32::from(byte));
        let padded = match group.len() {
            1 => bits << 16,
            2 => bits << 8,
            _ => bits,
        };
        for (place, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            let symbol = usize::try_from((padded >> shift) & 0x3f).ok().and_then(|i| BASE64.get(i));
            match symbol {
                Some(&symbol) if place <= group.len() => text.push(char::from(symbol)),
                _ => text.push('='),
            }
        }
    }
    text
}
