use proptest::prelude::*;
use rust_core::error::{ArgumentError, ProtocolError};
use rust_core::frame::{self, Header, Opcode};

use crate::wire::{self, BINARY, CLOSE, FINAL, PING, TEXT};

fn header(is_final: bool, opcode: Opcode, header_bytes: usize, payload_bytes: u64) -> Header {
    Header { is_final, opcode, header_bytes, payload_bytes }
}

#[test]
fn all_three_forms_of_length_are_read() {
    let cases = [
        (vec![0x82, 0], header(true, Opcode::Binary, 2, 0)),
        (vec![0x82, 125], header(true, Opcode::Binary, 2, 125)),
        (vec![0x01, 126, 0, 126], header(false, Opcode::Text, 4, 126)),
        (vec![0x80, 126, 0xff, 0xff], header(true, Opcode::Continuation, 4, 65_535)),
        (vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], header(true, Opcode::Binary, 10, 65_536)),
        (
            vec![0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255],
            header(true, Opcode::Binary, 10, u64::MAX >> 1),
        ),
    ];

    for (bytes, expected) in cases {
        assert_eq!(frame::read_header(&bytes), Ok(Some(expected)));
        for end in 0..bytes.len() {
            assert_eq!(frame::read_header(&bytes[..end]), Ok(None), "{bytes:?} cut at {end}");
        }
    }
}

#[test]
fn what_the_standard_forbids_is_refused() {
    let cases: [(&[u8], ProtocolError); 13] = [
        (&[0xc2, 0], ProtocolError::ReservedBits(0b100)),
        (&[0xa2, 0], ProtocolError::ReservedBits(0b010)),
        (&[0x92, 0], ProtocolError::ReservedBits(0b001)),
        (&[0x83, 0], ProtocolError::UnknownOpcode(0x3)),
        (&[0x87, 0], ProtocolError::UnknownOpcode(0x7)),
        (&[0x8b, 0], ProtocolError::UnknownOpcode(0xb)),
        (&[0x8f, 0], ProtocolError::UnknownOpcode(0xf)),
        (&[0x82, 0x80], ProtocolError::MaskedFrame),
        (&[0x09, 0], ProtocolError::ControlFragmented),
        (&[0x89, 126, 0, 126], ProtocolError::ControlTooLong(126)),
        (&[0x82, 126, 0, 125], ProtocolError::LengthNotMinimal(125)),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], ProtocolError::LengthNotMinimal(65_535)),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], ProtocolError::LengthTooLarge(1 << 63)),
    ];

    for (bytes, expected) in cases {
        assert_eq!(frame::read_header(bytes), Err(expected), "{bytes:?}");
    }
}

#[test]
fn a_close_payload_is_a_code_and_a_reason() {
    type Close = Result<(u16, &'static str), ProtocolError>;
    let cases: [(&[u8], Close); 7] = [
        (b"", Ok((1005, ""))),
        (b"\x03", Err(ProtocolError::CloseTooShort)),
        (b"\x03\xe8", Ok((1000, ""))),
        (b"\x0f\xa0bye \xe2\x82\xac", Ok((4000, "bye €"))),
        (b"\x03\xe8\xe2\x82", Err(ProtocolError::InvalidUtf8)),
        (b"\x03\xed", Err(ProtocolError::InvalidCloseCode(1005))),
        (b"\x13\x88", Err(ProtocolError::InvalidCloseCode(5000))),
    ];

    for (payload, expected) in cases {
        assert_eq!(frame::read_close(payload), expected, "{payload:?}");
    }
}

#[test]
fn only_codes_that_an_endpoint_may_send_are_close_codes() {
    let allowed = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014, 3000, 3999, 4999];
    let refused = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];

    assert!(allowed.into_iter().all(frame::is_close_code));
    assert!(!refused.into_iter().any(frame::is_close_code));
}

#[test]
fn a_text_is_sent_in_one_masked_frame() {
    let bytes = frame::encode_text(b"Hello", [0x37, 0xfa, 0x21, 0x3d]).unwrap();

    assert_eq!(bytes, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

#[test]
fn a_close_is_sent_with_its_code_or_without_one() {
    assert_eq!(frame::encode_close(1000, [0; 4]).unwrap(), b"\x88\x82\0\0\0\0\x03\xe8");
    assert_eq!(frame::encode_close(1005, [1, 2, 3, 4]).unwrap(), b"\x88\x80\x01\x02\x03\x04");
    assert_eq!(frame::encode_close(1006, [0; 4]), Err(ArgumentError::InvalidCloseCode(1006)));
}

#[test]
fn a_text_that_is_not_utf8_is_not_sent() {
    assert_eq!(frame::encode_text(b"\xff", [0; 4]), Err(ArgumentError::InvalidUtf8));
}

/// The payload of a masked frame, unmasked byte by byte.
fn unmask(sent: &[u8], header_bytes: usize) -> Vec<u8> {
    let (head, masked) = sent.split_at(header_bytes + 4);
    let key = &head[header_bytes..];
    masked.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect()
}

proptest! {
    #[test]
    fn what_is_sent_is_what_a_server_would_send_but_masked(
        length in prop_oneof![0usize..300, 65_530usize..65_540],
        key: [u8; 4],
        opcode in prop_oneof![Just(Opcode::Text), Just(Opcode::Binary)],
    ) {
        let payload: Vec<u8> = (0u8..=255).cycle().take(length).collect();
        let mut sent = Vec::new();

        frame::encode(opcode, &payload, key, &mut sent);

        let first = FINAL | if opcode == Opcode::Text { TEXT } else { BINARY };
        let plain = wire::frame(first, &payload);
        let header_bytes = plain.len() - length;
        prop_assert_eq!(sent[1] & 0x80, 0x80);
        let mut head = sent[..header_bytes].to_vec();
        head[1] &= 0x7f;
        prop_assert_eq!(&head, &plain[..header_bytes]);
        prop_assert_eq!(unmask(&sent, header_bytes), payload);
    }

    #[test]
    fn any_bytes_are_a_header_or_an_error_or_too_few(bytes: Vec<u8>) {
        if let Ok(Some(header)) = frame::read_header(&bytes) {
            prop_assert!(header.header_bytes <= bytes.len());
            prop_assert!(!header.opcode.is_control() || header.payload_bytes <= 125);
            prop_assert!(!header.opcode.is_control() || header.is_final);
        }
    }
}

#[test]
fn the_test_frames_are_what_the_standard_shows() {
    assert_eq!(wire::frame(FINAL | TEXT, b"Hello"), b"\x81\x05Hello");
    assert_eq!(wire::frame(FINAL | PING, b"Hello"), b"\x89\x05Hello");
    assert_eq!(wire::frame(FINAL | CLOSE, b""), b"\x88\0");
    assert_eq!(wire::frame(FINAL | BINARY, &[0; 256])[..4], *b"\x82\x7e\x01\0");
}
