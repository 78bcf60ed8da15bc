//! Passages that follow each other in their document, as one text: a quote may go over from one into the next.

use std::ops::Range;

use super::fold::Folded;
use super::source::Source;
use super::{Found, VERBATIM};
use crate::passage::Passage;

/// Bytes of blanks that may be left out between two passages.
const MAX_GAP_BYTES: usize = 8;

/// Neighbouring passages, put together.
pub(super) struct Joined {
    source: Source,
    /// Each passage, and which bytes of the text it is.
    parts: Vec<(usize, Range<usize>)>,
}

/// All that can be put together; what two passages share stands once.
pub(super) fn joined(passages: &[Passage]) -> Vec<Joined> {
    let mut order: Vec<usize> = (0..passages.len()).collect();
    order.sort_by_key(|at| (&passages[*at].uri, passages[*at].start));
    let mut all = Vec::new();
    let mut rest = order.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let mut text = passages[*first].content.clone();
        let mut parts = vec![(*first, 0..text.len())];
        for at in others {
            let (before, next) = (&passages[*first], &passages[*at]);
            let Some(begin) = begin(before, next, &text) else { break };
            let gap = begin.saturating_sub(text.len());
            text.extend(std::iter::repeat_n(' ', gap));
            let shared = text.len() - begin;
            text.push_str(next.content.get(shared..).unwrap_or_default());
            parts.push((*at, begin..begin + next.content.len()));
        }
        rest = &rest[parts.len()..];
        if parts.len() > 1 {
            all.push(Joined { source: Source::new(&text), parts });
        }
    }
    all
}

/// Where a passage begins in a text that begins with another one; none where it does not go on there.
fn begin(first: &Passage, next: &Passage, text: &str) -> Option<usize> {
    let begin = usize::try_from(next.start.checked_sub(first.start)?).ok()?;
    let goes_on = match text.get(begin..) {
        Some(shared) => next.content.starts_with(shared) || shared.starts_with(&next.content),
        None => begin > text.len() && begin - text.len() <= MAX_GAP_BYTES,
    };
    (first.uri == next.uri && goes_on).then_some(begin)
}

impl Joined {
    /// Where a quote stands over the border of passages that all count: its place in the first of them, as far as that goes.
    pub(super) fn find(&self, wanted: &Folded, is_denied: bool, counts: impl Fn(&usize) -> bool) -> Option<(f32, Found)> {
        let (score, range) = self.source.find(wanted, is_denied).filter(|(score, _)| *score >= VERBATIM)?;
        let counted = self.parts.iter().filter(|(passage, _)| counts(passage));
        let covered =
            counted.fold(range.start, |at, (_, part)| if part.start <= at + MAX_GAP_BYTES { at.max(part.end) } else { at });
        let holds_start = |(passage, part): &&(usize, Range<usize>)| counts(passage) && part.contains(&range.start);
        let (passage, part) = self.parts.iter().filter(holds_start).max_by_key(|(_, part)| part.end)?;
        let found = Found { passage: *passage, range: range.start - part.start..range.end.min(part.end) - part.start };
        (covered >= range.end).then_some((score, found))
    }
}

#[cfg(test)]
mod tests {
    use crate::citation::{Found, Sources, Status};
    use crate::passage::Passage;
    use crate::passage::testing::passage;

    #[test]
    fn a_quote_may_go_over_into_the_next_passage_of_its_document() {
        let text =
            "Zero is the first number here. One comes behind it at once. Two is the one that follows. Three is the last one.";
        let piece = |from: usize, to: usize| Passage { start: from as u64, ..passage("a", &text[from..to], 1.0) };
        let parted = [passage("b", "Other words.", 1.0), piece(60, text.len()), piece(0, 59)];
        let shared = [passage("b", "Other words.", 1.0), piece(51, text.len()), piece(0, 59)];
        let quote = "“One comes behind it at once. Two is the one that follows”";
        for passages in [&parted, &shared] {
            let sources = Sources::new(passages, "");
            let citation = |numbers: &str| sources.check(&format!("{quote}{numbers}.")).remove(0);
            let none = citation("");
            assert_eq!((none.status, none.found), (Status::Verified, Some(Found { passage: 2, range: 31..59 })));
            assert_eq!(citation(" [2][3]").status, Status::Verified);
        }
        let sources = Sources::new(&parted, "");
        let status = |answer: &str| sources.check(answer)[0].status;
        assert_eq!(status(&format!("{quote} [1][2]")), Status::NotFound, "one half of it is in no named source");
        assert_eq!(status("“One comes behind it … the one that follows” [2][3]"), Status::Verified);
        assert_eq!(status("“Two is the one that follows. Zero is the first” [2][3]"), Status::NotFound);
        let apart = [piece(0, 30), piece(60, text.len())];
        let across = "“Zero is the first number here. Two is the one that follows” [1][2]";
        assert_eq!(Sources::new(&apart, "").check(across)[0].status, Status::NotFound);
    }
}
