//! Frames into messages, and messages into whole JSON documents.
//!
//! Rule 1: a limit is checked against the header, before a byte is kept.
//!
//! Rule 2: the gateway may split one JSON document over several *final*
//! messages, so a message that only begins a document waits for the next ones.
//! A document that never ends is noticed when the next message cannot continue
//! it, or comes more than [`PARTIAL_AGE_NS_MAX`] after the last piece. Then only
//! the first piece is given up, and counted; the later ones are read anew,
//! because each of them may be a whole message of its own.

use std::collections::VecDeque;
use std::mem;

use crate::error::ProtocolError;
use crate::frame::{self, Header, Opcode};
use crate::json::{Scan, Scanner};

/// A document whose next piece takes longer than this is given up.
pub const PARTIAL_AGE_NS_MAX: i64 = 5_000_000_000;
/// Messages that one document may be split over.
///
/// The gateway forwards fragments of up to 64 KiB, so a document of 1 MiB has
/// 16; the bound keeps the work of reading given-up pieces anew small.
pub const PIECES_MAX: usize = 256;
/// Fragments that any message may have, however short the longest message is.
pub const FRAGMENTS_MAX_FLOOR: usize = 1_024;
/// Bytes of a message that entitle it to one more fragment.
const BYTES_PER_FRAGMENT: usize = 64;

/// Whether a message was sent as text or as binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; its payload is UTF-8.
    Text,
    /// Binary.
    Binary,
}

/// What one whole frame meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A fragment, kept until the last one of its message.
    Fragment,
    /// A whole message.
    Message(Kind, &'a [u8]),
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The peer closes: code and reason.
    Close(u16, &'a str),
}

/// Puts the fragments of messages together.
pub struct Assembler {
    message_bytes_max: usize,
    fragments_max: usize,
    /// The kind of the message whose fragments are being kept.
    open: Option<Kind>,
    kept: Vec<u8>,
    fragments: usize,
    utf8: Utf8Checker,
    /// Payload bytes of a frame still arriving that are known to be UTF-8.
    checked_bytes: usize,
}

impl Assembler {
    /// An assembler that takes messages of up to this many bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        let fragments_max = message_bytes_max.checked_div(BYTES_PER_FRAGMENT).unwrap_or(0);
        Self {
            message_bytes_max,
            fragments_max: fragments_max.max(FRAGMENTS_MAX_FLOOR),
            open: None,
            kept: Vec::new(),
            fragments: 0,
            utf8: Utf8Checker::default(),
            checked_bytes: 0,
        }
    }

    /// Reads the first frame of `buf` and returns its meaning and its length.
    ///
    /// Returns `None` when `buf` ends before the frame does: call again with
    /// the same bytes and more.
    ///
    /// # Errors
    ///
    /// Returns [`ProtocolError`] when the peer breaks RFC 6455 or a limit, in a
    /// text as soon as a byte cannot be UTF-8; close the connection.
    pub fn read<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> Result<Option<(Event<'a>, usize)>, ProtocolError> {
        if self.open.is_none() {
            self.kept.clear();
        }
        let Some(header) = frame::read_header(buf)? else {
            return Ok(None);
        };
        let payload_bytes = self.checked_length(&header)?;
        let body = buf.get(header.header_bytes..).unwrap_or_default();
        let frame_bytes = header.header_bytes.saturating_add(payload_bytes);
        let kind = match header.opcode {
            Opcode::Text => Kind::Text,
            Opcode::Binary => Kind::Binary,
            _ => self.open.unwrap_or(Kind::Binary),
        };
        let Some(payload) = body.get(..payload_bytes) else {
            if !header.opcode.is_control() {
                self.check_text(kind, body)?;
            }
            return Ok(None);
        };
        let event = match header.opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong,
            Opcode::Close => {
                let (code, reason) = frame::read_close(payload)?;
                Event::Close(code, reason)
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                self.take(kind, header.is_final, payload)?
            }
        };
        Ok(Some((event, frame_bytes)))
    }

    /// The length of the payload, if the frame may come now and fits.
    fn checked_length(&self, header: &Header) -> Result<usize, ProtocolError> {
        let allowed = u64::try_from(self.message_bytes_max).unwrap_or(u64::MAX);
        let kept = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        let found = header.payload_bytes.saturating_add(kept);
        match (header.opcode, self.open) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ProtocolError::MessageInterrupted);
            }
            (opcode, _) if !opcode.is_control() => {
                if found > allowed {
                    return Err(ProtocolError::MessageTooLong { found, allowed });
                }
                if self.fragments >= self.fragments_max {
                    return Err(ProtocolError::TooManyFragments { allowed: self.fragments_max });
                }
            }
            _ => {}
        }
        usize::try_from(header.payload_bytes)
            .map_err(|_| ProtocolError::MessageTooLong { found, allowed })
    }

    fn take<'a>(
        &'a mut self,
        kind: Kind,
        is_final: bool,
        payload: &'a [u8],
    ) -> Result<Event<'a>, ProtocolError> {
        self.check_text(kind, payload)?;
        self.checked_bytes = 0;
        let was_open = self.open.is_some();
        if !is_final {
            self.open = Some(kind);
            self.fragments = self.fragments.saturating_add(1);
            self.kept.extend_from_slice(payload);
            return Ok(Event::Fragment);
        }
        self.open = None;
        self.fragments = 0;
        if kind == Kind::Text {
            self.utf8.finish()?;
        }
        if !was_open {
            return Ok(Event::Message(kind, payload));
        }
        self.kept.extend_from_slice(payload);
        Ok(Event::Message(kind, &self.kept))
    }

    /// Checks what of a frame's payload came since the last look at it.
    fn check_text(&mut self, kind: Kind, payload: &[u8]) -> Result<(), ProtocolError> {
        if kind == Kind::Text {
            self.utf8.push(payload.get(self.checked_bytes..).unwrap_or_default())?;
            self.checked_bytes = payload.len();
        }
        Ok(())
    }
}

