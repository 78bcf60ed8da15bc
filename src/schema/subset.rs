//! What of JSON Schema each provider constrains its models by, and how much of it. Dated data: published limits as of 2026-08.
//!
//! Two subsets never share a form: OpenAI wants every property required and writes "optional" as a union with null, which is what
//! Anthropic counts and limits. So a schema is lowered for one provider, never to a common form.

use std::collections::HashMap;

use serde_json::Value;

use super::walk::{each_child, properties, required, resolve};

/// A provider's part of JSON Schema.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subset {
    /// Its name in reports.
    pub name: &'static str,
    /// Keywords that pass as they are. Structure (`type`, `properties`, `items`, `$ref` and the like) is told by the fields below.
    pub(super) keywords: &'static [&'static str],
    /// Takes `anyOf`; `oneOf` is written so too.
    pub(super) any_of: bool,
    /// Takes `$ref` into `$defs`; else definitions are written out where they are used.
    pub(super) refs: bool,
    /// Where definitions may refer to themselves.
    pub(super) recursion: Recursion,
    /// Takes a list of types.
    pub(super) type_lists: bool,
    /// Every schema needs a type.
    pub(super) typed: bool,
    /// What `additionalProperties` may be.
    pub(super) extras: Extras,
    /// What `required` must hold.
    pub(super) required: Required,
    /// Formats that it takes; none is all.
    pub(super) formats: Option<&'static [&'static str]>,
    /// What a `pattern` may not hold.
    pub(super) no_patterns_with: &'static [&'static str],
    /// Can be told not to hold the model to a schema, which may then say anything.
    pub(super) can_be_loose: bool,
    /// The prompt must ask for JSON, too: else the model may write on without an end.
    pub(super) wants_words: bool,
    /// The largest `minItems`.
    pub(super) min_items_most: u64,
    /// How much of all this one schema may hold.
    pub(super) limits: Limits,
}

/// What `additionalProperties` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extras {
    /// `false`, everywhere.
    Never,
    /// Not there; nothing is added then.
    Unsaid,
    /// Anything.
    Allowed,
}

/// Where a definition may refer to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recursion {
    /// Nowhere.
    Never,
    /// In properties that are not required.
    Optional,
    /// Anywhere.
    Anywhere,
}

/// What `required` must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Required {
    /// Every property; an optional one may be null instead.
    All,
    /// At least one of each object.
    One,
    /// As it is.
    AsIs,
}

/// How much one schema may hold; more is refused by the provider. `usize::MAX` where nothing is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) properties: usize,
    pub(super) levels: usize,
    pub(super) enum_values: usize,
    /// Of names, enum values and constants together.
    pub(super) characters: usize,
    /// Of one enum of texts with more than 250 values.
    pub(super) long_enum_characters: usize,
    pub(super) optional: usize,
    pub(super) unions: usize,
}

const UNLIMITED: Limits = Limits {
    properties: usize::MAX,
    levels: usize::MAX,
    enum_values: usize::MAX,
    characters: usize::MAX,
    long_enum_characters: usize::MAX,
    optional: usize::MAX,
    unions: usize::MAX,
};

