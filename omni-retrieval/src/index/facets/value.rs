//! Values of a field, and the moments that dates mean.
//!
//! A date may be given as far as it is known: `2024`, `2024-05`, `2024-05-31`, or with its time to the minute or the second (RFC
//! 3339, with a blank for the `T` and before the offset, too; in UTC without one). It means the whole period, in UTC, from its
//! first second to before the first second after it.

use std::borrow::Cow;
use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// What all values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Compared byte by byte.
    Text,
    /// Compared by size.
    Number,
    /// Compared by time.
    Date,
}

impl Kind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Date => "date",
        }
    }
}

/// One value as a document or a filter gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A text; dates are texts too.
    Text(String),
    /// A number, never NaN.
    Number(f64),
}

impl Scalar {
    /// Reads JSON: a text, a number or a truth value, which is the text `true` or `false`. Whole numbers that a float cannot tell
    /// from their neighbours are names and no measures: texts.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Some(Self::Text(text.clone())),
            serde_json::Value::Bool(truth) => Some(Self::Text(truth.to_string())),
            serde_json::Value::Number(number) if is_beyond_floats(number) => Some(Self::Text(number.to_string())),
            serde_json::Value::Number(number) => number.as_f64().map(Self::Number),
            _ => None,
        }
    }

    /// It as text: numbers as JSON writes them, without a fraction that is zero.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }

    /// What a field is that has no other values.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Number,
            Self::Text(_) if self.period().is_some() => Kind::Date,
            Self::Text(_) => Kind::Text,
        }
    }

    /// Whether a field of this kind can hold it.
    pub fn fits(&self, kind: Kind) -> bool {
        match kind {
            Kind::Text => true,
            Kind::Number => matches!(self, Self::Number(_)),
            Kind::Date => self.period().is_some(),
        }
    }

    /// It as a number, where it is one or spells one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Number(number) => Some(*number),
        }
    }

    /// The seconds of the period that it names, where it is a date.
    pub(super) fn period(&self) -> Option<Range<i64>> {
        match self {
            Self::Text(text) => period(text.trim()),
            // A year is a number in most notations.
            Self::Number(year) if (1000.0..10_000.0).contains(year) && year.fract() == 0.0 => period(&year.to_string()),
            Self::Number(_) => None,
        }
    }
}

