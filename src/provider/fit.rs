//! Fits a request to what the model accepts, before any dialect writes it.
//!
//! Everything that is left out, renamed or changed is said in a warning; what cannot be left out without changing what was asked is
//! an error. Names and ids that a provider would refuse get an alias that depends on nothing but themselves, so that the same
//! conversation gives the same bytes and a prompt cache can hit; the answer's names are turned back.

mod addresses;
mod history;
mod parameters;
mod reasoning;
mod strict;
mod tools;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use self::addresses::Addresses;
use super::capability::{Capabilities, SchemaMode};
use super::id::{hash, made_up, tool_id};
use super::terms::ASKED_TIERS;
use crate::chat::{
    CacheMark, ChatEvent, ChatRequest, ChatResponse, Message, Part, ResponseFormat, Role, Source, Warning, Warnings,
};
use crate::error::{Error, Result, quoted};

/// A request that the model accepts.
#[derive(Debug)]
pub(super) struct Fitted {
    /// What is to be written.
    pub(super) request: ChatRequest,
    /// What became of the rest.
    pub(super) warnings: Warnings,
    /// The names in addresses that the provider is to fetch: what they resolve to was not looked at.
    pub(super) hosts: Vec<String>,
    /// What its answer needs.
    pub(super) back: Back,
}

/// How an answer is told in the words of the request as it came.
#[derive(Debug, Default)]
pub(super) struct Back {
    /// The callers' names of tools by their aliases.
    names: BTreeMap<String, String>,
    /// The callers' names of tools' parameters by their aliases.
    parameters: BTreeMap<String, String>,
    /// The ids of calls in the conversation.
    ids: BTreeSet<String>,
}

impl Back {
    /// As [`Self::restore`], for a whole answer.
    pub(super) fn restore_all(&self, answer: &mut ChatResponse) {
        for part in &mut answer.parts {
            if let Part::ToolCall(call) = part {
                self.call(&mut call.id, &mut call.name);
                parameters::rename(&mut call.arguments, &self.parameters);
            }
        }
    }

    /// Turns an alias in the answer back into the caller's name, and gives a call an id of its own in the conversation.
    pub(super) fn restore(&self, event: &mut ChatEvent) {
        match event {
            ChatEvent::ToolCall { id, name, .. } => self.call(id, name),
            // Who wants aliases tells the arguments of a call in one piece.
            ChatEvent::Arguments { json, .. } => parameters::rename(json, &self.parameters),
            _ => {}
        }
    }

    fn call(&self, id: &mut String, name: &mut String) {
        if let Some(original) = self.names.get(name) {
            original.clone_into(name);
        }
        // Some servers count from 0 in each answer, and answers without a name lead to the same made-up ids.
        while self.ids.contains(id) {
            *id = made_up(id, self.ids.len());
        }
    }
}

/// Fits `request` to `caps`. `who` names provider and model in texts; `has_operator_address` says that it may
/// stand inside the operator's network.
///
/// # Errors
/// Something that the model does not take cannot be left out.
pub(super) fn fit(
    request: &ChatRequest,
    caps: &Capabilities,
    (who, has_operator_address): (&str, bool),
    stream: bool,
) -> Result<Fitted> {
    if request.messages.is_empty() {
        return Err(Error::bad_request("`messages`: empty; send at least one"));
    }
    let addresses = Addresses::new(&caps.stores, has_operator_address);
    let (warnings, back) = (Warnings::default(), Back::default());
    let mut fit = Fit { caps, who, has_operator_address, warnings, back, addresses };
    for (name, value) in &request.extra {
        fit.field(name, value).map_err(|why| Error::bad_request(format!("`{name}`: an address: {why}")))?;
    }
    let mut request = request.clone();
    fit.proofs(&mut request);
    fit.system(&mut request);
    fit.reasoning(&mut request);
    fit.sampling(&mut request)?;
    fit.tools(&mut request)?;
    fit.messages(&mut request)?;
    fit.format(&mut request, stream);
    fit.tier(&mut request);
    fit.user(&mut request);
    let hosts = fit.addresses.names.into_iter().collect();
    Ok(Fitted { request, warnings: fit.warnings, hosts, back: fit.back })
}

struct Fit<'a> {
    caps: &'a Capabilities,
    who: &'a str,
    has_operator_address: bool,
    warnings: Warnings,
    back: Back,
    addresses: Addresses<'a>,
}

