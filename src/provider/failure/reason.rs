//! The reason that a refusal gives, wherever it stands: vendors, the frameworks of their servers and gateways in front of them each
//! have a place of their own, and some put one's refusal into another's as text.

use serde_json::Value;

/// Fields that hold the reason, or what holds it, the plainest first.
const FIELDS: [&str; 6] = ["message", "Message", "msg", "detail", "errors", "error"];
/// How deep a reason may lie.
const MOST_DEEP: usize = 8;
/// Reasons of a list that are told.
const MOST_TOLD: usize = 5;
/// Longer texts are not read as JSON.
const MOST_BYTES: usize = 16_384;

/// What a refusal says; none where it gives no reason.
pub(super) fn reason(body: &Value) -> Option<String> {
    within(body, 0)
}

fn within(value: &Value, depth: usize) -> Option<String> {
    if depth == MOST_DEEP {
        return None;
    }
    let inner = |value: &Value| within(value, depth + 1);
    match value {
        Value::String(text) => {
            let is_json = text.len() <= MOST_BYTES && text.trim_start().starts_with(['{', '[']);
            let json = || serde_json::from_str(text).ok();
            let told = is_json.then(json).flatten().and_then(|json: Value| inner(&json));
            told.or_else(|| Some(text.clone()).filter(|text| !text.is_empty()))
        }
        Value::Array(items) => {
            let told: Vec<String> = items.iter().filter_map(inner).take(MOST_TOLD).collect();
            Some(told.join("; ")).filter(|told| !told.is_empty())
        }
        Value::Object(fields) => {
            // What a gateway was told by whoever stands behind it.
            let behind = fields.get("metadata").and_then(|metadata| metadata.get("raw")).and_then(inner);
            let told = FIELDS.iter().find_map(|name| inner(fields.get(*name)?)).into_iter().chain(behind);
            let told = Some(told.collect::<Vec<_>>().join(": ")).filter(|told| !told.is_empty())?;
            Some(match place(fields.get("loc")) {
                Some(place) => format!("{place}: {told}"),
                None => told,
            })
        }
        _ => None,
    }
}

/// Where in the request the fault lies, as the checks of Python's servers say it.
fn place(loc: Option<&Value>) -> Option<String> {
    let names: Vec<String> =
        loc?.as_array()?.iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect();
    Some(names.join(".")).filter(|place| !place.is_empty())
}