/// A text as it is stored: `ü` is one letter or two by the system that a name was written on, and looks the same.
pub(super) fn composed(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// A text as it may stand in an index: as it is given, for files from before texts were composed, and composed.
pub(super) fn spellings(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let other = Some(composed(text)).filter(|other| matches!(other, Cow::Owned(_)));
    std::iter::once(Cow::Borrowed(text)).chain(other)
}

fn is_beyond_floats(number: &serde_json::Number) -> bool {
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    number.as_i64().map(i64::unsigned_abs).or(number.as_u64()).is_some_and(|size| size > EXACT)
}

/// A number as bits that sort as it does.
pub(super) fn number_key(number: f64) -> u64 {
    // Minus zero is zero.
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// A moment as bits that sort as it does.
pub(super) fn date_key(seconds: i64) -> u64 {
    seconds.cast_unsigned() ^ 1 << 63
}

fn period(text: &str) -> Option<Range<i64>> {
    if !text.is_ascii() || text.len() < 4 || !text.as_bytes()[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Counted from days: as moments the last ones of the calendar, which mean never, are out of range.
    let seconds = |date: DateTime| date.duration_since(Date::constant(1970, 1, 1).to_datetime(Time::midnight())).as_secs();
    let day = |date: Date| seconds(date.to_datetime(Time::midnight()));
    let behind = |first: Date, span: Span| first.checked_add(span).map_or_else(|_| day(Date::MAX) + 86_400, day);
    let number = |range: Range<usize>| text.get(range)?.parse::<i8>().ok();
    let year = text[..4].parse::<i16>().ok()?;
    let (first, span) = match text.len() {
        4 => (Date::new(year, 1, 1).ok()?, 1.year()),
        7 if text.as_bytes()[4] == b'-' => (Date::new(year, number(5..7)?, 1).ok()?, 1.month()),
        10 if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => {
            (Date::new(year, number(5..7)?, number(8..10)?).ok()?, 1.day())
        }
        _ => {
            // YAML and Jekyll have a blank before the offset.
            let text = text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z");
            let time = text.get(11..)?;
            let (time, offset) = time.split_at(time.find(['+', '-', 'Z', '[']).unwrap_or(time.len()));
            let start = match offset {
                "" | "Z" => seconds(text.trim_end_matches('Z').parse().ok()?),
                _ => text.parse::<Timestamp>().ok()?.as_second(),
            };
            return Some(start..start + if time.split(':').count() == 2 { 60 } else { 1 });
        }
    };
    Some(day(first)..behind(first, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_period_that_it_names() {
        let days = |text: &str| period(text).map(|period| (period.end - period.start) as f64 / 86_400.0);
        assert_eq!(days("2024"), Some(366.0));
        assert_eq!(days("2023-02"), Some(28.0));
        assert_eq!(days("2024-05-31"), Some(1.0));
        assert_eq!(period("1970-01-02"), Some(86_400..172_800));
        assert_eq!(period("1970-01-01T01:00:05+01:00"), Some(5..6));
        for no in [
            "",
            "5",
            "20245",
            "2024-13",
            "2024-02-30",
            "2024/05/31",
            "2024-5-3",
            "v2024",
            "2024-05-31T",
            "2024-05-31T25:00",
            "９９９９",
        ] {
            assert_eq!(period(no), None, "{no}");
        }
        let noon = period("2024-05-31T12:00:00Z").unwrap();
        for second in ["2024-05-31T12:00:00", "2024-05-31 12:00:00", "2024-05-31 06:00:00 -0600", "2024-05-31T14:00:00.5+02:00"] {
            assert_eq!(period(second), Some(noon.clone()), "{second}");
        }
        for minute in ["2024-05-31T12:00", "2024-05-31 12:00", "2024-05-31 14:00 +0200", "2024-05-31T12:00Z"] {
            assert_eq!(period(minute), Some(noon.start..noon.start + 60), "{minute}");
        }
        for zone in ["2024-05-31T12:00[Europe/Berlin]", "2024-05-31T12:00:00 CET"] {
            assert_eq!(period(zone), None, "{zone}: whose offset is not known here");
        }
        assert_eq!(Scalar::Number(2024.0).period(), period("2024"));
        assert!(Scalar::Number(2024.0).fits(Kind::Date) && !Scalar::Number(24.0).fits(Kind::Date));
        for never in ["9999-12-31", "9999-12"] {
            let days_of = if never.len() == 10 { 1.0 } else { 31.0 };
            assert_eq!(days(never), Some(days_of), "{never}");
        }
        assert_eq!(days("9999"), Some(365.0));
        let last = period("9999-12-31").unwrap();
        assert_eq!(period("9999-12-31T23:59:59Z"), Some(last.end - 1..last.end));
        assert_eq!(period("2024-02-29T12:00:00Z").unwrap().start, period("2024-02-29").unwrap().start + 43_200);
    }

    #[test]
    fn numbers_that_a_float_cannot_hold_stay_apart() {
        let read = |json: &str| Scalar::from_json(&serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(read("9007199254740992"), Scalar::Number(9_007_199_254_740_992.0));
        assert_eq!(read("9007199254740993"), Scalar::Text("9007199254740993".to_owned()));
        assert_eq!(read("-9007199254740993"), Scalar::Text("-9007199254740993".to_owned()));
        assert_eq!(read("18446744073709551615"), Scalar::Text(u64::MAX.to_string()));
        assert_eq!(read("1e300"), Scalar::Number(1e300));
    }

    #[test]
    fn keys_sort_as_their_numbers_do() {
        let numbers = [f64::MIN, -2.5, -1.0, -1e-300, 0.0, 1e-300, 1.0, 2024.0, f64::MAX];
        assert!(numbers.windows(2).all(|pair| number_key(pair[0]) < number_key(pair[1])));
        assert_eq!(number_key(-0.0), number_key(0.0));
        assert!([i64::MIN, -1, 0, 1, i64::MAX].windows(2).all(|pair| date_key(pair[0]) < date_key(pair[1])));
    }
}
