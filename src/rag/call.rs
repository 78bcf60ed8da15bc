//! The providers of one request, each asked in the best way that it has for the shape; a way that one refuses and another
//! gets round is not tried again in this process.
//!
//! Without a shape the whole chain is walked at once. With one, each provider is a chain of its own, because what is sent is written
//! for it alone.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Answer, Attempt, Purpose};
use crate::app::App;
use crate::chat::{ChatRequest, ChatResponse, ResponseFormat, Tool, ToolChoice};
use crate::error::{Code, Error, Result};
use crate::prompt;
use crate::provider::capability::SchemaMode;
use crate::provider::{Chain, Dialect, Events, Provider, Served, ends, hand_over, is_mistake, shared};
use crate::schema::{self, Means, Plan, Rung, Shape};

/// Words of a refusal that is about the way of asking.
const REFUSALS: [&str; 12] = [
    "extra inputs are not permitted",
    "forced tool",
    "grammar",
    "json_schema",
    "output_config",
    "outputconfig",
    "response_format",
    "responseschema",
    "response_schema",
    "schema",
    "too complex",
    "tool_choice",
];

/// Words of one that is about the field itself, whatever stands in it: only these hold for every request. Most refusals name the field and
/// are about one schema.
const OF_THE_FIELD: [&str; 14] = [
    "cannot find field",
    "does not support",
    "doesn't support",
    "extra fields not permitted",
    "extra inputs are not permitted",
    "extraneous key",
    "forced tool",
    "not supported by this model",
    "not supported for this model",
    "not supported with this model",
    "tool_choice",
    "unknown field",
    "unknown parameter",
    "unrecognized request argument",
];

/// A request on its way.
pub(super) struct Call {
    chain: Chain,
    link: Link,
    /// Who is asked next, where a shape makes each a chain of its own.
    left: VecDeque<Link>,
    /// As it was before the shape was added; of no use without one.
    plain: ChatRequest,
    /// As it is sent.
    pub(super) request: ChatRequest,
    /// What was said before the sources were added: it may be quoted without a source.
    pub(super) said: Arc<str>,
    /// The text of the answer was told as it came: nothing of it can be taken back.
    pub(super) is_told: bool,
    shape: Option<Shape>,
    is_stream: bool,
    pub(super) plan: Option<Plan>,
    /// What was left out of it for the one who is asked.
    without: String,
    /// What the one who is asked refused of this request.
    refused: Vec<Rung>,
    /// Of these, what he may refuse of every request: learnt once another way has led to an answer.
    learnt: Vec<Rung>,
    /// The first failure that the request was not to blame for.
    failure: Option<Error>,
}

/// Who is asked.
struct Link {
    provider: Provider,
    model: String,
    /// Whether another was named first.
    stands_in: bool,
    /// Whether that one is another provider.
    is_stranger: bool,
}

impl Call {
    /// Chooses the way.
    pub(super) fn new(
        app: &App,
        links: Vec<(Provider, String)>,
        request: ChatRequest,
        shape: Option<&Shape>,
        is_stream: bool,
    ) -> Result<Self> {
        let named = links.first().map(|(provider, _)| provider.name().to_owned()).unwrap_or_default();
        let ranked = links.into_iter().enumerate();
        let link = |(rank, (provider, model)): (usize, (Provider, String))| {
            let is_stranger = provider.name() != named;
            Link { provider, model, stands_in: rank > 0, is_stranger }
        };
        // Chains know themselves who is to be left alone for a while.
        let (mut left, cooling): (VecDeque<Link>, VecDeque<Link>) =
            ranked.map(link).partition(|link| shape.is_none() || !link.provider.is_cooling());
        left.extend(cooling);
        let Some(link) = left.pop_front() else { return Err(Error::internal("no provider was named")) };
        let others = if shape.is_some() { VecDeque::new() } else { std::mem::take(&mut left) };
        let others = others.into_iter().map(|link| (link.provider, link.model)).collect();
        let mut call = Self {
            chain: Chain::new(link.provider.clone(), link.model.clone(), others),
            link,
            left,
            plain: shape.map(|_| request.clone()).unwrap_or_default(),
            request,
            said: Arc::default(),
            is_told: false,
            shape: shape.cloned(),
            is_stream,
            plan: None,
            without: String::new(),
            refused: Vec::new(),
            learnt: Vec::new(),
            failure: None,
        };
        call.choose(app).or_else(|error| call.pass_on(app, error))?;
        Ok(call)
    }

