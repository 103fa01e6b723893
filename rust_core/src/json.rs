//! An incremental JSON checker, and the members of a checked document.
//!
//! Only objects and arrays count as documents here: everything the gateway
//! sends as JSON is one of the two. The checker keeps its place between calls,
//! so a document that arrives in pieces is looked at once, however many they are.

use std::borrow::Cow;

/// Objects and arrays inside each other; deeper is not accepted as JSON.
pub const DEPTH_MAX: usize = 128;

/// Where a document stands after another piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The document ended after this many bytes of the piece.
    Whole(usize),
    /// The document goes on after the piece.
    Partial,
    /// No continuation can make this JSON.
    Invalid,
}

#[derive(Clone, Copy)]
enum State {
    Start,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    AfterValue,
    Text,
    Escape,
    Hex(u8),
    Number(NumberState),
    Literal(&'static [u8]),
}

#[derive(Clone, Copy)]
enum NumberState {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl NumberState {
    fn first(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Integer),
            _ => None,
        }
    }

    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

/// Whether the bytes are one JSON number.
#[must_use]
pub fn is_number(bytes: &[u8]) -> bool {
    let Some((&first, rest)) = bytes.split_first() else {
        return false;
    };
    NumberState::first(first)
        .and_then(|state| rest.iter().try_fold(state, |state, &byte| state.next(byte)))
        .is_some_and(NumberState::is_whole)
}

enum Step {
    Taken,
    Again,
    Done,
    Invalid,
}

/// Checks one document, piece by piece.
pub struct Scanner {
    state: State,
    in_key: bool,
    /// One entry per open object (true) or array (false).
    open: Vec<bool>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Start, in_key: false, open: Vec::new() }
    }
}

impl Scanner {
    /// Goes on with the next piece; the first may begin with white space.
    ///
    /// After [`Scan::Whole`] or [`Scan::Invalid`], start anew.
    pub fn scan(&mut self, piece: &[u8]) -> Scan {
        let mut rest = piece;
        while let Some((&byte, tail)) = rest.split_first() {
            match self.step(byte) {
                Step::Taken => rest = tail,
                Step::Again => {}
                Step::Done => return Scan::Whole(piece.len().saturating_sub(tail.len())),
                Step::Invalid => return Scan::Invalid,
            }
            if matches!(self.state, State::Text) {
                let plain = rest.iter().take_while(|&&byte| is_plain(byte)).count();
                rest = rest.get(plain..).unwrap_or_default();
            }
        }
        Scan::Partial
    }

    fn step(&mut self, byte: u8) -> Step {
        match self.state {
            State::Text | State::Escape | State::Hex(_) => self.step_text(byte),
            State::Number(state) => self.step_number(state, byte),
            State::Literal(left) => self.step_literal(left, byte),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => Step::Taken,
            State::Start => match byte {
                b'{' | b'[' => self.begin_value(byte),
                _ => Step::Invalid,
            },
            State::ValueOrEnd if byte == b']' => self.close(),
            State::Value | State::ValueOrEnd => self.begin_value(byte),
            State::KeyOrEnd if byte == b'}' => self.close(),
            State::Key | State::KeyOrEnd => match byte {
                b'"' => self.begin_text(true),
                _ => Step::Invalid,
            },
            State::Colon => match byte {
                b':' => self.enter(State::Value),
                _ => Step::Invalid,
            },
            State::AfterValue => match (self.open.last(), byte) {
                (Some(true), b',') => self.enter(State::Key),
                (Some(false), b',') => self.enter(State::Value),
                (Some(true), b'}') | (Some(false), b']') => self.close(),
                _ => Step::Invalid,
            },
        }
    }

    fn begin_value(&mut self, byte: u8) -> Step {
        match byte {
            b'"' => self.begin_text(false),
            b'{' => self.open(true),
            b'[' => self.open(false),
            b't' => self.enter(State::Literal(b"rue")),
            b'f' => self.enter(State::Literal(b"alse")),
            b'n' => self.enter(State::Literal(b"ull")),
            _ => match NumberState::first(byte) {
                Some(state) => self.enter(State::Number(state)),
                None => Step::Invalid,
            },
        }
    }

    fn begin_text(&mut self, in_key: bool) -> Step {
        self.in_key = in_key;
        self.enter(State::Text)
    }

    fn step_text(&mut self, byte: u8) -> Step {
        match (self.state, byte) {
            (State::Text, b'"') if self.in_key => self.enter(State::Colon),
            (State::Text, b'"') => self.enter(State::AfterValue),
            (State::Text, b'\\') => self.enter(State::Escape),
            (State::Text, 0x20..)
            | (State::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.enter(State::Text)
            }
            (State::Escape, b'u') => self.enter(State::Hex(4)),
            (State::Hex(1), _) if byte.is_ascii_hexdigit() => self.enter(State::Text),
            (State::Hex(left), _) if byte.is_ascii_hexdigit() => {
                self.enter(State::Hex(left.saturating_sub(1)))
            }
            _ => Step::Invalid,
        }
    }

