//! What a caller says in Anthropic's dialect.

use std::cell::LazyCell;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::block::{Content, parts};
use crate::app::App;
use crate::chat::{ChatRequest, Effort, Message, Part, Raw, Role, Sampling, Tool, ToolChoice, Warning, Warnings};
use crate::error::{Error, Result};
use crate::provider::{keep_digits_of, list_at};
use crate::rag::Question;
use crate::schema::{Shape, check_length};
use crate::server::body::{parse, read, without_mark};
use crate::server::door::extension::CacheControl;
use crate::server::door::thinking::Thinking;
use crate::server::door::{Added, Rag, Target, question, unknown};
use crate::server::field::{between, positive};
use crate::server::request::Shown;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct MessagesBody {
    model: String,
    max_tokens: Option<u32>,
    messages: Vec<WireMessage>,
    system: Option<Content>,
    stream: Option<bool>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<WireToolChoice>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    metadata: Option<Metadata>,
    service_tier: Option<String>,
    rag: Option<Rag>,
    /// A list of names is ours; anything else is Anthropic's own.
    fallbacks: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: WireRole,
    content: Content,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    User,
    Assistant,
    System,
}

#[derive(Debug, Deserialize)]
struct WireTool {
    name: String,
    description: Option<String>,
    input_schema: Map<String, Value>,
    strict: Option<bool>,
    cache_control: Option<CacheControl>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireToolChoice {
    #[serde(rename = "type")]
    kind: ChoiceKind,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceKind {
    Auto,
    Any,
    Tool,
    None,
}

#[derive(Debug, Default, Deserialize)]
struct OutputConfig {
    effort: Option<Effort>,
    format: Option<WireFormat>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireFormat {
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "there is one; another is refused")]
    kind: Option<FormatKind>,
    schema: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FormatKind {
    JsonSchema,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    user_id: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl MessagesBody {
    /// Reads a body. Arguments of calls that our numbers would round are kept as their text.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut body: Self = parse(bytes)?;
        let messages = LazyCell::new(|| list_at(without_mark(bytes), "/messages"));
        for (at, message) in body.messages.iter_mut().enumerate() {
            let Content::List(blocks) = &mut message.content else { continue };
            let calls = blocks.iter_mut().enumerate().filter(|(_, block)| block["type"] == "tool_use");
            let texts = || messages.get(at).map_or_else(Vec::new, |message| list_at(message.get().as_bytes(), "/content"));
            keep_digits_of(calls, "/input", texts);
        }
        Ok(body)
    }

    /// Whether it comes with a schema.
    pub(super) fn is_shaped(&self) -> bool {
        self.output_config.as_ref().is_some_and(|output| output.format.is_some())
    }

    /// Refuses a request for an answer that may have any length: the dialect has none.
    pub(super) fn require_bound(&self) -> Result<()> {
        self.max_tokens.map(drop).ok_or_else(|| Error::bad_request("`max_tokens`: missing"))
    }

    /// Whether the answer is to be streamed.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }
}

/// Checks a request against what this service can do.
pub(super) fn understood(app: &App, body: MessagesBody, labels: &[String]) -> Result<(Question, Shown)> {
    if body.rest.get("thread").is_some_and(|thread| !thread.is_null()) {
        // What Anthropic's clients, which open threads unasked, read as a wish for the whole conversation.
        let details = json!({"error_code": "thread_unsupported_request", "unsupported": ["thread"]});
        return Err(Error::not_supported("thread", "send the whole conversation").with_details(details));
    }
    if body.messages.is_empty() {
        return Err(Error::bad_request("`messages`: empty; send at least one"));
    }
    let target = Target::read(app, &body.model)?;
    let mut warnings = Warnings::default();
    let mut messages = Vec::with_capacity(body.messages.len() + 1);
    if let Some(system) = body.system {
        messages.push(Message { role: Role::System, parts: parts(system, "system", &mut warnings)? });
    }
    for (number, message) in body.messages.into_iter().enumerate() {
        let parts = parts(message.content, &format!("messages[{number}].content"), &mut warnings)?;
        unknown(message.rest, &format!("messages[{number}]"), &mut warnings);
        match message.role {
            WireRole::Assistant => messages.push(Message { role: Role::Assistant, parts }),
            WireRole::System => messages.push(Message { role: Role::System, parts }),
            WireRole::User => {
                // What tools answered is a turn of its own.
                let (results, said): (Vec<Part>, Vec<Part>) =
                    parts.into_iter().partition(|part| matches!(part, Part::ToolResult(_)));
                if !results.is_empty() {
                    messages.push(Message { role: Role::Tool, parts: results });
                }
                if !said.is_empty() {
                    messages.push(Message { role: Role::User, parts: said });
                }
            }
        }
    }
    leave_out_ours(&mut messages);
    // What is not known goes to the provider in the object in which it came.
    let mut extra = body.rest;
    leave_out_our_name(&mut extra, &mut warnings);
    let (fallbacks, own_fallbacks) = fallbacks(body.fallbacks)?;
    extra.insert("fallbacks".into(), own_fallbacks);
    let output = body.output_config.unwrap_or_default();
    extra.insert("output_config".into(), own(output.rest));
    let shape = match output.format {
        Some(format) => {
            unknown(format.rest, "output_config.format", &mut warnings);
            Some(Shape::from_response_format("answer", format.schema, true, "output_config.format.schema")?)
        }
        None => None,
    };
    let metadata = body.metadata.unwrap_or_default();
    extra.insert("metadata".into(), own(metadata.rest));
    let choice = body.tool_choice.map(|mut choice| {
        unknown(std::mem::take(&mut choice.rest), "tool_choice", &mut warnings);
        choice
    });
    let (tools, native_tools) = tools(body.tools.unwrap_or_default(), &mut warnings)?;
    let request = ChatRequest {
        messages,
        sampling: Sampling {
            temperature: between("temperature", body.temperature, 0.0, 1.0)?,
            max_tokens: positive("max_tokens", body.max_tokens)?,
            top_p: between("top_p", body.top_p, 0.0, 1.0)?,
            top_k: body.top_k,
            stop_sequences: body.stop_sequences.unwrap_or_default(),
            ..Sampling::default()
        },
        reasoning: body.thinking.map(|thinking| thinking.neutral(&mut warnings)),
        effort: output.effort,
        tools,
        native_tools,
        parallel_tool_calls: choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use).map(|off| !off),
        tool_choice: choice.map(WireToolChoice::neutral).transpose()?,
        service_tier: body.service_tier,
        user: metadata.user_id,
        extra: extra.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        extra_dialect: "anthropic".into(),
        ..ChatRequest::default()
    };
    let added = Added { rag: body.rag, fallbacks, warnings };
    question(app, target, added, request, shape, labels)
}

/// Takes out citations of documents that are not in the request: ours, sent back by clients that keep no field which they do not
/// know.
fn leave_out_ours(messages: &mut [Message]) {
    let is_document = |part: &&Part| matches!(part, Part::Document(_) | Part::Raw(_));
    let inside = |part: &Part| match part {
        Part::ToolResult(result) => result.content.iter().filter(is_document).count(),
        part => usize::from(is_document(&part)),
    };
    let documents: usize = messages.iter().flat_map(|message| &message.parts).map(inside).sum();
    let is_ours = |cited: &Value| {
        cited["type"] == "char_location" && cited["document_index"].as_u64().is_some_and(|number| number >= documents as u64)
    };
    for message in messages {
        message.parts.retain(|part| !matches!(part, Part::Citation(cited) if is_ours(&cited.value)));
    }
}

/// Takes out of `diagnostics` the name of an earlier answer: it is one of ours, which Anthropic cannot know.
fn leave_out_our_name(extra: &mut Map<String, Value>, warnings: &mut Warnings) {
    const NAME: &str = "previous_message_id";
    let diagnostics = extra.get_mut("diagnostics").and_then(Value::as_object_mut);
    if let Some(name) = diagnostics.and_then(|it| it.get_mut(NAME)).filter(|name| !name.is_null()) {
        *name = Value::Null;
        warnings.push(Warning::dropped(format!("diagnostics.{NAME}"), "answers have names of this service's here"));
    }
}

/// The stand-ins that are named to us, and those that are Anthropic's to ask: `"default"`, or objects.
fn fallbacks(named: Option<Value>) -> Result<(Option<Vec<String>>, Value)> {
    match named.unwrap_or_default() {
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Ok((Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()), Value::Null))
        }
        Value::Array(items) if items.iter().all(Value::is_object) => Ok((None, items.into())),
        Value::String(word) if word == "default" => Ok((None, word.into())),
        Value::Null => Ok((None, Value::Null)),
        _ => Err(Error::bad_request(
            "`fallbacks`: neither a list of names nor what Anthropic takes; send names as `provider` or `provider/model`",
        )),
    }
}