/// OpenAI's strict mode.
pub(crate) static OPENAI: Subset = Subset {
    name: "openai",
    keywords: &[
        "const",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "title",
    ],
    any_of: true,
    refs: true,
    recursion: Recursion::Anywhere,
    type_lists: true,
    typed: true,
    extras: Extras::Never,
    required: Required::All,
    formats: Some(&["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]),
    no_patterns_with: &["(?=", "(?!", "(?<=", "(?<!"],
    can_be_loose: true,
    wants_words: false,
    min_items_most: u64::MAX,
    limits: Limits {
        properties: 5_000,
        levels: 10,
        enum_values: 1_000,
        characters: 120_000,
        long_enum_characters: 15_000,
        ..UNLIMITED
    },
};

/// Mistral takes what OpenAI takes and publishes no limits.
pub(crate) static MISTRAL: Subset = Subset { name: "mistral", limits: UNLIMITED, ..OPENAI };

/// Groq's strict models do too.
pub(crate) static GROQ: Subset = Subset { name: "groq", limits: UNLIMITED, ..OPENAI };

/// Anthropic's `output_config.format`, directly and on clouds. Optional parameters and unions are limited, not forbidden.
pub(crate) static ANTHROPIC: Subset = Subset {
    name: "anthropic",
    keywords: &["enum", "format", "minItems", "pattern", "title"],
    any_of: true,
    refs: true,
    recursion: Recursion::Never,
    type_lists: true,
    typed: true,
    extras: Extras::Never,
    required: Required::AsIs,
    formats: Some(&["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"]),
    no_patterns_with: &["(?=", "(?!", "(?<=", "(?<!", "\\b", "\\B", "\\1", "\\2", "\\3", "\\k<"],
    can_be_loose: false,
    wants_words: false,
    min_items_most: 1,
    limits: Limits { optional: 24, unions: 16, ..UNLIMITED },
};

/// Gemini's `responseJsonSchema`.
pub(crate) static GEMINI: Subset = Subset {
    name: "gemini",
    keywords: &["enum", "format", "maxItems", "maximum", "minItems", "minimum", "prefixItems", "title"],
    any_of: true,
    refs: true,
    recursion: Recursion::Optional,
    type_lists: true,
    typed: false,
    extras: Extras::Allowed,
    required: Required::AsIs,
    formats: Some(&["date", "time", "date-time"]),
    no_patterns_with: &[],
    can_be_loose: false,
    wants_words: false,
    min_items_most: u64::MAX,
    limits: UNLIMITED,
};

/// Cohere's JSON schema mode.
pub(crate) static COHERE: Subset = Subset {
    name: "cohere",
    keywords: &["enum", "format", "pattern", "title"],
    any_of: false,
    refs: false,
    recursion: Recursion::Never,
    type_lists: false,
    typed: true,
    extras: Extras::Unsaid,
    required: Required::One,
    formats: Some(&["date-time", "uuid", "date", "time"]),
    no_patterns_with: &["^", "$", "(?=", "(?!", "(?<=", "(?<!"],
    can_be_loose: false,
    wants_words: true,
    min_items_most: 0,
    limits: Limits { properties: 200, ..UNLIMITED },
};

/// The subset that `model` of a provider is constrained by. `family` is the provider's name, or its dialect's for one that is not
/// known by name. None: the server is told the whole schema.
pub(crate) fn subset(family: &str, model: &str) -> Option<&'static Subset> {
    let is_claude = model.contains("claude");
    Some(match family {
        "openai" | "openai-bedrock" => &OPENAI,
        "groq" => &GROQ,
        "mistral" => &MISTRAL,
        "anthropic" | "bedrock" => &ANTHROPIC,
        "vertexai" | "gemini" | "google" if is_claude => &ANTHROPIC,
        "vertexai" | "gemini" | "google" => &GEMINI,
        "cohere" => &COHERE,
        _ => return None,
    })
}

/// The first limit that `schema`, already lowered, breaks: as in "25 optional parameters, 24 are allowed".
pub(super) fn over_limit(schema: &Value, subset: &Subset) -> Option<String> {
    let mut held =
        Limits { properties: 0, levels: 0, enum_values: 0, characters: 0, long_enum_characters: 0, optional: 0, unions: 0 };
    tally(schema, &mut held);
    held.levels = levels(schema, schema, &mut Vec::new(), &mut HashMap::new());
    let most = &subset.limits;
    [
        (held.properties, most.properties, "properties"),
        (held.levels, most.levels, "levels of nesting"),
        (held.enum_values, most.enum_values, "enum values"),
        (held.characters, most.characters, "characters in names, enums and constants"),
        (held.long_enum_characters, most.long_enum_characters, "characters in one long enum"),
        (held.optional, most.optional, "optional parameters"),
        (held.unions, most.unions, "parameters with a union of types"),
    ]
    .into_iter()
    .find(|(held, most, _)| held > most)
    .map(|(held, most, what)| format!("{held} {what}, {most} are allowed"))
}

/// Adds what a lowered schema holds of what is limited, but for its levels.
fn tally(schema: &Value, held: &mut Limits) {
    let Value::Object(map) = schema else { return };
    if let Some(properties) = properties(map) {
        held.properties += properties.len();
        held.characters += properties.keys().map(|name| name.chars().count()).sum::<usize>();
        held.optional += properties.keys().filter(|name| !required(map).any(|it| it == *name)).count();
    }
    if let Some(Value::Object(definitions)) = map.get("$defs") {
        held.characters += definitions.keys().map(|name| name.chars().count()).sum::<usize>();
    }
    if let Some(Value::Array(values)) = map.get("enum") {
        let characters: usize = values.iter().map(written).sum();
        held.enum_values += values.len();
        held.characters += characters;
        if values.len() > 250 && values.iter().all(Value::is_string) {
            held.long_enum_characters = held.long_enum_characters.max(characters);
        }
    }
    held.characters += map.get("const").map_or(0, written);
    held.unions += usize::from(map.contains_key("anyOf") || map.get("type").is_some_and(Value::is_array));
    each_child(map, |_, child| tally(child, held));
}

fn written(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.to_string().len(), |text| text.chars().count())
}

