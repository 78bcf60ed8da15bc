//! Words that turn around what follows them: who quotes only what follows says the opposite.

use super::fold::Folded;

/// Bytes before a quote in which the answer may deny it.
const MAX_LEAD_BYTES: usize = 64;
/// Words that deny.
#[rustfmt::skip]
const NEGATIONS: [&str; 39] = [
    "not", "never", "no", "nor", "neither", "without", "nicht", "nie", "niemals", "kein", "keine", "keinen", "keiner", "keinem", "keines",
    "ohne", "ne", "non", "jamais", "aucun", "aucune", "sans", "nunca", "na\u{303}o", "senza", "niet", "geen", "ikke",
    "inte", "не", "нет", "никогда", "ни", "لا", "لم", "لن", "不", "没", "未",
];
/// Words behind which "no" denies. In Portuguese it is "in the".
const BEFORE_NO: [&str; 14] =
    ["is", "are", "was", "were", "be", "there", "has", "have", "had", "with", "need", "needs", "require", "requires"];
/// Words before which it does, which is "not" in Spanish.
#[rustfmt::skip]
const BEHIND_NO: [&str; 18] = [
    "se", "es", "son", "esta\u{301}", "esta\u{301}n", "hay", "ha", "han", "puede", "pueden", "debe", "deben", "tiene", "tienen", "lo", "la",
    "los", "las",
];
/// Words between these and what they turn around: "not true that".
const BETWEEN: [&str; 12] = ["a", "an", "the", "that", "true", "case", "wahr", "richtig", "dass", "que", "vrai", "to"];

/// Whether what begins at a word is denied by the words before it in the same sentence: "Never", "It is not true that".
pub(super) fn is_denied(text: &Folded, mut word: usize) -> bool {
    while !text.is_parted(word) {
        word -= 1;
        if NEGATIONS.contains(&text.word(word)) {
            return text.word(word) != "no" || denies(text, word);
        }
        if !BETWEEN.contains(&text.word(word)) {
            return false;
        }
    }
    false
}

/// Whether the "no" at a word denies what follows.
fn denies(text: &Folded, no: usize) -> bool {
    let is_behind = no + 1 < text.len() && BEHIND_NO.contains(&text.word(no + 1));
    text.is_parted(no) || BEFORE_NO.contains(&text.word(no - 1)) || is_behind
}

/// Whether what an answer says right before a quote denies it.
pub(super) fn ends_with_denial(before: &str) -> bool {
    let words = Folded::new(&before[before.ceil_char_boundary(before.len().saturating_sub(MAX_LEAD_BYTES))..]);
    is_denied(&words, words.len())
}
