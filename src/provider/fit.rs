//! Fits a request to what the model accepts, before any dialect writes it.
//!
//! Everything that is left out, renamed or changed is said in a warning; what cannot be left out without changing what was asked is
//! an error. Names and ids that a provider would refuse get an alias that depends on nothing but themselves, so that the same
//! conversation gives the same bytes and a prompt cache can hit; the answer's names are turned back.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::capability::{Capabilities, IdRule, NameRule, ReasoningMode, SchemaMode};
use crate::chat::{
    ChatEvent, ChatRequest, ChatResponse, Effort, Message, Part, Reasoning, ResponseFormat, Role, Source, ToolChoice, Warning,
};
use crate::error::{Error, Result};
use crate::net::guard;

/// A request that the model accepts.
#[derive(Debug)]
pub(super) struct Fitted {
    /// What is to be written.
    pub(super) request: ChatRequest,
    /// What became of the rest.
    pub(super) warnings: Vec<Warning>,
    /// The callers' names of tools by their aliases.
    names: BTreeMap<String, String>,
}

impl Fitted {
    /// As [`Self::restore`], for a whole answer.
    pub(super) fn restore_all(&self, answer: &mut ChatResponse) {
        for part in &mut answer.parts {
            if let Part::ToolCall(call) = part
                && let Some(original) = self.names.get(&call.name)
            {
                original.clone_into(&mut call.name);
            }
        }
    }

    /// Turns an alias in the answer back into the caller's name.
    pub(super) fn restore(&self, event: &mut ChatEvent) {
        if let ChatEvent::ToolCall { name, .. } = event
            && let Some(original) = self.names.get(name)
        {
            original.clone_into(name);
        }
    }
}

/// Fits `request` to `caps`. `who` names provider and model in texts.
///
/// # Errors
/// Something that the model does not take cannot be left out.
pub(super) fn fit(request: &ChatRequest, caps: &Capabilities, who: &str, stream: bool) -> Result<Fitted> {
    if request.messages.is_empty() {
        return Err(Error::bad_request("`messages`: empty; send at least one"));
    }
    let mut fit = Fit { caps, who, warnings: Vec::new(), names: BTreeMap::new() };
    let addresses = request.extra.values().try_for_each(guard::public_addresses);
    addresses.map_err(|why| Error::bad_request(format!("`extra`: an address: {why}")))?;
    let mut request = request.clone();
    fit.reasoning(&mut request);
    fit.sampling(&mut request)?;
    fit.tools(&mut request)?;
    fit.messages(&mut request)?;
    fit.format(&mut request, stream);
    for (value, name, taken) in
        [(&mut request.service_tier, "service_tier", caps.service_tier), (&mut request.user, "user", !caps.user.is_empty())]
    {
        if !taken && value.take().is_some() {
            fit.dropped(name);
        }
    }
    Ok(Fitted { request, warnings: fit.warnings, names: fit.names })
}

struct Fit<'a> {
    caps: &'a Capabilities,
    who: &'a str,
    warnings: Vec<Warning>,
    names: BTreeMap<String, String>,
}

