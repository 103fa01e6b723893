//! Number texts into integers of a fixed scale, exactly or not at all.
//!
//! The broker writes numbers for people: `"1,300"`, `"5.66M"`. A text that is
//! not a number, has more decimals than the scale, or does not fit into 64 bits
//! has no value; it is never rounded and never cut.

/// Prices and sizes are integers in units of 10 to the minus this.
pub const SCALE_DIGITS: i64 = 8;
/// Units of 10⁻⁸ in one.
pub const SCALE: i64 = 100_000_000;

/// Bytes of a number text; a longer one is no number of this broker.
const TEXT_BYTES_MAX: usize = 64;

/// What a number may look like, and what one unit of it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `189.60`, `-1,300.5`, `1.2E3`; in units of 10⁻⁸.
    Price,
    /// As a price, never negative, and `5.66M`, `812K`, `1.2B` as well.
    Quantity,
    /// A whole number without separators, in units of one.
    Integer,
}

/// Reads a number; `None` when the text has no exact value in this format.
#[must_use]
pub fn parse(text: &[u8], format: Format) -> Option<i64> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (is_negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let (text, power) = split_power(text, format)?;
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (text.get(..point)?, text.get(point.saturating_add(1)..)?),
        None if text.is_empty() => return None,
        None => (text, &b"0"[..]),
    };
    if fraction.is_empty() {
        return None;
    }
    let mut digits = Digits::default();
    push_whole(&mut digits, whole, format)?;
    for &digit in fraction {
        digits.push(digit)?;
    }
    let scale = if format == Format::Integer { 0 } else { SCALE_DIGITS };
    let places = i64::try_from(fraction.len()).ok()?;
    let value = digits.scaled(power.checked_add(scale)?.checked_sub(places)?)?;
    let value = if is_negative { value.checked_neg()? } else { value };
    let value = i64::try_from(value).ok()?;
    (format != Format::Quantity || value >= 0).then_some(value)
}

/// Splits off the power of ten that a suffix or an exponent stands for.
fn split_power(text: &[u8], format: Format) -> Option<(&[u8], i64)> {
    if let Some(mark) = text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        let (mantissa, exponent) = text.split_at_checked(mark)?;
        if mantissa.contains(&b',') {
            return None;
        }
        let exponent = std::str::from_utf8(exponent.get(1..)?).ok()?;
        return Some((mantissa, i64::from(exponent.parse::<i32>().ok()?)));
    }
    let power = match text.last()? {
        b'K' => 3,
        b'M' => 6,
        b'B' => 9,
        _ => return Some((text, 0)),
    };
    match (format, text.split_last()) {
        (Format::Quantity, Some((_, mantissa))) => Some((mantissa, power)),
        _ => None,
    }
}

/// Reads the digits before the point; commas must part them into threes.
///
/// `1,5` may be a decimal comma, so it is refused rather than read as 15.
fn push_whole(digits: &mut Digits, whole: &[u8], format: Format) -> Option<()> {
    if !whole.contains(&b',') {
        return whole.iter().try_for_each(|&digit| digits.push(digit));
    }
    if format == Format::Integer {
        return None;
    }
    for (index, group) in whole.split(|&byte| byte == b',').enumerate() {
        let is_right = match (index, group) {
            (0, [b'0', ..]) => false,
            (0, _) => (1..=3).contains(&group.len()),
            _ => group.len() == 3,
        };
        if !is_right {
            return None;
        }
        group.iter().try_for_each(|&digit| digits.push(digit))?;
    }
    Some(())
}

/// Significant digits, and the zeros after the last one that is not zero.
///
/// What fits into 64 bits at the end has at most 19 significant digits, so a
/// `u64` that overflows here could not have become a value.
#[derive(Default)]
struct Digits {
    significant: u64,
    zeros: u32,
}

impl Digits {
    fn push(&mut self, digit: u8) -> Option<()> {
        if !digit.is_ascii_digit() {
            return None;
        }
        if digit == b'0' {
            self.zeros = self.zeros.checked_add(1)?;
            return Some(());
        }
        if self.significant != 0 {
            let power = 10u64.checked_pow(self.zeros.checked_add(1)?)?;
            self.significant = self.significant.checked_mul(power)?;
        }
        self.significant = self.significant.checked_add(u64::from(digit & 0x0f))?;
        self.zeros = 0;
        Some(())
    }

    /// All digits read, times ten to this power.
    fn scaled(&self, power: i64) -> Option<i128> {
        if self.significant == 0 {
            return Some(0);
        }
        let power = power.checked_add(i64::from(self.zeros))?;
        let factor = 10i128.checked_pow(u32::try_from(power).ok()?)?;
        i128::from(self.significant).checked_mul(factor)
    }
}
