//! Checks of single fields, which name the field in what they say.

use serde::Serialize;

use crate::error::{Error, Result};

/// Refuses a text that is blank or longer than `most` bytes.
pub(super) fn text(field: &str, value: Option<&str>, most: usize) -> Result<()> {
    match value {
        Some(value) if value.trim().is_empty() || value.len() > most => {
            Err(Error::bad_request(format!("`{field}`: {} bytes; send 1 to {most}, or leave it out", value.len())))
        }
        _ => Ok(()),
    }
}

/// Refuses a number outside of `least..=most`.
pub(super) fn between<T: Copy + PartialOrd + std::fmt::Display>(
    field: &str,
    value: Option<T>,
    least: T,
    most: T,
) -> Result<Option<T>> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Error::bad_request(format!("`{field}`: {value} is not between {least} and {most}")))
        }
        _ => Ok(value),
    }
}

/// Refuses an answer without room.
pub(super) fn positive(field: &str, value: Option<u32>) -> Result<Option<u32>> {
    match value {
        Some(0) => Err(Error::bad_request(format!("`{field}`: 0 leaves no room for an answer"))),
        value => Ok(value),
    }
}

/// Refuses a count outside of `1..=most`.
pub(super) fn count(field: &str, value: Option<u64>, most: u32) -> Result<Option<u32>> {
    let Some(value) = value else { return Ok(None) };
    match u32::try_from(value) {
        Ok(count) if (1..=most).contains(&count) => Ok(Some(count)),
        _ => Err(Error::bad_request(format!("`{field}`: {value} is not between 1 and {most}"))),
    }
}

/// Providers that stand in for one another; each costs the caller time.
const MOST_FALLBACKS: usize = 8;

/// A provider's name and that of its model.
const MOST_NAME_BYTES: usize = 320;

/// Refuses a name of a model that is longer than any is: it stands in logs, answers and errors.
pub(super) fn model(name: &str) -> Result<()> {
    match name.len() {
        0..=MOST_NAME_BYTES => Ok(()),
        bytes => Err(Error::bad_request(format!("`model`: {bytes} bytes; send at most {MOST_NAME_BYTES}"))),
    }
}

/// Refuses a list of stand-ins that is too long, or has something that is no name.
pub(super) fn fallbacks(named: Option<Vec<String>>) -> Result<Option<Vec<String>>> {
    let Some(named) = named else { return Ok(None) };
    if named.len() > MOST_FALLBACKS {
        return Err(Error::bad_request(format!("`fallbacks`: {} names; send at most {MOST_FALLBACKS}", named.len())));
    }
    named.iter().enumerate().try_for_each(|(at, name)| text(&format!("fallbacks[{at}]"), Some(name), MOST_NAME_BYTES))?;
    Ok(Some(named))
}

/// Refuses a field that asks for what this build does not do.
pub(super) fn refuse_if(asked: bool, field: &str, remedy: &str) -> Result<()> {
    if asked { Err(Error::not_supported(field, remedy)) } else { Ok(()) }
}

/// How JSON writes a name.
pub(super) fn spelled(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
