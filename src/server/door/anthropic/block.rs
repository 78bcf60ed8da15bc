//! Blocks of Anthropic's dialect as neutral parts.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::chat::{Media, Part, Raw, Source, Thought, ToolCall, ToolResult, Warnings, proof};
use crate::error::{Error, Result};
use crate::provider::own_of_call;
use crate::server::body::TextOr;
use crate::server::door::cited::is_ours;
use crate::server::door::extension::{CacheControl, ExtraContent};
use crate::server::door::unknown;

/// What somebody says.
pub(in crate::server::door) type Content = TextOr<Value>;

/// Reads what somebody says; what of it is not known is said in `warnings`.
pub(in crate::server::door) fn parts(content: Content, field: &str, warnings: &mut Warnings) -> Result<Vec<Part>> {
    let blocks = match content {
        Content::Text(text) => return Ok(vec![Part::Text(text)]),
        Content::List(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.into_iter().enumerate() {
        let field = format!("{field}[{at}]");
        let Value::Object(block) = block else { return Err(Error::bad_request(format!("`{field}`: not an object"))) };
        Block { fields: block, field: &field, warnings: &mut *warnings }.read(&mut parts)?;
    }
    Ok(parts)
}

/// A block that is being read: what was understood is taken out of it.
struct Block<'a> {
    fields: Map<String, Value>,
    field: &'a str,
    warnings: &'a mut Warnings,
}

impl Block<'_> {
    fn missing(&self, name: &str) -> Error {
        Error::bad_request(format!("`{}.{name}`: missing", self.field))
    }

    fn some_text(&mut self, name: &str) -> Option<String> {
        match self.fields.shift_remove(name)? {
            Value::String(text) => Some(text),
            other => {
                self.fields.insert(name.to_owned(), other);
                None
            }
        }
    }

    fn text(&mut self, name: &str) -> Result<String> {
        match self.some_text(name) {
            Some(text) => Ok(text),
            None if self.fields.get(name).is_some_and(|value| !value.is_null()) => {
                Err(Error::bad_request(format!("`{}.{name}`: not a text", self.field)))
            }
            None => Err(self.missing(name)),
        }
    }

    fn read(mut self, parts: &mut Vec<Part>) -> Result<()> {
        let kind = self.text("type")?;
        match kind.as_str() {
            "text" => {
                parts.push(Part::Text(self.text("text")?));
                if let Some(Value::Array(citations)) = self.fields.shift_remove("citations") {
                    let raw = |value| Part::Citation(Raw { dialect: "anthropic".into(), value });
                    parts.extend(citations.into_iter().filter(|citation| !is_ours(citation)).map(raw));
                }
            }
            "thinking" => {
                let (text, signature) = (self.text("thinking")?, self.some_text("signature"));
                let signature = signature.filter(|text| !text.is_empty() && text != proof::NONE);
                parts.push(Part::Reasoning(Thought { text, signature, redacted: None }));
            }
            "redacted_thinking" => {
                parts.push(Part::Reasoning(Thought { redacted: Some(self.text("data")?), ..Thought::default() }));
            }
            "tool_use" => {
                let (id, name) = (self.text("id")?, self.text("name")?);
                let arguments = match self.fields.shift_remove("input") {
                    None => "{}".to_owned(),
                    Some(Value::String(text)) => text,
                    Some(input) => input.to_string(),
                };
                let extra = self.fields.get("extra_content").and_then(|it| ExtraContent::deserialize(it).ok());
                let signature = extra.and_then(|extra| {
                    self.fields.shift_remove("extra_content");
                    extra.signature(self.field, self.warnings)
                });
                let own = own_of_call(|field| self.fields.shift_remove(field));
                parts.push(Part::ToolCall(ToolCall { id, name, arguments, signature, own }));
            }
            "tool_result" => parts.push(self.result()?),
            "image" if !self.is_native() => parts.push(Part::Image(Media::of(self.source()?))),
            "document" if !self.is_native() => {
                let media = Media::of(self.source()?);
                let (name, context) = (self.some_text("title"), self.some_text("context"));
                parts.push(Part::Document(Media { name, context, cited: self.is_cited(), ..media }));
            }
            _ => {
                let mut value = Map::from_iter([("type".to_owned(), kind.into())]);
                value.append(&mut self.fields);
                parts.push(Part::Raw(Raw { dialect: "anthropic".into(), value: value.into() }));
                return Ok(());
            }
        }
        if let Some(control) = self.fields.get("cache_control").and_then(|it| CacheControl::deserialize(it).ok()) {
            self.fields.shift_remove("cache_control");
            parts.push(Part::CachePoint(control.mark(self.field, self.warnings)));
        }
        unknown(self.fields, self.field, self.warnings);
        Ok(())
    }

    fn result(&mut self) -> Result<Part> {
        let call_id = self.text("tool_use_id")?;
        let is_error = self.fields.shift_remove("is_error").and_then(|value| value.as_bool()).unwrap_or(false);
        let content = match self.fields.shift_remove("content") {
            None | Some(Value::Null) => Vec::new(),
            Some(content) => {
                let field = format!("{}.content", self.field);
                let content: Content = serde_json::from_value(content)
                    .map_err(|_| Error::bad_request(format!("`{field}`: neither a text nor a list of blocks")))?;
                parts(content, &field, self.warnings)?
            }
        };
        let own = own_of_call(|field| self.fields.shift_remove(field));
        Ok(Part::ToolResult(ToolResult { call_id, content, is_error, own }))
    }

    /// Whether the file is one that only this dialect has: made of blocks, or lying at the provider.
    fn is_native(&self) -> bool {
        let kind = self.fields.get("source").and_then(|source| source["type"].as_str());
        matches!(kind, Some("content" | "file"))
    }

    /// Whether a document is to be cited; where it is not, nothing need be said.
    fn is_cited(&mut self) -> bool {
        self.fields.shift_remove("citations").is_some_and(|citations| citations["enabled"] == true)
    }

    /// Addresses are the provider's to fetch, never ours.
    fn source(&mut self) -> Result<Source> {
        let source = self.fields.shift_remove("source").unwrap_or_default();
        let text = |name: &str| {
            let text = source.get(name).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| Error::bad_request(format!("`{}.source.{name}`: missing", self.field)))
        };
        match source.get("type").and_then(Value::as_str) {
            Some("base64") => Ok(Source::Base64 { media_type: text("media_type")?, data: text("data")?.into() }),
            Some("url") => Ok(Source::Url { url: text("url")?, media_type: None }),
            Some("text") => Ok(Source::Text(text("data")?)),
            _ => Err(Error::bad_request(format!(
                "`{}.source.type`: write `base64`, `url`, `text`, `content` or `file`",
                self.field
            ))),
        }
    }
}
