//! The ways of asking for a shape, and the one thing that they come to.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Schema, simple};
use crate::error::{Error, Result};

/// `structured_output` of a request.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(crate) struct Ask {
    enabled: Option<bool>,
    /// The simple format.
    format: Option<Value>,
    method: Option<Method>,
    /// JSON Schema.
    schema: Option<Value>,
    strict: Option<bool>,
    strict_mode: Option<StrictMode>,
    name: Option<String>,
    coerce: Option<bool>,
    include_raw: Option<bool>,
    max_repairs: Option<u32>,
}

/// What is done with the answer, as in LangChain's `with_structured_output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Validated; defaults are filled in; coerced where asked.
    Pydantic,
    /// Validated as given.
    #[default]
    JsonSchema,
    /// Validated; nothing is filled in or coerced.
    TypedDict,
    /// Parsed; validated where a schema came along.
    JsonMode,
}

/// What becomes of a request whose schema the provider cannot be held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StrictMode {
    /// The next way of asking is taken, and said.
    #[default]
    Prefer,
    /// An error.
    Require,
}

/// The shape that an answer is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Its name, as providers want it: 1 to 64 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// The canonical schema; none for `json_mode` without one.
    pub schema: Option<Arc<Schema>>,
    /// What is done with the answer.
    pub method: Method,
    /// Whether the provider is to be held to the schema where it can be.
    pub strict: bool,
    /// What becomes of it where the provider cannot be.
    pub strict_mode: StrictMode,
    /// Whether values of a wrong type are mended.
    pub coerce: bool,
    /// Whether the model's own text is given too.
    pub include_raw: bool,
    /// How often the model may mend an invalid answer.
    pub max_repairs: u32,
}

/// Most repairs that a request may ask for.
const MAX_REPAIRS: u32 = 3;

impl Ask {
    /// Reads what was asked. None where nothing was.
    ///
    /// # Errors
    /// A field contradicts another, or the schema is none.
    pub(crate) fn understand(self) -> Result<Option<Shape>> {
        let some =
            |value: Option<Value>| value.filter(|value| *value != Value::Object(serde_json::Map::new()) && !value.is_null());
        let (format, schema) = (some(self.format), some(self.schema));
        let asks = format.is_some() || schema.is_some() || self.method.is_some() || self.strict == Some(true);
        if !self.enabled.unwrap_or(asks) {
            return Ok(None);
        }
        let method = self.method.unwrap_or_default();
        let field = if format.is_some() { "structured_output.format" } else { "structured_output.schema" };
        let schema = match (format, schema) {
            (Some(_), Some(_)) => {
                return Err(Error::bad_request("`structured_output`: both `format` and `schema` are given; keep one"));
            }
            (Some(format), None) => Some(simple::schema(&format, field)?),
            (None, Some(schema)) => Some(understood(schema, field)?),
            (None, None) if method == Method::JsonMode => None,
            (None, None) => {
                let remedy = "give one of them, or `method` `json_mode` for any JSON object";
                return Err(Error::bad_request(format!("`structured_output`: neither `format` nor `schema` is given; {remedy}")));
            }
        };
        let coerce = self.coerce.unwrap_or(false);
        if coerce && method != Method::Pydantic {
            return Err(Error::bad_request("`structured_output.coerce`: only `method` `pydantic` coerces; leave it out"));
        }
        let max_repairs = self.max_repairs.unwrap_or(1);
        if max_repairs > MAX_REPAIRS {
            return Err(Error::bad_request(format!(
                "`structured_output.max_repairs`: {max_repairs} is not between 0 and {MAX_REPAIRS}"
            )));
        }
        let canonical = |schema| {
            simple::refuse_inside(&schema, field)?;
            Schema::new(schema, field).map(Arc::new)
        };
        let schema = schema.map(canonical).transpose()?;
        Ok(Some(Shape {
            name: name(self.name.as_deref(), schema.as_deref())?,
            schema,
            method,
            strict: self.strict.unwrap_or(true),
            strict_mode: self.strict_mode.unwrap_or_default(),
            coerce,
            include_raw: self.include_raw.unwrap_or(false),
            max_repairs,
        }))
    }
}

impl Shape {
    /// The shape that is asked for as JSON, without saying which: some object.
    pub fn any_object() -> Self {
        Self {
            name: "answer".into(),
            schema: None,
            method: Method::JsonMode,
            strict: false,
            strict_mode: StrictMode::Prefer,
            coerce: false,
            include_raw: false,
            max_repairs: 1,
        }
    }

    /// The shape that `response_format: json_schema` of OpenAI's dialect asks for.
    ///
    /// # Errors
    /// The schema is none.
    pub fn from_response_format(name: &str, schema: Value, strict: bool, field: &str) -> Result<Self> {
        let schema = Arc::new(Schema::new(schema, field)?);
        Ok(Self {
            name: self::name(Some(name), Some(&schema))?,
            schema: Some(schema),
            method: Method::JsonSchema,
            strict,
            ..Self::any_object()
        })
    }
}