impl Fit<'_> {
    fn dropped(&mut self, field: &str) {
        self.warnings.push(Warning::dropped(field, format!("`{}` does not take it", self.who)));
    }

    fn changed(&mut self, field: &str, detail: impl Into<String>) {
        self.warnings.push(Warning::changed(field, detail));
    }

    /// Brings the wish for reasoning into the form of the model's mode; `Effort::None` means off.
    fn reasoning(&mut self, request: &mut ChatRequest) {
        let Some(wish) = request.reasoning else { return };
        let mode = self.caps.reasoning;
        let off = wish.effort == Some(Effort::None);
        request.reasoning = match mode {
            ReasoningMode::None => {
                if !off {
                    self.dropped("reasoning");
                }
                None
            }
            _ if off => self.off(wish),
            ReasoningMode::Budget => {
                let budget = wish.budget_tokens.or_else(|| wish.effort.map(budget_of));
                let budget = budget.map(|budget| self.budget(budget, request.sampling.max_tokens));
                budget
                    .unwrap_or(Some(wish))
                    .map(|wish| Reasoning { show: request.reasoning.and_then(|asked| asked.show), ..wish })
            }
            ReasoningMode::Effort
            | ReasoningMode::Level
            | ReasoningMode::Adaptive
            | ReasoningMode::Always
            | ReasoningMode::BetweenTools => {
                let effort = match (wish.effort, wish.budget_tokens) {
                    (None, Some(budget)) => {
                        let effort = effort_of(budget);
                        let detail = format!("`{}` takes an effort in the place of a budget: `{}`", self.who, effort.as_str());
                        self.changed("reasoning.budget_tokens", detail);
                        Some(effort)
                    }
                    (effort, _) => effort,
                };
                Some(Reasoning { effort: effort.map(|effort| self.nearest(effort)), budget_tokens: None, show: wish.show })
            }
        };
    }

    /// Reasoning that is not wanted.
    fn off(&mut self, wish: Reasoning) -> Option<Reasoning> {
        let mode = self.caps.reasoning;
        let needs_word = matches!(mode, ReasoningMode::Effort | ReasoningMode::Level);
        match mode {
            ReasoningMode::Always => {
                self.changed("reasoning.effort", format!("`{}` always reasons", self.who));
                None
            }
            _ if needs_word && !self.caps.efforts.contains(&Effort::None) => {
                if !self.caps.reasons_by_default {
                    return None;
                }
                let least = self.nearest(Effort::None);
                Some(Reasoning { effort: Some(least), ..wish })
            }
            _ => Some(Reasoning { effort: Some(Effort::None), budget_tokens: None, show: None }),
        }
    }

    /// A budget that leaves room for the answer.
    fn budget(&mut self, budget: u32, max_tokens: Option<u32>) -> Option<Reasoning> {
        const LEAST: u32 = 1024;
        let mut fitted = budget.max(LEAST);
        if let Some(most) = max_tokens
            && fitted >= most
        {
            if most <= LEAST {
                let detail = format!("{most} tokens leave no room for the least budget of {LEAST}");
                self.warnings.push(Warning::dropped("reasoning", detail));
                return None;
            }
            fitted = most - most.div_ceil(4).min(most - LEAST);
        }
        if fitted != budget {
            self.changed("reasoning.budget_tokens", format!("{fitted} tokens in the place of {budget}"));
        }
        Some(Reasoning { effort: None, budget_tokens: Some(fitted), show: None })
    }

    /// The closest effort that the model knows; between two, the higher one.
    fn nearest(&mut self, effort: Effort) -> Effort {
        let known = &self.caps.efforts;
        if known.is_empty() || known.contains(&effort) {
            return effort;
        }
        let found = known.iter().find(|known| **known > effort).or(known.last()).copied().unwrap_or(effort);
        self.changed("reasoning.effort", format!("`{}` does not know `{}`: `{}`", self.who, effort.as_str(), found.as_str()));
        found
    }

    fn sampling(&mut self, request: &mut ChatRequest) -> Result<()> {
        let caps = self.caps;
        let reasons = match request.reasoning {
            Some(Reasoning { effort: Some(Effort::None), .. }) => false,
            Some(_) => caps.reasoning != ReasoningMode::None,
            None => caps.reasons_by_default,
        };
        let sampling = &mut request.sampling;
        let free = caps.sampling_while_reasoning || !reasons;
        let mut dropped = Vec::new();
        let mut keep = |name: &'static str, value: &mut Option<f64>, taken: bool| {
            if !taken && value.take().is_some() {
                dropped.push(name);
            }
        };
        keep("temperature", &mut sampling.temperature, caps.temperature && free);
        keep("top_p", &mut sampling.top_p, caps.top_p && free);
        keep("frequency_penalty", &mut sampling.frequency_penalty, caps.penalties && free);
        keep("presence_penalty", &mut sampling.presence_penalty, caps.penalties && free);
        if !(caps.top_k && free) && sampling.top_k.take().is_some() {
            dropped.push("top_k");
        }
        if caps.seed.is_empty() && sampling.seed.take().is_some() {
            dropped.push("seed");
        }
        dropped.into_iter().for_each(|name| self.dropped(name));
        if let Some(temperature) = sampling.temperature.filter(|value| *value > caps.max_temperature) {
            sampling.temperature = Some(caps.max_temperature);
            self.changed("temperature", format!("{temperature} is over the {} that `{}` takes", caps.max_temperature, self.who));
        }
        if !caps.temperature_with_top_p && sampling.temperature.is_some() && sampling.top_p.take().is_some() {
            self.warnings.push(Warning::dropped("top_p", format!("`{}` takes it or `temperature`, not both", self.who)));
        }
        if sampling.stop_sequences.len() > caps.stop_sequences {
            let (count, most) = (sampling.stop_sequences.len(), caps.stop_sequences);
            return Err(Error::bad_request(format!("`stop_sequences`: {count} texts, but `{}` takes at most {most}", self.who)));
        }
        if sampling.max_tokens.is_none() && caps.default_max_tokens > 0 {
            let budget = request.reasoning.and_then(|reasoning| reasoning.budget_tokens).unwrap_or(0);
            sampling.max_tokens = Some(caps.default_max_tokens.saturating_add(budget));
        }
        if let Some(wanted) = sampling.max_tokens.filter(|wanted| caps.most_tokens > 0 && *wanted > caps.most_tokens) {
            sampling.max_tokens = Some(caps.most_tokens);
            self.changed("max_tokens", format!("{wanted} is over the {} that `{}` writes", caps.most_tokens, self.who));
        }
        Ok(())
    }

    fn tools(&mut self, request: &mut ChatRequest) -> Result<()> {
        let caps = self.caps;
        if !request.tools.is_empty() && !caps.tools {
            return Err(Error::bad_request(format!("`tools`: `{}` does not take any", self.who)));
        }
        // The order has no meaning, and a provider's prompt cache hits only where the bytes are equal.
        request.tools.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = request.tools.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::bad_request(format!("`tools`: two are named `{}`; rename one", pair[0].name)));
        }
        if let Some(ToolChoice::Tool(name)) = &request.tool_choice
            && !request.tools.iter().any(|tool| tool.name == *name)
        {
            return Err(Error::bad_request(format!("`tool_choice`: there is no tool `{name}` in `tools`")));
        }
        for tool in &request.tools {
            guard::public_references(&tool.parameters)
                .map_err(|why| Error::bad_request(format!("`tools`: a reference of `{}`: {why}", tool.name)))?;
        }
        self.choice(request);
        if !caps.strict_tools && request.tools.iter().any(|tool| tool.strict == Some(true)) {
            self.dropped("tools.strict");
        }
        for tool in &mut request.tools {
            tool.strict = tool.strict.filter(|_| caps.strict_tools);
            tool.cache = tool.cache.filter(|_| caps.cache_points);
            self.alias(&mut tool.name);
        }
        if let Some(ToolChoice::Tool(name)) = &mut request.tool_choice {
            self.alias(name);
        }
        if !caps.parallel_tool_calls && request.parallel_tool_calls.take() == Some(false) {
            self.dropped("parallel_tool_calls");
        }
        if request.tools.is_empty() {
            request.parallel_tool_calls = None;
        }
        Ok(())
    }

    fn choice(&mut self, request: &mut ChatRequest) {
        let caps = self.caps;
        if request.tools.is_empty() {
            request.tool_choice = None;
        }
        let Some(choice) = request.tool_choice.take() else { return };
        request.tool_choice = Some(match choice {
            ToolChoice::None if !caps.tool_choice_none => {
                let is_tool = |part: &Part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_));
                if request.messages.iter().any(|message| message.parts.iter().any(is_tool)) {
                    self.changed(
                        "tool_choice",
                        format!("`{}` cannot be told `none` in a conversation with tools: `auto`", self.who),
                    );
                    ToolChoice::Auto
                } else {
                    request.tools.clear();
                    self.changed("tool_choice", format!("`{}` cannot be told `none`: the tools were left out", self.who));
                    return;
                }
            }
            ToolChoice::Required if caps.tool_choice_required.is_empty() => {
                self.changed("tool_choice", format!("`{}` cannot be made to call a tool: `auto`", self.who));
                ToolChoice::Auto
            }
            ToolChoice::Tool(name) if !caps.tool_choice_tool && !caps.tool_choice_required.is_empty() => {
                self.changed("tool_choice", format!("`{}` cannot be told which tool: it is shown no other", self.who));
                request.tools.retain(|tool| tool.name == name);
                ToolChoice::Required
            }
            ToolChoice::Tool(_) if !caps.tool_choice_tool => {
                self.changed("tool_choice", format!("`{}` cannot be made to call a tool: `auto`", self.who));
                ToolChoice::Auto
            }
            choice => choice,
        });
    }

    /// Renames a tool that the provider would refuse.
    fn alias(&mut self, name: &mut String) {
        let caps = self.caps;
        let good = |letter: char| {
            letter.is_ascii_alphanumeric()
                || matches!(letter, '_' | '-')
                || (caps.tool_name_rule == NameRule::Dotted && matches!(letter, '.' | ':'))
        };
        let begins = |name: &str| {
            caps.tool_name_rule == NameRule::Word
                || name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        };
        if !name.is_empty() && name.len() <= caps.tool_name_chars && name.chars().all(good) && begins(name) {
            return;
        }
        let sum = hash(name);
        let mut alias: String = name.chars().map(|letter| if good(letter) { letter } else { '_' }).collect();
        if !begins(&alias) {
            alias.insert(0, '_');
        }
        // The sum is of the whole name: two names that look alike when cut stay two.
        alias.truncate(caps.tool_name_chars.saturating_sub(9));
        alias.push('_');
        alias.push_str(&sum[..8]);
        if self.names.insert(alias.clone(), name.clone()).is_none() {
            self.warnings.push(Warning::renamed("tools.name", format!("`{}` does not take `{name}`: `{alias}`", self.who)));
        }
        *name = alias;
    }

    /// Checks what a part points to, in a message as in the result of a tool.
    fn reachable(&mut self, part: &Part) -> Result<()> {
        match part {
            Part::Raw(raw) => {
                guard::public_addresses(&raw.value).map_err(|why| Error::bad_request(format!("`messages`: an address: {why}")))
            }
            Part::Image(media) => self.media(&media.source, "image", self.caps.image_url, self.caps.image_base64),
            Part::Document(media) if !matches!(media.source, Source::Text(_)) => {
                self.media(&media.source, "document", self.caps.document_url, self.caps.document_base64)
            }
            _ => Ok(()),
        }
    }

    fn messages(&mut self, request: &mut ChatRequest) -> Result<()> {
        let mut cached = false;
        for message in &mut request.messages {
            let parts = std::mem::take(&mut message.parts);
            for mut part in parts {
                match &mut part {
                    Part::Text(text) if text.is_empty() => continue,
                    Part::CachePoint(_) if !self.caps.cache_points => {
                        cached = true;
                        continue;
                    }
                    Part::Raw(_) | Part::Image(_) | Part::Document(_) => self.reachable(&part)?,
                    Part::ToolCall(call) => {
                        self.alias(&mut call.name);
                        call.id = tool_id(&call.id, self.caps.tool_id_rule);
                        if call.arguments.trim().is_empty() {
                            "{}".clone_into(&mut call.arguments);
                        }
                    }
                    Part::ToolResult(result) => {
                        result.call_id = tool_id(&result.call_id, self.caps.tool_id_rule);
                        result.content.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
                        result.content.iter().try_for_each(|part| self.reachable(part))?;
                    }
                    _ => {}
                }
                message.parts.push(part);
            }
        }
        request.messages.retain(|message| !message.parts.is_empty());
        if cached {
            self.dropped("cache_point");
        }
        match request.messages.last() {
            None => Err(Error::bad_request("`messages`: all are empty; say something")),
            Some(Message { role: Role::Assistant, .. }) if !self.caps.prefill => Err(Error::bad_request(format!(
                "`messages`: `{}` does not go on with an assistant's message; end with a user's",
                self.who
            ))),
            Some(_) => Ok(()),
        }
    }

    fn media(&self, source: &Source, what: &str, by_address: bool, as_bytes: bool) -> Result<()> {
        let who = self.who;
        if let Source::Url { url, .. } = source {
            guard::public_address(url)
                .map_err(|why| Error::bad_request(format!("`messages`: the address of an {what}: {why}")))?;
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
        let (wish, tools) = (std::mem::take(&mut request.response_format), !request.tools.is_empty());
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
        _ => format!("call_{}", &hash(id)[..24]),
    }
}

/// The SHA-256 sum of `text`, in hexadecimal.
pub(super) fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tokens that stand for an effort: the ladder that OpenRouter and LiteLLM use, doubled at each step.
fn budget_of(effort: Effort) -> u32 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => 1024,
        Effort::Low => 2048,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::Xhigh => 24_576,
        Effort::Max => 32_768,
    }
}

fn effort_of(budget: u32) -> Effort {
    Effort::ALL.into_iter().find(|effort| budget_of(*effort) >= budget).unwrap_or(Effort::Max)
}
