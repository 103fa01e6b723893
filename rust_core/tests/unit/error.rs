use rust_core::error::{ArgumentError, ProtocolError};

#[test]
fn every_mistake_of_the_peer_says_what_was_found_and_what_was_allowed() {
    let cases = [
        (ProtocolError::ReservedBits(4), 1002, "reserved bits 0b100, allowed 0b000"),
        (ProtocolError::UnknownOpcode(3), 1002, "unknown opcode 0x3"),
        (ProtocolError::MaskedFrame, 1002, "masked frame from a server"),
        (
            ProtocolError::LengthNotMinimal(5),
            1002,
            "length of 5 bytes in a longer form than needed",
        ),
        (
            ProtocolError::LengthTooLarge(1 << 63),
            1002,
            "length of 9223372036854775808 bytes, limit is 2^63 - 1 bytes",
        ),
        (
            ProtocolError::ControlTooLong(126),
            1002,
            "control frame of 126 bytes, limit is 125 bytes",
        ),
        (ProtocolError::ControlFragmented, 1002, "control frame that is not final"),
        (ProtocolError::UnexpectedContinuation, 1002, "continuation without an open message"),
        (ProtocolError::MessageInterrupted, 1002, "new message before the end of the open one"),
        (
            ProtocolError::MessageTooLong { found: 20, allowed: 10 },
            1009,
            "message of 20 bytes, limit is 10 bytes",
        ),
        (
            ProtocolError::TooManyFragments { allowed: 9 },
            1008,
            "message of more than 9 fragments, limit is 9 fragments",
        ),
        (ProtocolError::InvalidUtf8, 1007, "text that is not UTF-8"),
        (ProtocolError::CloseTooShort, 1002, "close frame of 1 byte, a close code needs 2 bytes"),
        (ProtocolError::InvalidCloseCode(1005), 1002, "close code 1005 must not be sent"),
        (
            ProtocolError::PingFlood { allowed: 20 },
            1008,
            "more than 20 pings within 1 s, limit is 20 pings",
        ),
        (
            ProtocolError::DocumentTooLong { found: 20, allowed: 10 },
            1009,
            "split JSON of 20 bytes, limit is 10 bytes",
        ),
        (
            ProtocolError::TooManyPieces { allowed: 9 },
            1008,
            "JSON split into more than 9 pieces, limit is 9 pieces",
        ),
    ];

    for (error, close_code, text) in cases {
        assert_eq!((error.close_code(), error.to_string().as_str()), (close_code, text));
    }
}

#[test]
fn every_mistake_of_ours_says_what_was_given_and_what_is_allowed() {
    let cases = [
        (ArgumentError::InvalidConid(0), "conid 0, allowed are 1 and above"),
        (
            ArgumentError::InvalidInterval(99),
            "bar interval of 99 ms, allowed are 100 to 2678400000 ms",
        ),
        (ArgumentError::TooManyIntervals(17), "17 bar intervals for one contract, limit is 16"),
        (ArgumentError::TooManyContracts, "too many tracked contracts, limit is 16384"),
        (
            ArgumentError::InvalidCloseCode(1006),
            "close code 1006, allowed are those RFC 6455 lets an endpoint send",
        ),
        (ArgumentError::InvalidUtf8, "text that is not UTF-8"),
        (
            ArgumentError::InvalidMessageLimit,
            "message_bytes_max of 0 bytes, allowed are 1 byte and above",
        ),
        (ArgumentError::InvalidTime(-1), "time of -1 ns, allowed are 0 and above"),
    ];

    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}
