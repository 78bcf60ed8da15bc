//! Raised and lowered text in a line that can only say it with a `^` or a `_`.

/// Whether raised or lowered text would be read as a part of what stands `before` it: 10⁶ is not 106, but 1ˢᵗ is 1st and H₂O is
/// H2O.
pub(super) fn is_apart(raised: &str, before: char) -> bool {
    let unsigned = raised.trim_start_matches(['+', '-', '−', '–', '±']);
    let is_signed = unsigned.len() < raised.len();
    let is_number = unsigned.starts_with(|first: char| first.is_ascii_digit());
    // One letter stands for a number, where it does not end an ordinal: 2ᵉ, 1ª, 1º.
    let mut letters = raised.chars().filter(|char| char.is_alphabetic());
    let is_variable = letters.next().is_some_and(|letter| !"aeoªº".contains(letter)) && letters.next().is_none();
    let is_sign = is_signed && unsigned.is_empty();
    before.is_ascii_digit() && (is_number || is_variable || is_sign) || is_signed && is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_join_a_number_is_apart() {
        for (raised, before) in [("6", '0'), ("n", '2'), ("-1", 's'), ("±2", 'm'), ("−", '4'), ("n+1", '2')] {
            assert!(is_apart(raised, before), "{before} {raised}");
        }
        for (raised, before) in [("2", 'm'), ("st", '1'), ("e", '2'), ("n", 'x'), ("+", 'a'), ("", '1'), ("*", '1')] {
            assert!(!is_apart(raised, before), "{before} {raised}");
        }
    }
}
