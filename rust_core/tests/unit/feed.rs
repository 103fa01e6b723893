use std::convert::Infallible;

use proptest::prelude::*;
use rust_core::bar::Bar;
use rust_core::error::{ArgumentError, ProtocolError};
use rust_core::feed::{Batch, Counters, Feed, PINGS_PER_SECOND_MAX, Reply};
use rust_core::frame::Opcode;

use crate::wire::{self, BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, TEXT};

const NOW_NS: i64 = 1_712_596_912_000_000_000;
const TICK: &[u8] =
    br#"{"conid":8314,"_updated":1712596911593,"31":"189.60","7059":"100","topic":"smd+8314"}"#;

fn feed() -> Feed {
    let mut feed = Feed::new(1_000).unwrap();
    feed.track(8314, &[1_000]).unwrap();
    feed
}

fn message(topic: &str, payload: &[u8]) -> (String, Vec<u8>) {
    (topic.to_owned(), payload.to_vec())
}

#[test]
fn a_tick_becomes_a_quote_and_a_bar_and_no_message() {
    let mut feed = feed();
    let bytes = wire::binary(TICK);

    let batch = feed.feed(&bytes, NOW_NS).unwrap();
    let later = feed.advance(NOW_NS);

    let counters = Counters {
        bytes: u64::try_from(bytes.len()).unwrap(),
        frames: 1,
        messages: 1,
        ticks: 1,
        ..Counters::default()
    };
    assert_eq!(batch, Batch { counters, ..Batch::default() });
    assert_eq!(feed.quote(8314).unwrap().last, Some(18_960_000_000));
    let price = 18_960_000_000;
    let bar = Bar {
        conid: 8314,
        interval_ms: 1_000,
        start_ms: 1_712_596_911_000,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: 10_000_000_000,
        vwap: price,
        trades: 1,
    };
    let counters = Counters { bars: 1, ..Counters::default() };
    assert_eq!(later, Batch { bars: vec![bar], counters, ..Batch::default() });
}

