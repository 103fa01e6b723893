use rust_core::error::ProtocolError;
use rust_core::message::{
    Assembler, Document, Event, FRAGMENTS_MAX_FLOOR, Joined, Joiner, Kind, PARTIAL_AGE_NS_MAX,
    PIECES_MAX,
};

use crate::wire::{self, BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, TEXT};

/// Every event in words, and the error at the end if there is one.
fn read_all(assembler: &mut Assembler, bytes: &[u8]) -> (Vec<String>, Option<ProtocolError>) {
    let mut seen = Vec::new();
    let mut rest = bytes;
    loop {
        match assembler.read(rest) {
            Ok(Some((event, frame_bytes))) => {
                seen.push(format!("{event:?}"));
                rest = &rest[frame_bytes..];
            }
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn words(events: &[Event<'_>]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

#[test]
fn control_frames_may_stand_between_fragments() {
    let bytes = [
        wire::frame(TEXT, b"Hel"),
        wire::frame(FINAL | PING, b"?"),
        wire::frame(CONTINUATION, b""),
        wire::frame(FINAL | PONG, b"!"),
        wire::frame(FINAL | CONTINUATION, b"lo"),
        wire::frame(FINAL | BINARY, b"\xff"),
        wire::frame(FINAL | CLOSE, b"\x03\xe8end"),
    ]
    .concat();

    let seen = read_all(&mut Assembler::new(10), &bytes);

    let expected = words(&[
        Event::Fragment,
        Event::Ping(b"?"),
        Event::Fragment,
        Event::Pong,
        Event::Message(Kind::Text, b"Hello"),
        Event::Message(Kind::Binary, b"\xff"),
        Event::Close(1000, "end"),
    ]);
    assert_eq!(seen, (expected, None));
}

#[test]
fn one_message_in_fragments_leaves_nothing_to_the_next() {
    let fragmented =
        [wire::frame(BINARY, b"ab"), wire::frame(FINAL | CONTINUATION, b"cd")].concat();

    let (events, error) = read_all(&mut Assembler::new(4), &fragmented.repeat(2));

    let message = [Event::Fragment, Event::Message(Kind::Binary, b"abcd")];
    assert_eq!((events, error), ([words(&message), words(&message)].concat(), None));
}

#[test]
fn messages_must_not_be_mixed() {
    let interrupted = [wire::frame(TEXT, b"a"), wire::frame(FINAL | TEXT, b"b")].concat();
    let unexpected = wire::frame(FINAL | CONTINUATION, b"b");

    let fragment = words(&[Event::Fragment]);
    assert_eq!(
        read_all(&mut Assembler::new(10), &interrupted),
        (fragment, Some(ProtocolError::MessageInterrupted))
    );
    assert_eq!(
        read_all(&mut Assembler::new(10), &unexpected),
        (vec![], Some(ProtocolError::UnexpectedContinuation))
    );
}

#[test]
fn a_character_may_be_cut_by_fragments_but_not_by_the_end() {
    let whole = [
        wire::frame(TEXT, b"\xf0\x9f"),
        wire::frame(CONTINUATION, b"\x98"),
        wire::frame(FINAL | CONTINUATION, b"\x80."),
    ]
    .concat();
    let cut = wire::frame(FINAL | TEXT, b".\xf0\x9f\x98");

    let (events, error) = read_all(&mut Assembler::new(10), &whole);
    assert_eq!(events.last(), words(&[Event::Message(Kind::Text, "😀.".as_bytes())]).last());
    assert_eq!(error, None);
    assert_eq!(read_all(&mut Assembler::new(10), &cut), (vec![], Some(ProtocolError::InvalidUtf8)));
}

#[test]
fn a_text_that_cannot_be_utf8_is_refused_before_its_frame_is_whole() {
    let bytes = wire::frame(FINAL | TEXT, b"ab\xc0cdefgh");
    let mut assembler = Assembler::new(10);

    assert_eq!(read_all(&mut assembler, &bytes[..3]), (vec![], None));
    assert_eq!(read_all(&mut assembler, &bytes[..4]), (vec![], None));
    assert_eq!(read_all(&mut assembler, &bytes[..5]), (vec![], Some(ProtocolError::InvalidUtf8)));
}

#[test]
fn the_size_of_a_message_is_limited_by_its_headers() {
    let just = [wire::frame(BINARY, &[1; 6]), wire::frame(FINAL | CONTINUATION, &[2; 4])].concat();
    let over = [wire::frame(BINARY, &[1; 6]), wire::frame(FINAL | CONTINUATION, &[2; 5])].concat();
    let huge = [0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    let too_long = |found| Some(ProtocolError::MessageTooLong { found, allowed: 10 });

    let (events, error) = read_all(&mut Assembler::new(10), &just);
    assert_eq!((events.len(), error), (2, None));
    let header_only = &over[..over.len() - 5];
    assert_eq!(read_all(&mut Assembler::new(10), header_only).1, too_long(11));
    assert_eq!(read_all(&mut Assembler::new(10), &huge).1, too_long(u64::MAX >> 1));
}

#[test]
fn the_number_of_fragments_is_limited() {
    let just =
        [wire::frame(BINARY, b""), wire::frame(CONTINUATION, b"").repeat(FRAGMENTS_MAX_FLOOR - 1)]
            .concat();
    let over = [just.clone(), wire::frame(CONTINUATION, b"")].concat();

    assert_eq!(read_all(&mut Assembler::new(10), &just).1, None);
    assert_eq!(
        read_all(&mut Assembler::new(10), &over).1,
        Some(ProtocolError::TooManyFragments { allowed: FRAGMENTS_MAX_FLOOR })
    );
}

/// The documents that come out of messages given at these times, in words.
fn join(messages: &[(i64, &str)]) -> (Vec<String>, Joined, Option<ProtocolError>) {
    let mut joiner = Joiner::new(60);
    let mut joined = Joined::default();
    let mut seen = Vec::new();
    for (now_ns, message) in messages {
        let result = joiner.push(message.as_bytes(), *now_ns, &mut joined, &mut |document| {
            seen.push(match document {
                Document::Json(text) => format!("json {}", String::from_utf8_lossy(text)),
                Document::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
            });
        });
        if let Err(error) = result {
            return (seen, joined, Some(error));
        }
    }
    (seen, joined, None)
}

fn counts(split_documents: u64, partials_dropped: u64) -> Joined {
    Joined { split_documents, partials_dropped }
}

#[test]
fn a_document_in_pieces_comes_out_once_and_whole() {
    let found = join(&[(0, r#" {"topic":"#), (1, ""), (2, r#""sor","a":"}"#), (3, "\"}\n")]);

    let expected = vec![r#"json {"topic":"sor","a":"}"}"#.to_owned()];
    assert_eq!(found, (expected, counts(1, 0), None));
}

#[test]
fn what_is_not_json_comes_out_as_it_is() {
    let found = join(&[(0, "ech+hb"), (1, ""), (2, "  "), (3, "{oops"), (4, "{}{} tail")]);

    let expected =
        ["text ech+hb", "text ", "text   ", "text {oops", "json {}", "json {}", "text tail"];
    assert_eq!(found, (expected.map(str::to_owned).to_vec(), counts(0, 0), None));
}

#[test]
fn a_document_that_is_never_finished_gives_way_to_the_next_message() {
    let cases = [r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":"te"#, r#"{"a":1,"#];

    for begun in cases {
        let found = join(&[(0, begun), (1, r#"{"b":1}"#), (2, r#"{"c":2}"#)]);

        let expected = [r#"json {"b":1}"#, r#"json {"c":2}"#].map(str::to_owned).to_vec();
        assert_eq!(found, (expected, counts(0, 1), None), "{begun}");
    }
}

#[test]
fn messages_taken_for_pieces_are_given_back_when_the_truth_comes_out() {
    let found = join(&[(0, r#"{"args":["#), (1, r#"{"b":1}"#), (2, r#"{"c":2}"#)]);

    let expected = [r#"json {"b":1}"#, r#"json {"c":2}"#].map(str::to_owned).to_vec();
    assert_eq!(found, (expected, counts(0, 1), None));
}

#[test]
fn what_is_given_back_comes_in_the_order_it_was_sent() {
    let found =
        join(&[(0, r#"{"a":["#), (1, "{"), (2, r#""b":2"#), (3, "},"), (4, "{}"), (5, "{}")]);

    // Without the first piece the next three are a document with a comma after it.
    let expected = [r#"json {"b":2}"#, "text ,", "json {}", "json {}"].map(str::to_owned).to_vec();
    assert_eq!(found, (expected, counts(1, 1), None));
}

#[test]
fn a_piece_that_comes_too_late_is_not_a_piece() {
    let in_time = join(&[(7, "["), (7 + PARTIAL_AGE_NS_MAX, "[]]")]);
    let too_late = join(&[(7, "["), (8 + PARTIAL_AGE_NS_MAX, "[]")]);

    assert_eq!(in_time, (vec!["json [[]]".to_owned()], counts(1, 0), None));
    assert_eq!(too_late, (vec!["json []".to_owned()], counts(0, 1), None));
}

#[test]
fn what_follows_the_last_piece_begins_anew() {
    let found = join(&[(0, "["), (1, "]{\"a\""), (2, ":1}")]);

    let expected = ["json []", r#"json {"a":1}"#].map(str::to_owned).to_vec();
    assert_eq!(found, (expected, counts(2, 0), None));
}

#[test]
fn the_size_of_a_split_document_is_limited() {
    let piece = " ".repeat(30);
    let just = join(&[(0, "["), (1, &piece), (2, &piece[..28]), (3, "]")]);
    let over = join(&[(0, "["), (1, &piece), (2, &piece)]);

    assert_eq!((just.0.len(), just.1, just.2), (1, counts(1, 0), None));
    assert_eq!(over.2, Some(ProtocolError::DocumentTooLong { found: 61, allowed: 60 }));
}

#[test]
fn the_number_of_pieces_is_limited() {
    let mut pieces = vec![(0, "[")];
    pieces.extend(vec![(1, ""); PIECES_MAX]);

    assert_eq!(join(&pieces[..PIECES_MAX]).2, None);
    assert_eq!(join(&pieces).2, Some(ProtocolError::TooManyPieces { allowed: PIECES_MAX }));
}