impl Fit<'_> {
    fn dropped(&mut self, field: &str) {
        self.warnings.push(Warning::dropped(field, format!("`{}` does not take it", self.who)));
    }

    fn changed(&mut self, field: &str, detail: impl Into<String>) {
        self.warnings.push(Warning::changed(field, detail));
    }

    /// Checks the addresses in a field of the caller's own. Where a vendor is asked, what none of them fetches may name any.
    fn field(&mut self, name: &str, value: &Value) -> Result<(), String> {
        if !self.has_operator_address && NO_ADDRESSES.contains(&name) { Ok(()) } else { self.addresses.fields(value) }
    }

    /// Who is at the other end. What is too long a name would be refused: its hash is as good a one, and the same in every request.
    fn user(&mut self, request: &mut ChatRequest) {
        if self.caps.user.is_empty() && request.user.take().is_some() {
            self.dropped("user");
        }
        let safety = match request.extra.get_mut("safety_identifier") {
            Some(Value::String(name)) if request.extra_dialect == "openai" => Some(name),
            _ => None,
        };
        let most = if self.caps.user_chars == 0 { usize::MAX } else { self.caps.user_chars };
        for (field, name) in [("user", request.user.as_mut()), ("safety_identifier", safety)] {
            if let Some(name) = name.filter(|name| name.chars().count() > most) {
                *name = hash(name).chars().take(most).collect();
                let detail = format!("`{}` takes at most {most} characters: its SHA-256 stands for it", self.who);
                self.warnings.push(Warning::changed(field, detail));
            }
        }
    }

    /// The tier as the provider calls it. Only the standard one has a name everywhere; no other is taken for one that costs more or
    /// less.
    fn tier(&mut self, request: &mut ChatRequest) {
        let (known, who) = (&self.caps.service_tiers, self.who);
        let Some(tier) = request.service_tier.take() else { return };
        if known.iter().any(|word| *word == tier || word == "*") {
            request.service_tier = Some(tier);
            return;
        }
        let same = known.iter().find(|word| ASKED_TIERS.contains(&word.as_str()) && ASKED_TIERS.contains(&tier.as_str()));
        if let Some(word) = same {
            self.warnings.push(Warning::renamed("service_tier", format!("`{who}` calls `{tier}` `{word}`")));
            request.service_tier = Some(word.clone());
        } else if known.is_empty() {
            self.dropped("service_tier");
        } else {
            self.warnings.push(Warning::dropped("service_tier", format!("`{who}` knows {}, not `{tier}`", quoted(known))));
        }
    }

    /// Checks what a part points to, in a message as in the result of a tool.
    fn reachable(&mut self, part: &Part) -> Result<()> {
        match part {
            Part::Raw(raw) | Part::Citation(raw) => {
                let checked = self.addresses.block(&raw.value);
                checked.map_err(|why| Error::bad_request(format!("`messages`: an address: {why}")))
            }
            Part::Image(media) => self.media(&media.source, "image", self.caps.image_url, self.caps.image_base64),
            Part::Document(media) if !matches!(media.source, Source::Text(_)) => {
                self.media(&media.source, "document", self.caps.document_url, self.caps.document_base64)
            }
            _ => Ok(()),
        }
    }

    /// Takes out that a document is to be cited, and what is said for that.
    fn uncited(&mut self, part: &mut Part) {
        let Part::Document(media) = part else { return };
        if self.caps.document_citations {
            return;
        }
        if media.context.take().is_some() {
            self.dropped("document.context");
        }
        if std::mem::take(&mut media.cited) {
            self.dropped("document.citations");
        }
    }

    /// Takes out of a mark of the cache what comes with a beta, where not every one is taken.
    fn mark(&mut self, mark: &mut CacheMark) {
        let is_taken = self.caps.betas.iter().any(|beta| beta == "*");
        let own = mark.own.take_if(|_| !is_taken);
        let fields = own.as_ref().and_then(|own| own.value.as_object()).into_iter().flat_map(serde_json::Map::keys);
        fields.for_each(|field| self.dropped(&format!("cache_control.{field}")));
    }

    /// Whether a part is a text that says nothing and would be refused for it.
    fn is_blank(&mut self, part: &Part) -> bool {
        let Part::Text(text) = part else { return false };
        if !text.is_empty() && (self.caps.blank_text || !text.trim().is_empty()) {
            return false;
        }
        if !text.is_empty() {
            self.warnings.push(Warning::dropped("text", format!("`{}` takes none of white space alone", self.who)));
        }
        true
    }

    fn messages(&mut self, request: &mut ChatRequest) -> Result<()> {
        let mut cached = false;
        let aliases: BTreeMap<String, String> =
            self.back.parameters.iter().map(|(alias, name)| (name.clone(), alias.clone())).collect();
        for message in &mut request.messages {
            let parts = std::mem::take(&mut message.parts);
            for mut part in parts {
                self.uncited(&mut part);
                if self.is_blank(&part) {
                    continue;
                }
                match &mut part {
                    Part::CachePoint(_) if !self.caps.cache_points => {
                        cached = true;
                        continue;
                    }
                    Part::CachePoint(mark) => self.mark(mark),
                    Part::Raw(_) | Part::Citation(_) | Part::Image(_) | Part::Document(_) => self.reachable(&part)?,
                    Part::ToolCall(call) => {
                        self.alias(&mut call.name);
                        let id = tool_id(&call.id, self.caps.tool_id_rule);
                        self.back.ids.insert(std::mem::replace(&mut call.id, id));
                        if call.arguments.trim().is_empty() && !call.is_text() {
                            "{}".clone_into(&mut call.arguments);
                        }
                        parameters::rename(&mut call.arguments, &aliases);
                    }
                    Part::ToolResult(result) => {
                        result.call_id = tool_id(&result.call_id, self.caps.tool_id_rule);
                        result.content.retain_mut(|part| match part {
                            Part::CachePoint(_) if !self.caps.cache_points => {
                                cached = true;
                                false
                            }
                            Part::CachePoint(mark) => {
                                self.mark(mark);
                                true
                            }
                            part => !self.is_blank(part),
                        });
                        result.content.iter_mut().for_each(|part| self.uncited(part));
                        result.content.iter().try_for_each(|part| self.reachable(part))?;
                    }
                    _ => {}
                }
                message.parts.push(part);
            }
        }
        request.messages.retain(|message| !message.parts.is_empty());
        self.instructions_alone(request);
        if cached {
            self.dropped("cache_point");
        }
        match request.messages.last() {
            None => Err(Error::bad_request("`messages`: all are empty; say something")),
            // An answer that paused while the provider's own tools ran goes on where it was.
            Some(last) if last.parts.iter().any(|part| matches!(part, Part::Raw(_))) => Ok(()),
            Some(Message { role: Role::Assistant, .. }) if !self.caps.prefill => Err(Error::bad_request(format!(
                "`messages`: `{}` does not go on with an assistant's message; end with a user's",
                self.who
            ))),
            Some(_) => Ok(()),
        }
    }

    fn media(&mut self, source: &Source, what: &str, by_address: bool, as_bytes: bool) -> Result<()> {
        let who = self.who;
        if let Source::Url { url, .. } = source {
            let checked = self.addresses.address(url);
            checked.map_err(|why| Error::bad_request(format!("`messages`: the address of an {what}: {why}")))?;
        }
        match source {
            Source::Url { .. } if !by_address && as_bytes => Err(Error::bad_request(format!(
                "`messages`: `{who}` takes no address of an {what}, and we fetch none; send its bytes as base64"
            ))),
            Source::Url { .. } if !by_address => Err(Error::bad_request(format!("`messages`: `{who}` takes no {what}s"))),
            Source::Base64 { .. } if !as_bytes => {
                Err(Error::bad_request(format!("`messages`: `{who}` takes no {what} as bytes")))
            }
            _ => Ok(()),
        }
    }

    fn format(&mut self, request: &mut ChatRequest, stream: bool) {
        let caps = self.caps;
        let (wish, tools) = (std::mem::take(&mut request.response_format), request.has_tools());
        request.response_format = match wish {
            ResponseFormat::JsonSchema { .. } if caps.schema < SchemaMode::Native && caps.json_object => {
                self.changed("response_format", format!("`{}` takes no schema: some JSON object is asked for", self.who));
                ResponseFormat::JsonObject
            }
            ResponseFormat::JsonSchema { .. } if caps.schema < SchemaMode::Native => {
                self.dropped("response_format");
                ResponseFormat::Text
            }
            ResponseFormat::JsonObject if !caps.json_object => {
                self.dropped("response_format");
                ResponseFormat::Text
            }
            ResponseFormat::JsonSchema { .. } | ResponseFormat::JsonObject if tools && !caps.schema_with_tools => {
                self.warnings.push(Warning::dropped("response_format", format!("`{}` takes it or `tools`, not both", self.who)));
                ResponseFormat::Text
            }
            ResponseFormat::JsonSchema { .. } if stream && !caps.schema_with_stream => {
                self.changed(
                    "response_format",
                    format!("`{}` takes no schema while streaming: some JSON object is asked for", self.who),
                );
                ResponseFormat::JsonObject
            }
            wish => wish,
        };
    }
}

/// Fields of vendors' own that hold names, texts and examples.
const NO_ADDRESSES: [&str; 5] = ["input_examples", "metadata", "prediction", "prompt_cache_key", "safety_identifier"];