/// Levels of objects and lists, through references; a reference to what is already open adds none. Each place is walked once,
/// however many references lead to it: `known` has what was found below it, by address.
fn levels(schema: &Value, root: &Value, open: &mut Vec<usize>, known: &mut HashMap<usize, usize>) -> usize {
    let Value::Object(map) = schema else { return 0 };
    let key = std::ptr::from_ref(map).addr();
    if let Some(levels) = known.get(&key) {
        return *levels;
    }
    if open.contains(&key) || open.len() > 64 {
        return 0;
    }
    open.push(key);
    let target = map.get("$ref").and_then(Value::as_str).and_then(|reference| resolve(root, reference));
    let mut below = target.map_or(0, |target| levels(target, root, open, known));
    each_child(map, |keyword, child| {
        if keyword != "$defs" {
            below = below.max(levels(child, root, open, known));
        }
    });
    open.pop();
    let levels =
        below + usize::from(map.contains_key("properties") || map.contains_key("items") || map.contains_key("prefixItems"));
    known.insert(key, levels);
    levels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_limit_is_counted() {
        let object = |properties: usize, required: bool| {
            let names: Vec<String> = (0..properties).map(|at| format!("p{at}")).collect();
            let map: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), json!({"type": "string"}))).collect();
            json!({"type": "object", "properties": map, "required": if required { names } else { vec![] }})
        };
        let over = |schema: &Value, subset| over_limit(schema, subset);
        assert_eq!(over(&object(25, false), &ANTHROPIC).unwrap(), "25 optional parameters, 24 are allowed");
        assert_eq!(over(&object(24, false), &ANTHROPIC), None);
        assert_eq!(over(&object(201, true), &COHERE).unwrap(), "201 properties, 200 are allowed");
        assert_eq!(over(&object(5001, true), &OPENAI).unwrap(), "5001 properties, 5000 are allowed");
        let unions: Vec<Value> = (0..17).map(|_| json!({"type": ["string", "null"]})).collect();
        assert_eq!(
            over(&json!({"prefixItems": unions}), &ANTHROPIC).unwrap(),
            "17 parameters with a union of types, 16 are allowed"
        );
        let values: Vec<String> = (0..1001).map(|at| at.to_string()).collect();
        assert_eq!(over(&json!({"enum": values}), &OPENAI).unwrap(), "1001 enum values, 1000 are allowed");
        let long: Vec<String> = (0..251).map(|at| format!("{at:060}")).collect();
        assert_eq!(over(&json!({"enum": long}), &OPENAI).unwrap(), "15060 characters in one long enum, 15000 are allowed");
        let mut deep = json!({"type": "string"});
        for _ in 0..11 {
            deep = json!({"type": "object", "properties": {"a": deep}});
        }
        assert_eq!(over(&deep, &OPENAI).unwrap(), "11 levels of nesting, 10 are allowed");
        assert_eq!(over(&json!({"const": "x".repeat(120_001)}), &OPENAI).unwrap().split(' ').next(), Some("120001"));
        let tree = json!({"$defs": {"n": {"properties": {"c": {"items": {"$ref": "#/$defs/n"}}}}}, "$ref": "#/$defs/n"});
        assert_eq!(over(&tree, &OPENAI), None);
    }
}