/// A `schema` that uses no keyword of JSON Schema is the simple format: as JSON Schema it would say nothing at all.
fn understood(schema: Value, field: &str) -> Result<Value> {
    const KEYWORDS: [&str; 17] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "definitions",
        "enum",
        "format",
        "items",
        "not",
        "oneOf",
        "pattern",
        "prefixItems",
        "properties",
        "type",
    ];
    match &schema {
        Value::Object(map) if !map.keys().any(|key| KEYWORDS.contains(&key.as_str())) => simple::schema(&schema, field),
        // Properties called `type`, `format` or `pattern`, written simply.
        Value::Object(map)
            if !map.get("type").is_some_and(simple::is_type)
                && map.get("pattern").is_none_or(|form| simple::schema(form, field).is_ok())
                && !map
                    .keys()
                    .any(|key| KEYWORDS.contains(&key.as_str()) && !matches!(key.as_str(), "type" | "format" | "pattern")) =>
        {
            simple::schema(&schema, field)
        }
        Value::Array(_) | Value::String(_) => simple::schema(&schema, field),
        _ => Ok(schema),
    }
}

/// A name fit for every provider: the caller's, else the schema's title.
fn name(given: Option<&str>, schema: Option<&Schema>) -> Result<String> {
    let fits = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    match given {
        Some(name) if fits(name) => Ok(name.to_owned()),
        Some(name) => {
            let shown: String = name.chars().take(80).collect();
            Err(Error::bad_request(format!("the schema's name `{shown}`: write 1 to 64 letters, digits, `_` or `-`")))
        }
        None => {
            let title = schema.and_then(|schema| schema.value().get("title")?.as_str());
            Ok(title.filter(|title| fits(title)).unwrap_or("answer").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(ask: Value) -> Result<Option<Shape>> {
        serde_json::from_value::<Ask>(ask).unwrap().understand()
    }

    #[test]
    fn nothing_asked_is_nothing() {
        for ask in [
            json!({}),
            json!({"format": {}, "schema": {}}),
            json!({"enabled": false, "format": {"a": "string"}, "method": "pydantic"}),
            json!({"strict": false}),
        ] {
            assert_eq!(shape(ask).unwrap(), None);
        }
    }

    #[test]
    fn the_ways_of_asking_come_to_one_schema() {
        let schema = |ask: Value| shape(ask).unwrap().unwrap().schema.unwrap().value().clone();
        let expected = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false});
        assert_eq!(
            schema(json!({"enabled": true, "format": {"name": "string"}, "method": "pydantic", "schema": {}, "strict": true})),
            expected
        );
        assert_eq!(schema(json!({"schema": {"name": "string"}, "method": "typed_dict"})), expected);
        assert_eq!(schema(json!({"schema": expected.clone()})), expected);
        let named = schema(json!({"schema": {"type": "string", "format": "date"}}));
        assert_eq!(named, json!({"type": "string", "format": "date"}), "JSON Schema where it can be");
        let simple = schema(json!({"schema": {"type": "a|b", "size": "integer"}}));
        assert_eq!(simple["properties"]["type"], json!({"type": "string", "enum": ["a", "b"]}));
        let simple = schema(json!({"schema": {"title": "string", "pattern": "string"}}));
        assert_eq!(simple["required"], json!(["title", "pattern"]));
        let simple = schema(json!({"format": {"type": "string", "items": {"sku": "string"}}}));
        assert_eq!(simple["properties"]["items"]["required"], json!(["sku"]));
    }

    #[test]
    fn words_about_a_schema_are_no_forms() {
        for schema in [
            json!({"items": {"type": "string"}, "title": "date", "description": "string"}),
            json!({"type": "object", "properties": {"any": {"title": "any", "default": "string", "examples": ["date"]}, "x": {}}}),
            json!({"anyOf": [{"required": ["date"]}, {"minimum": 3, "x-order": {}}], "x-kind": "string"}),
        ] {
            let understood = shape(json!({"schema": schema.clone()})).unwrap().unwrap().schema.unwrap();
            assert_eq!(*understood.value(), schema);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for (ask, expected) in [
            (
                json!({"format": {"a": "string"}, "schema": {"type": "object"}}),
                "`structured_output`: both `format` and `schema` are given",
            ),
            (json!({"enabled": true}), "`structured_output`: neither `format` nor `schema` is given; give one of them"),
            (json!({"format": {"a": "string"}, "coerce": true}), "`structured_output.coerce`: only `method` `pydantic` coerces"),
            (json!({"format": {"a": "string"}, "max_repairs": 4}), "`structured_output.max_repairs`: 4 is not between 0 and 3"),
            (json!({"format": {"a": "string"}, "name": "a b"}), "the schema's name `a b`: write 1 to 64 letters"),
            (
                json!({"schema": {"type": "object", "properties": 3}}),
                "`structured_output.schema` at `/properties`: no JSON Schema",
            ),
            (
                json!({"schema": {"items": {"name": "string"}, "customer": "string"}}),
                "`structured_output.schema` at `/items/name`: a form of the simple format inside JSON Schema",
            ),
            (
                json!({"schema": {"type": "object", "properties": {"home": {"title": "Home", "city": "string"}}}}),
                "`structured_output.schema` at `/properties/home/city`: a form",
            ),
            (
                json!({"format": {"type": "array", "items": {"sku": "string?"}}}),
                "`structured_output.format` at `/items/sku`: a form",
            ),
            (
                json!({"format": {"list": {"type": "array", "items": {"type": "strng"}}}}),
                "`structured_output.format` at `/properties/list/items/type`: no JSON Schema",
            ),
            (json!({"schema": 3}), "`structured_output.schema`: a schema is an object"),
        ] {
            let message = shape(ask.clone()).unwrap_err().message().to_owned();
            assert!(message.starts_with(expected), "{ask}: {message}");
        }
        assert_eq!(shape(json!({"method": "json_mode"})).unwrap().unwrap().schema, None);
    }
}