/// Checks UTF-8 that comes in pieces, cut anywhere.
#[derive(Default)]
struct Utf8Checker {
    /// The first bytes of a character that the last piece cut.
    cut: Vec<u8>,
}

impl Utf8Checker {
    fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        let mut rest = piece;
        while let (false, Some((&byte, tail))) = (self.cut.is_empty(), rest.split_first()) {
            self.cut.push(byte);
            rest = tail;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(ProtocolError::InvalidUtf8),
            }
        }
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                self.cut.extend(rest.get(error.valid_up_to()..).unwrap_or_default());
                Ok(())
            }
            Err(_) => Err(ProtocolError::InvalidUtf8),
        }
    }

    fn finish(&self) -> Result<(), ProtocolError> {
        if self.cut.is_empty() { Ok(()) } else { Err(ProtocolError::InvalidUtf8) }
    }
}

/// A piece of news that came out of one or more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document<'a> {
    /// One whole JSON object or array; its strings may hold bytes that are not UTF-8.
    Json(&'a [u8]),
    /// A message that is not JSON.
    Text(&'a [u8]),
}

/// What [`Joiner::push`] counted beside the documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Documents that came in more than one piece.
    pub split_documents: u64,
    /// First pieces of documents that never ended, given up.
    pub partials_dropped: u64,
}

/// Puts the pieces of JSON documents together.
pub struct Joiner {
    message_bytes_max: usize,
    scanner: Scanner,
    partial: Vec<u8>,
    piece_ends: Vec<usize>,
    piece_ns: i64,
}

