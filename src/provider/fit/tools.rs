//! Tools, which of them is called, and names and ids that a provider takes.

use super::Fit;
use crate::chat::{ChatRequest, Part, ToolChoice, Warning};
use crate::error::{Error, Result};
use crate::provider::capability::NameRule;
use crate::provider::id::hash;
use crate::provider::own;

impl Fit<'_> {
    pub(super) fn tools(&mut self, request: &mut ChatRequest) -> Result<()> {
        let caps = self.caps;
        if request.has_tools() && !caps.tools {
            return Err(Error::bad_request(format!("`tools`: `{}` does not take any", self.who)));
        }
        // The order has no meaning, and a provider's prompt cache hits only where the bytes are equal.
        request.tools.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = request.tools.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::bad_request(format!("`tools`: two are named `{}`; rename one", pair[0].name)));
        }
        if let Some(ToolChoice::Tool(name)) = &request.tool_choice
            && !request.tools.iter().any(|tool| tool.name == *name)
            && !request.native_tools.iter().any(|raw| own::name(raw) == Some(name))
        {
            return Err(Error::bad_request(format!("`tool_choice`: there is no tool `{name}` in `tools`")));
        }
        // Servers of tools, which Anthropic asks itself, bring theirs.
        let has_any = request.has_tools() || request.extra.contains_key("mcp_servers");
        if request.tool_choice == Some(ToolChoice::Required) && !has_any {
            return Err(Error::bad_request("`tool_choice`: a tool must be called, but there is none in `tools`"));
        }
        for tool in &request.tools {
            let checked = self.addresses.references(&tool.parameters);
            checked.map_err(|why| Error::bad_request(format!("`tools`: a reference of `{}`: {why}", tool.name)))?;
            let mut own = tool.own.iter().filter_map(|own| own.value.as_object()).flatten();
            let checked = own.try_for_each(|(name, value)| self.field(name, value));
            checked.map_err(|why| Error::bad_request(format!("`tools`: an address of `{}`: {why}", tool.name)))?;
        }
        let checked = request.native_tools.iter().try_for_each(|raw| self.addresses.fields(&raw.value));
        checked.map_err(|why| Error::bad_request(format!("`tools`: an address: {why}")))?;
        let mut cache = request.tools.iter_mut().filter_map(|tool| tool.cache.take()).max_by_key(|mark| mark.ttl);
        self.choice(request);
        match request.tools.last_mut() {
            Some(last) if caps.cache_points => {
                cache.iter_mut().for_each(|mark| self.mark(mark));
                last.cache = cache;
            }
            Some(_) if cache.is_some() => self.dropped("tools.cache"),
            _ => {}
        }
        if !caps.strict_tools && request.tools.iter().any(|tool| tool.strict == Some(true)) {
            self.dropped("tools.strict");
        }
        self.strict(request);
        request.tools.iter_mut().for_each(|tool| self.parameters(&mut tool.parameters));
        for tool in &mut request.tools {
            tool.strict = tool.strict.filter(|_| caps.strict_tools);
            self.alias(&mut tool.name);
        }
        if let Some(ToolChoice::Tool(name)) = &mut request.tool_choice {
            self.alias(name);
        }
        if !caps.parallel_tool_calls && request.parallel_tool_calls.take() == Some(false) {
            self.dropped("parallel_tool_calls");
        }
        if !request.has_tools() {
            request.parallel_tool_calls = None;
        }
        Ok(())
    }

    /// Whether the model will be made to call a tool.
    pub(super) fn forces(&self, request: &ChatRequest) -> bool {
        let caps = self.caps;
        request.has_tools()
            && match request.tool_choice {
                Some(ToolChoice::Required) => !caps.tool_choice_required.is_empty(),
                Some(ToolChoice::Tool(_)) => caps.tool_choice_tool || !caps.tool_choice_required.is_empty(),
                _ => false,
            }
    }

    fn choice(&mut self, request: &mut ChatRequest) {
        let caps = self.caps;
        if !request.has_tools() {
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
    pub(super) fn alias(&mut self, name: &mut String) {
        let caps = self.caps;
        let good = |letter: char| {
            letter.is_ascii_alphanumeric()
                || matches!(letter, '_' | '-')
                || (caps.tool_name_rule == NameRule::Dotted && matches!(letter, '.' | ':'))
        };
        let any_first = caps.tool_name_rule == NameRule::Word;
        let Some(alias) = alias_of(name, caps.tool_name_chars, any_first, good) else { return };
        if self.back.names.insert(alias.clone(), name.clone()).is_none() {
            self.warnings.push(Warning::renamed("tools.name", format!("`{}` does not take `{name}`: `{alias}`", self.who)));
        }
        *name = alias;
    }
}

/// What stands in for a name that is refused; none where it is not. `any_first` says that it may begin with a digit or `-`.
pub(super) fn alias_of(name: &str, most_chars: usize, any_first: bool, good: impl Fn(char) -> bool) -> Option<String> {
    let begins = |name: &str| any_first || name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    if !name.is_empty() && name.len() <= most_chars && name.chars().all(&good) && begins(name) {
        return None;
    }
    let mut alias: String = name.chars().map(|letter| if good(letter) { letter } else { '_' }).collect();
    if !begins(&alias) {
        alias.insert(0, '_');
    }
    // The sum is of the whole name: two names that look alike when cut stay two.
    alias.truncate(most_chars.saturating_sub(9));
    Some(format!("{alias}_{}", &hash(name)[..8]))
}
