//! Ids of tool calls: those that we make up, and those that fit a provider. All depend on nothing but what they stand for, so that
//! the same conversation gives the same bytes.

use sha2::{Digest as _, Sha256};

use super::capability::IdRule;
use crate::hex::hex;

/// How an id of ours begins, and how many digits follow.
const PREFIX: &str = "call_";
const DIGITS: usize = 24;

/// An id for a call that came without one: the same for the same answer, another for another.
pub(super) fn made_up(answer: &str, number: usize) -> String {
    ours(&format!("{answer}/{number}"))
}

/// Whether the id is one of ours, which no provider has seen.
pub(super) fn is_made_up(id: &str) -> bool {
    id.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == DIGITS && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The id as the provider takes it: itself, where it fits, else one that depends on nothing but itself.
pub(super) fn tool_id(id: &str, rule: IdRule) -> String {
    let word = |id: &str, more: &[char]| {
        !id.is_empty()
            && id.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter) || more.contains(&letter))
    };
    let fits = match rule {
        IdRule::Any => !id.is_empty(),
        IdRule::Word => word(id, &[]),
        IdRule::Bedrock => id.len() <= 64 && word(id, &['.', ':']),
        IdRule::Nine => id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    };
    match rule {
        _ if fits => id.to_owned(),
        IdRule::Nine => hash(id)[..9].to_owned(),
        _ => ours(id),
    }
}

fn ours(of: &str) -> String {
    format!("{PREFIX}{}", &hash(of)[..DIGITS])
}

/// The SHA-256 sum of `text`, in hexadecimal.
pub(super) fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