    /// Asks and waits for the whole answer.
    pub(super) async fn chat(&mut self, app: &Arc<App>, answer: &mut Answer, deadline: Instant) -> Result<ChatResponse> {
        loop {
            match self.chain.chat(app.client(), &self.request, self.until(deadline)).await {
                Ok((response, served)) => {
                    self.learn(app);
                    note(answer, served);
                    return Ok(response);
                }
                Err(error) => self.descend(app, answer, error)?,
            }
        }
    }

    /// Asks and waits for the first word, which comes by `deadline`; the last one comes by `end`.
    pub(super) async fn stream(
        &mut self,
        app: &Arc<App>,
        answer: &mut Answer,
        (deadline, end): (Instant, Option<Instant>),
    ) -> Result<Events> {
        let client = app.client().ending(end);
        loop {
            match self.chain.stream(&client, &self.request, self.until(deadline)).await {
                Ok((events, served, warning)) => {
                    self.learn(app);
                    note(answer, served);
                    answer.warnings.extend(warning.map(|warning| warning.to_string()));
                    return Ok(events);
                }
                Err(error) => self.descend(app, answer, error)?,
            }
        }
    }

    /// Who answers in the place of the one who was named, because that one keeps failing.
    pub(super) fn stand_in(&self) -> Option<String> {
        self.link.stands_in.then(|| self.answers())
    }

    fn answers(&self) -> String {
        format!("`{}/{}` answers{}", self.link.provider.name(), self.link.model, self.without)
    }

    /// Until when the one who is asked may take.
    fn until(&self, deadline: Instant) -> Instant {
        if self.left.is_empty() { deadline } else { shared(Instant::now(), deadline) }
    }

    /// The text in which the model gave its answer.
    pub(super) fn text(&self, response: &ChatResponse) -> String {
        let is_tool = self.plan.as_ref().is_some_and(|plan| plan.rung == Rung::ForcedTool);
        let call = response.tool_calls().find(|call| is_tool && call.name == schema::TOOL);
        call.map_or_else(|| response.text(), |call| call.arguments.clone())
    }

    /// Takes the next way where the provider refused this one, or the next provider; any other failure is the caller's.
    fn descend(&mut self, app: &App, answer: &mut Answer, error: Error) -> Result<()> {
        let Some(plan) = &self.plan else { return Err(error) };
        let text = error.message().to_lowercase();
        let name = self.link.provider.name().to_owned();
        if error.code() == Code::InvalidRequest && plan.rung != Rung::Prompt && REFUSALS.iter().any(|word| text.contains(word)) {
            let rung = plan.rung;
            tracing::warn!(provider = name, rung = rung.as_str(), "the provider refused this way of asking for a shape");
            answer.warnings.push(format!("`structured_output`: `{name}` refused `{}`; the next way was taken", rung.as_str()));
            self.refused.push(rung);
            if is_of_the_field(&text) {
                self.learnt.push(rung);
            }
            return self.choose(app).or_else(|error| self.pass_on(app, error));
        }
        let code = error.code().as_str();
        answer.attempts.push(Attempt {
            provider: name.clone(),
            model: self.link.model.clone(),
            purpose: Purpose::Answer,
            usage: None,
            cost_usd: None,
            code: Some(code),
        });
        self.pass_on(app, error)?;
        answer.warnings.push(format!("`{name}` failed ({code}): {}", self.answers()));
        Ok(())
    }

    /// Turns to the next provider that can be asked for the shape.
    ///
    /// # Errors
    /// Nobody else would do better, or nobody is left: the first failure that the request was not to blame for.
    fn pass_on(&mut self, app: &App, mut error: Error) -> Result<()> {
        loop {
            if ends(error.code(), self.link.stands_in) {
                return Err(error);
            }
            let Some(next) = self.left.pop_front() else { return Err(self.failure.take().unwrap_or(error)) };
            tracing::warn!(provider = self.link.provider.name(), code = error.code().as_str(), "asking the next provider");
            if !is_mistake(error.code()) {
                self.failure.get_or_insert(error.passing());
            }
            self.chain = Chain::new(next.provider.clone(), next.model.clone(), Vec::new());
            self.link = next;
            self.refused.clear();
            self.learnt.clear();
            match self.choose(app) {
                Ok(()) => return Ok(()),
                Err(cannot) => error = cannot,
            }
        }
    }