#[test]
fn documents_that_are_not_ticks_come_out_by_topic() {
    let error: &[u8] = br#"{"error":"No accounts","code":500,"topic":"smd"}"#;
    let error_of_one: &[u8] = br#"{"error":"x","topic":"smd+8314"}"#;
    let cases: [(&[u8], &str); 8] = [
        (br#"{"topic":"sor","args":[{"orderId":1}]}"#, "sor"),
        (br#"{"topic":"system","hb":1712596911593}"#, "system"),
        (br#"{"topic":"ssd+DU\u0031","result":[]}"#, "ssd+DU1"),
        (error, "smd"),
        (error_of_one, "smd+8314"),
        (br#"{"message":"waiting for session"}"#, ""),
        (br#"{"topic":5,"a":[]}"#, ""),
        (b"ech+hb", "text"),
    ];
    let bytes: Vec<u8> = cases.iter().flat_map(|(payload, _)| wire::binary(payload)).collect();

    let batch = feed().feed(&bytes, NOW_NS).unwrap();

    let expected: Vec<_> = cases.iter().map(|(payload, topic)| message(topic, payload)).collect();
    assert_eq!(batch.messages, expected);
    assert_eq!((batch.counters.messages, batch.counters.ticks), (8, 0));
}

#[test]
fn json_that_is_not_utf8_is_not_json() {
    let payload = b"{\"topic\":\"sor\",\"a\":\"\xff\"}";

    let batch = feed().feed(&wire::binary(payload), NOW_NS).unwrap();

    assert_eq!(batch.messages, [message("text", payload)]);
}

#[test]
fn market_data_of_no_contract_is_ignored_and_counted() {
    let bytes = [
        wire::binary(br#"{"topic":"smd+265598"}"#),
        wire::binary(br#"{"conid":"x","topic":"smd+265598"}"#),
        wire::binary(br#"{"conid":[1],"topic":"smd+265598"}"#),
    ]
    .concat();

    let batch = feed().feed(&bytes, NOW_NS).unwrap();

    let counters = batch.counters;
    assert_eq!((counters.ignored, counters.bad_fields, counters.ticks), (3, 2, 0));
    assert_eq!(batch.messages, []);
}

#[test]
fn one_document_in_several_final_messages_is_read_as_one() {
    let (first, rest) = TICK.split_at(40);
    let (second, third) = rest.split_at(20);
    let bytes =
        [wire::binary(first), wire::binary(second), wire::frame(FINAL | TEXT, third)].concat();
    let mut feed = feed();

    let batch = feed.feed(&bytes, NOW_NS).unwrap();

    assert_eq!((batch.counters.ticks, batch.counters.split_messages), (1, 1));
    assert_eq!(feed.quote(8314).unwrap().last, Some(18_960_000_000));
}

#[test]
fn a_piece_that_looks_like_a_tick_is_a_piece() {
    let bytes = [wire::binary(b"["), wire::binary(TICK), wire::binary(b"]")].concat();

    let batch = feed().feed(&bytes, NOW_NS).unwrap();

    let whole = [b"[".as_slice(), TICK, b"]"].concat();
    assert_eq!(batch.messages, [message("", &whole)]);
    assert_eq!((batch.counters.ticks, batch.counters.split_messages), (0, 1));
}

#[test]
fn values_that_cannot_be_read_or_summed_are_counted() {
    let huge = "92233720368";
    let trade = format!(
        r#"{{"conid":8314,"31":"1","7059":"{huge}","84":"1,5","86":"x","topic":"smd+8314"}}"#
    );
    let mut feed = feed();

    let first = feed.feed(&wire::binary(trade.as_bytes()), NOW_NS).unwrap();
    let second = feed.feed(&wire::binary(trade.as_bytes()), NOW_NS).unwrap();

    assert_eq!((first.counters.bad_fields, second.counters.bad_fields), (2, 3));
}

#[test]
fn late_updates_are_counted_once_and_merged_nowhere() {
    let mut feed = feed();
    feed.feed(&wire::binary(TICK), NOW_NS).unwrap();
    let old = br#"{"conid":8314,"_updated":1712596910000,"31":"1","topic":"smd+8314"}"#;

    let batch = feed.feed(&wire::binary(old), NOW_NS).unwrap();

    assert_eq!((batch.counters.ticks, batch.counters.late_ticks), (1, 1));
    assert_eq!(feed.quote(8314).unwrap().last, Some(18_960_000_000));
}

#[test]
fn pings_are_answered_in_order_and_pongs_are_not() {
    let bytes = [
        wire::frame(FINAL | PING, b"a"),
        wire::frame(FINAL | PONG, b"b"),
        wire::frame(FINAL | PING, b""),
    ]
    .concat();

    let batch = feed().feed(&bytes, NOW_NS).unwrap();

    assert_eq!(batch.replies, [Reply::Pong(b"a".to_vec()), Reply::Pong(vec![])]);
    let sent = batch.encode_replies(|| Ok::<_, Infallible>([1, 2, 3, 4]));
    assert_eq!(sent, Ok(b"\x8a\x81\x01\x02\x03\x04\x60\x8a\x80\x01\x02\x03\x04".to_vec()));
}

#[test]
fn a_flood_of_pings_ends_the_connection_and_a_trickle_does_not() {
    let ping = wire::frame(FINAL | PING, b"");
    let most = ping.repeat(usize::try_from(PINGS_PER_SECOND_MAX).unwrap());
    let mut feed = feed();

    assert_eq!(feed.feed(&most, NOW_NS).unwrap().error, None);
    assert_eq!(feed.feed(&most, NOW_NS + 1_000_000_000).unwrap().error, None);
    let batch = feed.feed(&ping, NOW_NS + 1_999_999_999).unwrap();
    assert_eq!(batch.error, Some(ProtocolError::PingFlood { allowed: PINGS_PER_SECOND_MAX }));
    assert_eq!(batch.replies, [Reply::Close(1008)]);
    feed.reset();
    assert_eq!(feed.feed(&most, NOW_NS + 1_999_999_999).unwrap().error, None);
}

#[test]
fn a_close_is_echoed_and_ends_the_connection() {
    let bytes =
        [wire::frame(FINAL | CLOSE, b"\x0f\xa0bye"), wire::binary(TICK), vec![0xff; 20]].concat();
    let mut feed = feed();

    let batch = feed.feed(&bytes, NOW_NS).unwrap();
    let after = feed.feed(&wire::binary(TICK), NOW_NS).unwrap();

    assert_eq!(batch.closed, Some((4000, "bye".to_owned())));
    assert_eq!(batch.replies, [Reply::Close(4000)]);
    assert_eq!((batch.error, batch.counters.frames, batch.counters.ticks), (None, 1, 0));
    assert_eq!((after.counters.ticks, after.closed), (0, None));
}

#[test]
fn a_close_without_a_code_is_echoed_without_one() {
    let batch = feed().feed(&wire::frame(FINAL | CLOSE, b""), NOW_NS).unwrap();

    assert_eq!(batch.closed, Some((1005, String::new())));
    assert_eq!(
        batch.encode_replies(|| Ok::<_, Infallible>([0; 4])),
        Ok(b"\x88\x80\0\0\0\0".to_vec())
    );
}

#[test]
fn what_came_before_an_error_is_delivered_with_it() {
    let sor: &[u8] = br#"{"topic":"sor","args":[]}"#;
    let bytes = [wire::binary(sor), wire::binary(TICK), vec![0x83, 0], wire::binary(sor)].concat();
    let mut feed = feed();

    let batch = feed.feed(&bytes, NOW_NS).unwrap();
    let after = feed.feed(b"", NOW_NS);

    let error = ProtocolError::UnknownOpcode(3);
    assert_eq!(batch.messages, [message("sor", sor)]);
    assert_eq!((batch.counters.frames, batch.counters.ticks), (2, 1));
    assert_eq!(batch.replies, [Reply::Close(1002)]);
    assert_eq!((batch.error, after), (Some(error.clone()), Err(error)));
}

#[test]
fn an_error_of_a_split_document_is_an_error_of_the_connection() {
    let filler = wire::binary(&[b' '; 600]);
    let bytes = [wire::binary(b"["), filler.clone(), filler].concat();

    let batch = feed().feed(&bytes, NOW_NS).unwrap();

    assert_eq!(batch.error, Some(ProtocolError::DocumentTooLong { found: 1_201, allowed: 1_000 }));
    assert_eq!(batch.replies, [Reply::Close(1009)]);
}

#[test]
fn a_reset_begins_a_new_connection_with_the_old_quotes() {
    let mut feed = feed();
    feed.feed(&wire::binary(TICK), NOW_NS).unwrap();
    feed.feed(&wire::binary(b"[")[..], NOW_NS).unwrap();
    feed.feed(&[0xff, 0xff], NOW_NS).unwrap();

    feed.reset();
    let batch = feed.feed(&wire::binary(TICK), NOW_NS + 1).unwrap();

    assert_eq!((batch.counters.ticks, batch.counters.split_messages), (1, 0));
    assert_eq!(feed.quote(8314).unwrap().received_ns, NOW_NS + 1);
    assert_eq!(feed.advance(NOW_NS).bars[0].trades, 2);
}

#[test]
fn an_untracked_contract_is_forgotten() {
    let mut feed = feed();
    feed.feed(&wire::binary(TICK), NOW_NS).unwrap();

    feed.untrack(8314);

    assert_eq!(feed.quote(8314), None);
    assert_eq!(feed.advance(NOW_NS), Batch::default());
}

#[test]
fn a_limit_of_nothing_is_refused() {
    assert_eq!(Feed::new(0).err(), Some(ArgumentError::InvalidMessageLimit));
}

#[test]
fn a_mask_key_that_cannot_be_had_is_an_error() {
    let batch = feed().feed(&wire::frame(FINAL | PING, b""), NOW_NS).unwrap();

    assert_eq!(batch.encode_replies(|| Err("no entropy")), Err("no entropy"));
}

/// One or more frames that belong together, mostly right ones.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        Just(TICK.to_vec()),
        Just(br#"{"conid":8314,"84":"1,300","topic":"smd+8314"}"#.to_vec()),
        Just(br#"{"topic":"sor","args":[{"orderId":1,"text":"\u20ac \"{"}]}"#.to_vec()),
        Just(br#"{"topic":"system","hb":1}"#.to_vec()),
        Just(b"ech+hb".to_vec()),
        Just("{\"a\":\"€\"}".as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop_oneof![
        8 => payload.clone().prop_map(|payload| wire::binary(&payload)),
        2 => (payload.clone(), any::<prop::sample::Index>()).prop_map(|(payload, cut)| {
            let (first, rest) = payload.split_at(cut.index(payload.len() + 1));
            [wire::binary(first), wire::binary(rest)].concat()
        }),
        2 => (payload, any::<prop::sample::Index>()).prop_map(|(payload, cut)| {
            let (first, rest) = payload.split_at(cut.index(payload.len() + 1));
            let ping = wire::frame(FINAL | PING, b"?");
            [wire::frame(BINARY, first), ping, wire::frame(FINAL | CONTINUATION, rest)].concat()
        }),
        2 => any::<String>().prop_map(|text| wire::frame(FINAL | TEXT, text.as_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(|payload| {
            wire::frame(FINAL | TEXT, &payload)
        }),
        1 => Just(wire::frame(FINAL | CLOSE, b"\x03\xe8")),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

/// Everything that came out, as if it had been one batch.
fn feed_all(chunks: &[&[u8]]) -> (Batch, Vec<Option<rust_core::book::Quote>>) {
    let mut feed = feed();
    let mut total = Batch::default();
    for chunk in chunks {
        let Ok(batch) = feed.feed(chunk, NOW_NS) else { break };
        total.bars.extend(batch.bars);
        total.messages.extend(batch.messages);
        total.replies.extend(batch.replies);
        total.closed = total.closed.or(batch.closed);
        total.error = total.error.or(batch.error);
        let (sum, new) = (&mut total.counters, batch.counters);
        sum.frames += new.frames;
        sum.messages += new.messages;
        sum.ticks += new.ticks;
        sum.bad_fields += new.bad_fields;
        sum.late_ticks += new.late_ticks;
        sum.ignored += new.ignored;
        sum.split_messages += new.split_messages;
        sum.partials_dropped += new.partials_dropped;
    }
    total.bars.extend(feed.advance(NOW_NS + 1_000_000_000).bars);
    (total, [8314, 1, 2].map(|conid| feed.quote(conid).cloned()).to_vec())
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_changes_nothing(
        stream in prop::collection::vec(frames(), 0..12).prop_map(|frames| frames.concat()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for end in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[start..end]);
            start = end;
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();

        let whole = feed_all(&[&stream]);

        prop_assert_eq!(&feed_all(&pieces), &whole);
        prop_assert_eq!(&feed_all(&bytes), &whole);
    }
}

#[test]
fn replies_are_frames_that_a_server_can_read() {
    let batch = Batch { replies: vec![Reply::Close(1002)], ..Batch::default() };

    let sent = batch.encode_replies(|| Ok::<_, Infallible>([0; 4])).unwrap();

    assert_eq!(sent, b"\x88\x82\0\0\0\0\x03\xea");
    assert!(Opcode::Close.is_control());
}
