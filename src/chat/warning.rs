//! What a caller is told of what was left out or changed.

use std::fmt;

/// Warnings that are told of one request by one room.
const MOST: usize = 50;
/// Where their words are cut, in characters: they hold names of the caller's.
const FIELD_CHARS: usize = 150;
const DETAIL_CHARS: usize = 400;

/// What became of a parameter that the provider does not take as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What was done.
    pub action: Action,
    /// The neutral name of the parameter, as in `top_k`.
    pub field: String,
    /// Why, and what was sent instead.
    pub detail: String,
}

/// What was done about a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It was left out.
    Dropped,
    /// It went under another name.
    Renamed,
    /// It went with another value.
    Changed,
}

/// Warnings, each once and not without end: a request can consist of nothing but what is left out.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    told: Vec<Warning>,
    more: usize,
}

impl Warning {
    /// `field` was left out, because `detail`.
    pub fn dropped(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { action: Action::Dropped, field: field.into(), detail: detail.into() }
    }

    /// `field` went under another name.
    pub fn renamed(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { action: Action::Renamed, field: field.into(), detail: detail.into() }
    }

    /// `field` went with another value.
    pub fn changed(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { action: Action::Changed, field: field.into(), detail: detail.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.action {
            Action::Dropped => "it was left out",
            Action::Renamed => "it was renamed",
            Action::Changed => "it was changed",
        };
        write!(f, "`{}`: {}; {done}", self.field, self.detail)
    }
}

impl Warnings {
    /// Adds one.
    pub fn push(&mut self, mut warning: Warning) {
        if self.told.len() == MOST {
            self.more += 1;
            return;
        }
        cut(&mut warning.field, FIELD_CHARS);
        cut(&mut warning.detail, DETAIL_CHARS);
        if !self.told.contains(&warning) {
            self.told.push(warning);
        }
    }

    /// All that are told; the last says how many there were beside them.
    pub fn into_vec(self) -> Vec<Warning> {
        let mut told = self.told;
        told.extend((self.more > 0).then(|| Warning::dropped("warnings", format!("and {} more", self.more))));
        told
    }
}

fn cut(text: &mut String, chars: usize) {
    if let Some((at, _)) = text.char_indices().nth(chars) {
        text.truncate(at);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_once_and_have_an_end() {
        let mut warnings = Warnings::default();
        for number in 0..500_000 {
            warnings.push(Warning::dropped("x", "why"));
            warnings.push(Warning::dropped(format!("field {number}"), "why"));
        }
        let told = warnings.into_vec();
        assert_eq!((told.len(), told[1].to_string().as_str()), (51, "`field 0`: why; it was left out"));
        assert!(told[50].to_string().starts_with("`warnings`: and 9999"), "{}", told[50]);
        let mut long = Warnings::default();
        long.push(Warning::dropped("ä".repeat(1000), "ö".repeat(1000)));
        assert_eq!(long.into_vec()[0], Warning::dropped("ä".repeat(150) + "…", "ö".repeat(400) + "…"));
    }
}