    /// A refusal that another way did not get round was not about the way: it is not held against the model.
    fn learn(&mut self, app: &App) {
        for rung in self.learnt.drain(..) {
            app.refuse(self.link.provider.name(), &self.link.model, rung);
        }
    }

    fn choose(&mut self, app: &App) -> Result<()> {
        let Some(shape) = &self.shape else { return Ok(()) };
        let Link { provider, model, .. } = &self.link;
        let means = means(provider, model, &self.plain, self.is_stream)?;
        let mut refused = app.refused(provider.name(), model);
        refused.extend(&self.refused);
        let plan = schema::plan(shape, &means, &refused)?;
        self.request = self.plain.clone();
        self.without = if self.link.stands_in { hand_over(&mut self.request, self.link.is_stranger) } else { String::new() };
        self.request.response_format = match plan.rung {
            Rung::Native => ResponseFormat::JsonSchema {
                name: shape.name.clone(),
                description: None,
                schema: plan.schema.clone().unwrap_or_default(),
                strict: Some(plan.strict),
            },
            Rung::JsonMode => ResponseFormat::JsonObject,
            Rung::ForcedTool | Rung::Prompt => ResponseFormat::Text,
        };
        if plan.rung == Rung::ForcedTool {
            self.request.tools = vec![Tool {
                name: schema::TOOL.into(),
                description: Some("Gives the answer. Call it exactly once.".into()),
                parameters: plan.schema.clone().unwrap_or_default(),
                ..Tool::default()
            }];
            self.request.tool_choice = Some(ToolChoice::Tool(schema::TOOL.into()));
        }
        if let Some(instructions) = &plan.instructions {
            prompt::instruct(&mut self.request, instructions);
        }
        self.plan = Some(plan);
        Ok(())
    }
}

/// Whether a refusal, in lower case, is about the field and not about what stands in it.
fn is_of_the_field(text: &str) -> bool {
    OF_THE_FIELD.iter().any(|word| text.contains(word))
}

/// What the model can be asked by.
pub(super) fn means(provider: &Provider, model: &str, request: &ChatRequest, is_stream: bool) -> Result<Means> {
    let capabilities = provider.capabilities(model)?;
    let fits = (request.tools.is_empty() || capabilities.schema_with_tools) && (!is_stream || capabilities.schema_with_stream);
    let known = schema::subset(provider.name(), model).or_else(|| schema::subset(provider.like(), model));
    let subset = known.or_else(|| match provider.dialect() {
        Dialect::OpenAi => None,
        dialect => schema::subset(dialect.as_str(), model),
    });
    Ok(Means {
        native: capabilities.schema == SchemaMode::Native && fits,
        forced_tool: capabilities.tools
            && capabilities.tool_choice_tool
            && (!capabilities.reasons(request.reasoning)
                || (capabilities.tool_choice_while_reasoning && capabilities.tools_while_reasoning))
            && request.tools.is_empty(),
        json_object: capabilities.json_object && (request.tools.is_empty() || capabilities.schema_with_tools),
        subset,
        may_ignore: subset.is_none(),
    })
}