    fn step_number(&mut self, state: NumberState, byte: u8) -> Step {
        match state.next(byte) {
            Some(next) => self.enter(State::Number(next)),
            None if state.is_whole() => {
                self.state = State::AfterValue;
                Step::Again
            }
            None => Step::Invalid,
        }
    }

    fn step_literal(&mut self, left: &'static [u8], byte: u8) -> Step {
        match left.split_first() {
            Some((&expected, [])) if expected == byte => self.enter(State::AfterValue),
            Some((&expected, left)) if expected == byte => self.enter(State::Literal(left)),
            _ => Step::Invalid,
        }
    }

    fn enter(&mut self, state: State) -> Step {
        self.state = state;
        Step::Taken
    }

    fn open(&mut self, is_object: bool) -> Step {
        if self.open.len() >= DEPTH_MAX {
            return Step::Invalid;
        }
        self.open.push(is_object);
        self.enter(if is_object { State::KeyOrEnd } else { State::ValueOrEnd })
    }

    fn close(&mut self) -> Step {
        self.open.pop();
        if self.open.is_empty() {
            return Step::Done;
        }
        self.enter(State::AfterValue)
    }
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// A value of an object, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string, unescaped.
    Text(Cow<'a, [u8]>),
    /// A number, as written.
    Number(&'a [u8]),
    /// `null`.
    Null,
    /// `true`, `false`, an object or an array.
    Other,
}

/// The top-level members of a document, keys unescaped, in order; none in an array.
///
/// The document must be one that [`Scanner`] called whole.
#[must_use]
pub fn members(document: &[u8]) -> Members<'_> {
    Members { rest: document.trim_ascii_start().strip_prefix(b"{").unwrap_or_default() }
}

/// An iterator over the members of an object.
pub struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, [u8]>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = split_text(skip(self.rest, b',').strip_prefix(b"\"")?)?;
        let rest = skip(rest, b':');
        let (value, rest) = split_value(rest)?;
        self.rest = rest;
        Some((unescape(key), value))
    }
}

/// What follows white space and at most one `mark`.
fn skip(bytes: &[u8], mark: u8) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    bytes.strip_prefix(&[mark]).unwrap_or(bytes).trim_ascii_start()
}

fn split_value(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    match bytes.first()? {
        b'"' => {
            let (text, rest) = split_text(bytes.get(1..)?)?;
            Some((Value::Text(unescape(text)), rest))
        }
        b'{' | b'[' => {
            let mut scanner = Scanner::default();
            match scanner.scan(bytes) {
                Scan::Whole(end) => Some((Value::Other, bytes.get(end..)?)),
                Scan::Partial | Scan::Invalid => None,
            }
        }
        _ => {
            let end = bytes
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
                .unwrap_or(bytes.len());
            let (word, rest) = bytes.split_at_checked(end)?;
            let value = match word {
                b"null" => Value::Null,
                b"true" | b"false" => Value::Other,
                _ => Value::Number(word),
            };
            Some((value, rest))
        }
    }
}

/// Splits after the closing quote; the text comes back without it.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    let end = bytes.iter().position(|&byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.get(1..)?))
}

/// The text that a JSON string stands for; half a surrogate pair becomes U+FFFD.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        let Some((&kind, tail)) = rest.split_first() else { break };
        rest = tail;
        match kind {
            b'b' => text.push(0x08),
            b'f' => text.push(0x0c),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let (character, tail) = split_unicode(rest);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
            }
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

/// Reads the four digits after `\u`, and the second half of a pair if one follows.
fn split_unicode(bytes: &[u8]) -> (char, &[u8]) {
    let Some((first, rest)) = split_hex(bytes) else {
        return (char::REPLACEMENT_CHARACTER, &[]);
    };
    if let Some(character) = char::from_u32(first) {
        return (character, rest);
    }
    let second = rest.strip_prefix(b"\\u").and_then(split_hex);
    match second {
        Some((second @ 0xdc00..=0xdfff, after)) if first < 0xdc00 => {
            let offset = ((first & 0x3ff) << 10) | (second & 0x3ff);
            let character = offset.checked_add(0x1_0000).and_then(char::from_u32);
            (character.unwrap_or(char::REPLACEMENT_CHARACTER), after)
        }
        _ => (char::REPLACEMENT_CHARACTER, rest),
    }
}

fn split_hex(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let code = digits.iter().try_fold(0u32, |code, &digit| {
        char::from(digit).to_digit(16).map(|value| (code << 4) | value)
    })?;
    Some((code, rest))
}