/// The fields that say something, as an object; null where none does.
fn own(fields: Map<String, Value>) -> Value {
    let fields: Map<String, Value> = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if fields.is_empty() { Value::Null } else { fields.into() }
}

/// The tools, and those that only this dialect has.
fn tools(told: Vec<Value>, warnings: &mut Warnings) -> Result<(Vec<Tool>, Vec<Raw>)> {
    let (mut tools, mut native_tools) = (Vec::new(), Vec::new());
    for (number, tool) in told.into_iter().enumerate() {
        if is_native(&tool) {
            check_length(&tool, &format!("tools[{number}]"))?;
            native_tools.push(Raw { dialect: "anthropic".into(), value: tool });
        } else {
            tools.push(neutral_tool(tool, number, warnings)?);
        }
    }
    Ok((tools, native_tools))
}

/// Whether a tool is one that Anthropic runs, or that its models know without a schema.
fn is_native(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(|kind| kind != "custom")
}

fn neutral_tool(tool: Value, number: usize, warnings: &mut Warnings) -> Result<Tool> {
    let mut tool: WireTool = read(tool, &format!("tools[{number}]"))?;
    tool.rest.shift_remove("type");
    let (own, parameters) = (own(tool.rest), Value::Object(tool.input_schema));
    check_length(&parameters, &format!("tools[{number}].input_schema"))?;
    Ok(Tool {
        name: tool.name,
        description: tool.description,
        parameters,
        strict: tool.strict,
        cache: tool.cache_control.map(|control| control.mark(&format!("tools[{number}]"), warnings)),
        own: (!own.is_null()).then(|| Raw { dialect: "anthropic".into(), value: own }),
    })
}

impl WireToolChoice {
    fn neutral(self) -> Result<ToolChoice> {
        Ok(match self.kind {
            ChoiceKind::Auto => ToolChoice::Auto,
            ChoiceKind::Any => ToolChoice::Required,
            ChoiceKind::None => ToolChoice::None,
            ChoiceKind::Tool => {
                ToolChoice::Tool(self.name.ok_or_else(|| Error::bad_request("`tool_choice.name`: missing; name the tool"))?)
            }
        })
    }
}