/// Who answered, and who failed before.
fn note(answer: &mut Answer, served: Served) {
    answer.attempts.extend(served.attempts.into_iter().filter(|attempt| attempt.code.is_some()).map(|attempt| Attempt {
        provider: attempt.provider,
        model: attempt.model,
        purpose: Purpose::Answer,
        usage: None,
        cost_usd: None,
        code: attempt.code,
    }));
    answer.provider = served.provider;
    answer.model = served.model;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::{Effort, Message, Reasoning, Role};
    use crate::config::{Config, Endpoint, Secret};
    use crate::provider::capability::Rules;

    fn rung(name: &str, model: &str, effort: Effort) -> Rung {
        let mut config = Config::default();
        config.aws.region = Some("us-east-1".into());
        config.providers.insert(name.into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        let provider = Provider::open(name, &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        let request = ChatRequest {
            messages: vec![Message::text(Role::User, "hi")],
            reasoning: Some(Reasoning { effort: Some(effort), ..Reasoning::default() }),
            ..ChatRequest::default()
        };
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
        let shape = Shape::from_response_format("answer", schema, true, "schema").unwrap();
        schema::plan(&shape, &means(&provider, model, &request, false).unwrap(), &[]).unwrap().rung
    }

    #[test]
    fn only_refusals_of_the_field_itself_are_learnt() {
        for (text, is_learnt) in [
            ("output_config: Extra inputs are not permitted", true),
            ("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", true),
            ("This model does not support response format `json_schema`.", true),
            (
                "Invalid JSON payload received. Unknown name \"responseJsonSchema\" at 'generation_config': Cannot find field.",
                true,
            ),
            ("Unknown parameter: 'response_format'.", true),
            ("tool_choice: this model takes `auto` only", true),
            ("The specified schema produces a constraint that has too many states for serving.", false),
            ("output_config.format.schema: unsupported quantifier in `pattern`", false),
            ("output_config.format.schema: For 'object' type, 'patternProperties' is not supported", false),
            ("invalid request: invalid JSON schema in response_format", false),
            ("Invalid 'response_format.json_schema.schema': 'oneOf' is not permitted.", false),
            ("Invalid schema for response_format 'answer': In context=(), 'required' is missing.", false),
            ("The compiled grammar is too large", false),
        ] {
            let text = text.to_lowercase();
            assert!(REFUSALS.iter().any(|word| text.contains(word)), "{text}");
            assert_eq!(is_of_the_field(&text), is_learnt, "{text}");
        }
    }

    #[test]
    fn a_json_mode_that_goes_with_no_tools_is_none_beside_them() {
        let mut config = Config::default();
        config.providers.insert("groq".into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        let provider = Provider::open("groq", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        for (tools, has_json_mode) in [(vec![], true), (vec![Tool::default()], false)] {
            let request = ChatRequest { tools, ..ChatRequest::default() };
            let means = means(&provider, "llama-3.3-70b-versatile", &request, false).unwrap();
            assert_eq!(means.json_object, has_json_mode);
        }
    }

    #[test]
    fn a_row_of_the_operators_is_told_what_the_one_that_it_is_like_takes() {
        let like = Some("openai".into());
        let mut config = Config::default();
        config.providers.insert("ours".into(), Endpoint { api_key: Some(Secret::new("k")), like, ..Endpoint::default() });
        let provider = Provider::open("ours", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        let means = means(&provider, "gpt-5.4", &ChatRequest::default(), false).unwrap();
        assert_eq!(means.subset.map(|subset| subset.name), Some("openai"));
    }

    #[test]
    fn a_model_that_takes_no_tools_while_it_reasons_is_not_asked_by_one() {
        let mut config = Config::default();
        config.providers.insert("openai".into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        let provider = Provider::open("openai", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        for (model, effort, by_tool) in [
            ("gpt-5.6-sol", None, false),
            ("gpt-5.6-sol", Some(Effort::None), true),
            ("gpt-5.4", None, true),
            ("gpt-5.4", Some(Effort::Low), false),
        ] {
            let reasoning = effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() });
            let request = ChatRequest { reasoning, ..ChatRequest::default() };
            assert_eq!(means(&provider, model, &request, false).unwrap().forced_tool, by_tool, "{model} {effort:?}");
        }
    }

    #[test]
    fn a_model_that_reasons_is_not_asked_by_a_tool_that_it_must_call_where_it_would_refuse() {
        for (name, model, when_reasoning) in [
            ("anthropic", "claude-opus-4-1", Rung::Prompt),
            ("anthropic", "claude-3-7-sonnet-20250219", Rung::Prompt),
            ("anthropic", "claude-sonnet-4-5", Rung::Native),
            ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", Rung::Prompt),
            ("bedrock", "us.anthropic.claude-opus-4-7-v1:0", Rung::Prompt),
            ("anthropic-bedrock", "anthropic.claude-sonnet-4-6", Rung::Prompt),
        ] {
            assert_eq!(rung(name, model, Effort::Low), when_reasoning, "{model}");
            let otherwise = if when_reasoning == Rung::Native { Rung::Native } else { Rung::ForcedTool };
            assert_eq!(rung(name, model, Effort::None), otherwise, "{model}");
        }
    }
}
