//! Arguments of calls that came as JSON inside JSON, in the provider's own digits: our numbers have 64 bits, and an identifier that
//! was rounded on the way is another one.

use std::cell::LazyCell;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Where a dialect has arguments that are no texts: the pointer to the blocks of an answer, and the one from a block.
pub(super) type Place = (&'static str, &'static str);

/// Puts the text of arguments in the place of those that lost digits when `body` was read as `reply`.
pub(super) fn keep_digits((list, inside): Place, body: &[u8], reply: &mut Value) {
    let blocks = reply.pointer_mut(list).and_then(Value::as_array_mut);
    keep_digits_of(blocks.into_iter().flatten().enumerate(), inside, || list_at(body, list));
}

/// The same for some `blocks` of a list, each with its place there. `texts` is the list as it came: taken apart at most once.
pub(crate) fn keep_digits_of<'a, 't>(
    blocks: impl Iterator<Item = (usize, &'a mut Value)>,
    inside: &str,
    texts: impl FnOnce() -> Vec<&'t RawValue>,
) {
    let texts = LazyCell::new(texts);
    for (at, block) in blocks {
        if let Some(arguments) = block.pointer_mut(inside).filter(|arguments| arguments.is_object() && is_rounded(arguments))
            && let Some(text) = texts.get(at).and_then(|block| value_at(block.get().as_bytes(), inside))
        {
            *arguments = text.get().into();
        }
    }
}

/// Whether a number may have been an integer of more than 64 bits.
pub(crate) fn is_rounded(value: &Value) -> bool {
    any_large(value, &|_| true)
}

/// Whether a number of more than 64 bits lost digits when `json` was read as `value`.
pub(super) fn has_lost_digits(value: &Value, json: &str) -> bool {
    if !is_rounded(value) {
        return false;
    }
    let is_of_number = |letter: char| matches!(letter, '0'..='9' | '.' | '+' | '-' | 'e' | 'E');
    // Whether all that is read as one number says no more than that number.
    let mut is_kept: HashMap<u64, bool> = HashMap::new();
    for text in json.split(|letter| !is_of_number(letter)) {
        if let Some(float) = text.parse().ok().filter(|float| is_large(*float)) {
            *is_kept.entry(float.to_bits()).or_insert(true) &= digits(text) == digits(&format!("{float:e}"));
        }
    }
    any_large(value, &|float| is_kept.get(&float.to_bits()) != Some(&true))
}

fn any_large(value: &Value, is_it: &dyn Fn(f64) -> bool) -> bool {
    match value {
        Value::Number(number) => number.is_f64() && number.as_f64().is_some_and(|float| is_large(float) && is_it(float)),
        Value::Array(list) => list.iter().any(|value| any_large(value, is_it)),
        Value::Object(fields) => fields.values().any(|value| any_large(value, is_it)),
        _ => false,
    }
}

fn is_large(float: f64) -> bool {
    float.abs() >= 9.2e18
}

/// The digits of a number that say more than its size.
fn digits(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// The items of the list at a pointer whose steps need no escapes, as they came; none if there is no list.
pub(crate) fn list_at<'a>(body: &'a [u8], pointer: &str) -> Vec<&'a RawValue> {
    value_at(body, pointer).and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default()
}

fn value_at<'a>(body: &'a [u8], pointer: &str) -> Option<&'a RawValue> {
    let mut value: &RawValue = serde_json::from_slice(body).ok()?;
    for step in pointer.split('/').skip(1) {
        value = match step.parse::<usize>() {
            Ok(at) => serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?.get(at).copied()?,
            Err(_) => serde_json::from_str::<HashMap<String, &RawValue>>(value.get()).ok()?.remove(step)?,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use crate::provider::Dialect;

    #[test]
    fn arguments_keep_digits_that_our_numbers_have_not() {
        let arguments = r#"{"id":12345678901234567890123,"more":[1.5]}"#;
        for (dialect, body) in [
            (
                Dialect::Anthropic,
                format!(
                    r#"{{"content":[{{"type":"text","text":"a"}},{{"type":"tool_use","id":"c","name":"f","input":{arguments}}}],"stop_reason":"tool_use"}}"#
                ),
            ),
            (
                Dialect::Bedrock,
                format!(
                    r#"{{"output":{{"message":{{"content":[{{"toolUse":{{"toolUseId":"c","name":"f","input":{arguments}}}}}]}}}},"stopReason":"tool_use"}}"#
                ),
            ),
            (
                Dialect::Gemini,
                format!(
                    r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{arguments}}}}}]}},"finishReason":"STOP"}}]}}"#
                ),
            ),
        ] {
            let whole = dialect.decode(body.as_bytes()).unwrap();
            assert_eq!(whole.tool_calls().next().map(|call| call.arguments.as_str()), Some(arguments), "{dialect:?}");
            if dialect == Dialect::Gemini {
                let mut decoder = dialect.decoder();
                let mut events = decoder.push(format!("data: {body}\n\n").as_bytes()).unwrap();
                events.extend(decoder.finish().unwrap());
                assert_eq!(crate::chat::fold(&events).tool_calls().next().map(|call| call.arguments.as_str()), Some(arguments));
            }
        }
    }
}