impl Joiner {
    /// A joiner that takes documents of up to this many bytes, all pieces together.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            scanner: Scanner::default(),
            partial: Vec::new(),
            piece_ends: Vec::new(),
            piece_ns: 0,
        }
    }

    /// Whether the next message may be the rest of a document.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.piece_ends.is_empty()
    }

    /// Takes a message and hands every document that is now whole to `sink`.
    ///
    /// The counts are added to `joined`, also before an error.
    ///
    /// # Errors
    ///
    /// Returns [`ProtocolError`] when a split document exceeds a limit.
    pub fn push(
        &mut self,
        message: &[u8],
        now_ns: i64,
        joined: &mut Joined,
        sink: &mut impl FnMut(Document<'_>),
    ) -> Result<(), ProtocolError> {
        if !self.is_waiting() {
            self.begin(message, now_ns, sink);
            return Ok(());
        }
        let age_ns = now_ns.saturating_sub(self.piece_ns);
        if age_ns <= PARTIAL_AGE_NS_MAX && self.extend(message, now_ns, joined, sink)? {
            return Ok(());
        }
        let mut queue = VecDeque::new();
        self.give_up(message.to_vec(), &mut queue, joined);
        while let Some(piece) = queue.pop_front() {
            if !self.is_waiting() {
                self.begin(&piece, now_ns, sink);
            } else if !self.extend(&piece, now_ns, joined, sink)? {
                self.give_up(piece, &mut queue, joined);
            }
        }
        Ok(())
    }

    /// Reads a message that nothing came before.
    fn begin(&mut self, message: &[u8], now_ns: i64, sink: &mut impl FnMut(Document<'_>)) {
        let mut rest = message;
        loop {
            let mut scanner = Scanner::default();
            match scanner.scan(rest) {
                Scan::Whole(end) => {
                    let (document, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                    sink(Document::Json(document.trim_ascii_start()));
                    rest = tail.trim_ascii_start();
                    if rest.is_empty() {
                        return;
                    }
                }
                Scan::Partial if !rest.trim_ascii_start().is_empty() => {
                    self.partial.extend_from_slice(rest);
                    self.piece_ends.push(rest.len());
                    self.piece_ns = now_ns;
                    self.scanner = scanner;
                    return;
                }
                Scan::Partial | Scan::Invalid => return sink(Document::Text(rest)),
            }
        }
    }

    /// Adds a piece; false, with nothing changed but the scanner, when it does not fit.
    fn extend(
        &mut self,
        piece: &[u8],
        now_ns: i64,
        joined: &mut Joined,
        sink: &mut impl FnMut(Document<'_>),
    ) -> Result<bool, ProtocolError> {
        let found = self.partial.len().saturating_add(piece.len());
        match self.scanner.scan(piece) {
            Scan::Invalid => return Ok(false),
            _ if found > self.message_bytes_max => {
                let allowed = self.message_bytes_max;
                return Err(ProtocolError::DocumentTooLong { found, allowed });
            }
            Scan::Partial if self.piece_ends.len() >= PIECES_MAX => {
                return Err(ProtocolError::TooManyPieces { allowed: PIECES_MAX });
            }
            Scan::Partial => {
                self.partial.extend_from_slice(piece);
                self.piece_ends.push(self.partial.len());
                self.piece_ns = now_ns;
            }
            Scan::Whole(end) => {
                let (last, rest) = piece.split_at_checked(end).unwrap_or((piece, &[]));
                self.partial.extend_from_slice(last);
                sink(Document::Json(self.partial.trim_ascii_start()));
                joined.split_documents = joined.split_documents.saturating_add(1);
                self.partial.clear();
                self.piece_ends.clear();
                let rest = rest.trim_ascii_start();
                if !rest.is_empty() {
                    self.begin(rest, now_ns, sink);
                }
            }
        }
        Ok(true)
    }

    /// Drops the first piece and queues the others, and `last`, to be read anew.
    fn give_up(&mut self, last: Vec<u8>, queue: &mut VecDeque<Vec<u8>>, joined: &mut Joined) {
        joined.partials_dropped = joined.partials_dropped.saturating_add(1);
        let partial = mem::take(&mut self.partial);
        let starts = self.piece_ends.iter().copied();
        let ends = self.piece_ends.iter().skip(1).copied();
        let later = starts.zip(ends).filter_map(|(start, end)| partial.get(start..end));
        let pieces: Vec<Vec<u8>> = later.map(<[u8]>::to_vec).collect();
        self.piece_ends.clear();
        queue.push_front(last);
        for piece in pieces.into_iter().rev() {
            queue.push_front(piece);
        }
    }
}
