//! The providers of one request, each asked in the best way that it has for the shape; a way that one refuses and another
//! gets round is not tried again in this process.
//!
//! With a shape, what is sent is written for each of them alone.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Answer, Attempt, Purpose};
use crate::app::App;
use crate::chat::{ChatRequest, ChatResponse, ResponseFormat, Tool, ToolChoice};
use crate::error::{Code, Error, Result};
use crate::prompt;
use crate::provider::capability::SchemaMode;
use crate::provider::{Dialect, Events, Provider, Walk};
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
    walk: Walk,
    /// As it was before the shape was added; of no use without one.
    plain: ChatRequest,
    /// As it is sent, where there is no shape to whoever was named.
    pub(super) request: ChatRequest,
    /// What was said before the sources were added: it may be quoted without a source.
    pub(super) said: Arc<str>,
    /// The text of the answer was told as it came: nothing of it can be taken back.
    pub(super) is_told: bool,
    shape: Option<Shape>,
    is_stream: bool,
    /// Why it is made now.
    pub(super) purpose: Purpose,
    pub(super) plan: Option<Plan>,
    /// What was left out of it for the one who is asked, where there is a shape.
    without: String,
    /// What the one who is asked refused of this request.
    refused: Vec<Rung>,
    /// Of these, what he may refuse of every request: learnt once another way has led to an answer.
    learnt: Vec<Rung>,
}

impl Call {
    /// Turns to the first who can be asked.
    pub(super) fn new(
        app: &App,
        links: Vec<(Provider, String)>,
        request: ChatRequest,
        shape: Option<&Shape>,
        is_stream: bool,
    ) -> Result<Self> {
        let mut call = Self {
            walk: Walk::new(links, &request.trace),
            plain: shape.map(|_| request.clone()).unwrap_or_default(),
            request,
            said: Arc::default(),
            is_told: false,
            shape: shape.cloned(),
            is_stream,
            purpose: Purpose::Answer,
            plan: None,
            without: String::new(),
            refused: Vec::new(),
            learnt: Vec::new(),
        };
        call.turn(app)?;
        Ok(call)
    }

    /// Asks and waits for the whole answer.
    pub(super) async fn chat(&mut self, app: &Arc<App>, answer: &mut Answer, deadline: Instant) -> Result<ChatResponse> {
        loop {
            let (request, without) = self.sent();
            let mut left = Left(Some(app));
            let outcome = self.walk.provider().chat(&self.walk.client(app.client()), &request, self.walk.until(deadline)).await;
            left.0 = None;
            self.note(app, answer);
            match outcome {
                Ok(mut response) => {
                    response.warnings.splice(0..0, self.walk.warning(&without));
                    self.answered(app, answer);
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
            let (request, without) = self.sent();
            let mut left = Left(Some(app));
            let outcome = self.walk.provider().stream(&self.walk.client(&client), &request, self.walk.until(deadline)).await;
            left.0 = None;
            self.note(app, answer);
            match outcome {
                Ok(events) => {
                    answer.warnings.extend(self.walk.warning(&without).map(|warning| warning.to_string()));
                    self.answered(app, answer);
                    return Ok(events);
                }
                Err(error) => self.descend(app, answer, error)?,
            }
        }
    }

    /// What is sent to the one who is asked, and what was left out of it.
    fn sent(&self) -> (Cow<'_, ChatRequest>, String) {
        match &self.shape {
            Some(_) => (Cow::Borrowed(&self.request), self.without.clone()),
            None => self.walk.request(&self.request),
        }
    }

    /// Says who answered.
    fn answered(&mut self, app: &App, answer: &mut Answer) {
        self.learn(app);
        self.walk.provider().name().clone_into(&mut answer.provider);
        self.walk.model().clone_into(&mut answer.model);
        // Of whoever was named it is said already.
        let retired = app.prices().retirement(&answer.provider, &answer.model, &crate::cost::today());
        if let Some(warning) = retired.filter(|warning| !answer.warnings.contains(warning)) {
            answer.warnings.push(warning);
        }
    }

    /// The text in which the model gave its answer.
    pub(super) fn text(&self, response: &ChatResponse) -> String {
        let is_tool = self.plan.as_ref().is_some_and(|plan| plan.rung == Rung::ForcedTool);
        let call = response.tool_calls().find(|call| is_tool && call.name == schema::TOOL);
        call.map_or_else(|| response.text(), |call| call.arguments.clone())
    }

    /// Takes the next way where the provider refused this one, else turns to the next provider.
    ///
    /// # Errors
    /// Nobody else would do better, or nobody is left: the first failure that the request was not to blame for.
    fn descend(&mut self, app: &App, answer: &mut Answer, error: Error) -> Result<()> {
        let text = error.message().to_lowercase();
        let rung = self.plan.as_ref().map_or(Rung::Prompt, |plan| plan.rung);
        if error.code() == Code::InvalidRequest && rung != Rung::Prompt && REFUSALS.iter().any(|word| text.contains(word)) {
            let name = self.walk.provider().name();
            tracing::warn!(provider = name, rung = rung.as_str(), "the provider refused this way of asking for a shape");
            answer.warnings.push(format!("`structured_output`: `{name}` refused `{}`; the next way was taken", rung.as_str()));
            self.refused.push(rung);
            if is_of_the_field(&text) {
                self.learnt.push(rung);
            }
            return self.choose(app).or_else(|error| self.walk.failed(error).and_then(|()| self.turn(app)));
        }
        self.walk.failed(error).and_then(|()| self.turn(app))
    }

    /// Writes down the exchanges with the one who is asked that failed.
    fn note(&self, app: &App, answer: &mut Answer) {
        for failed in self.request.trace.take_failed() {
            if failed.may_have_cost {
                app.prices().count_unknown();
            }
            answer.attempts.push(Attempt {
                provider: self.walk.provider().name().to_owned(),
                model: self.walk.model().to_owned(),
                purpose: self.purpose,
                usage: None,
                cost_usd: None,
                code: Some(failed.code),
                status: failed.status,
            });
        }
    }

    /// Turns to the next provider that can be asked for the shape.
    ///
    /// # Errors
    /// As [`Self::descend`].
    fn turn(&mut self, app: &App) -> Result<()> {
        while self.walk.advance() {
            self.refused.clear();
            self.learnt.clear();
            match self.choose(app) {
                Ok(()) => return Ok(()),
                Err(error) => self.walk.failed(error)?,
            }
        }
        Err(self.walk.error())
    }

    /// A refusal that another way did not get round was not about the way: it is not held against the model.
    fn learn(&mut self, app: &App) {
        for rung in self.learnt.drain(..) {
            app.refuse(self.walk.provider().name(), self.walk.model(), rung);
        }
    }

    fn choose(&mut self, app: &App) -> Result<()> {
        let Some(shape) = &self.shape else { return Ok(()) };
        let (provider, model) = (self.walk.provider(), self.walk.model());
        let means = means(provider, model, &self.plain, self.is_stream)?;
        let mut refused = app.refused(provider.name(), model);
        refused.extend(&self.refused);
        let plan = schema::plan(shape, &means, &refused)?;
        let (request, without) = self.walk.request(&self.plain);
        (self.request, self.without) = (request.into_owned(), without);
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

/// An exchange while somebody waits for it. What is left before its end may have to be paid for.
pub(crate) struct Left<'a>(pub(crate) Option<&'a App>);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(app) = self.0 {
            app.prices().count_unknown();
        }
    }
}

/// Whether a refusal, in lower case, is about the field and not about what stands in it.
fn is_of_the_field(text: &str) -> bool {
    OF_THE_FIELD.iter().any(|word| text.contains(word))
}

/// What the model can be asked by.
pub(super) fn means(provider: &Provider, model: &str, request: &ChatRequest, is_stream: bool) -> Result<Means> {
    let capabilities = provider.capabilities(model)?;
    let fits = (!request.has_tools() || capabilities.schema_with_tools) && (!is_stream || capabilities.schema_with_stream);
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
            && !request.has_tools(),
        json_object: capabilities.json_object && (!request.has_tools() || capabilities.schema_with_tools),
        subset,
        may_ignore: subset.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::{Effort, Message, Reasoning, Role};
    use crate::config::{Config, Endpoint, Secret};
    use crate::provider::capability::Rules;

    fn open(name: &str) -> Provider {
        let mut config = Config::default();
        config.aws.region = Some("us-east-1".into());
        config.providers.insert(name.into(), Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() });
        Provider::open(name, &config, &Arc::new(Rules::new(None).unwrap())).unwrap()
    }

    fn rung(name: &str, model: &str, effort: Effort) -> Rung {
        let provider = open(name);
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

    /// What providers take in strict tools is data of theirs, what they take in schemas is ours: both describe the same grammars.
    #[test]
    fn a_tool_stays_strict_where_its_schema_could_be_told_whole() {
        let object = |property: serde_json::Value| json!({"type": "object", "properties": {"a": property}, "required": ["a"], "additionalProperties": false});
        let schemas = [
            object(json!({"type": "string", "description": "d", "title": "t"})),
            object(json!({"type": "integer", "minimum": 1})),
            object(json!({"type": "number", "multipleOf": 2})),
            object(json!({"type": "string", "minLength": 1})),
            object(json!({"type": "string", "pattern": "a(?!b)"})),
            object(json!({"type": "string", "pattern": "a+"})),
            object(json!({"type": "string", "format": "uri"})),
            object(json!({"type": "string", "format": "ipv6"})),
            object(json!({"type": "string", "enum": ["a", "b"]})),
            object(json!({"type": "string", "const": "a"})),
            object(json!({"type": ["string", "null"]})),
            object(json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
            object(json!({"oneOf": [{"type": "string"}, {"type": "integer"}]})),
            object(json!({"type": "array", "items": {"type": "string"}, "minItems": 1})),
            object(json!({"type": "array", "items": {"type": "string"}, "minItems": 2})),
            object(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
            object(json!({"type": "array"})),
            object(json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]})),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "additionalProperties": false,
                "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "additionalProperties": false,
                "$defs": {"a": {"type": "string"}}}),
        ];
        for (name, model) in [
            ("openai", "gpt-5.4"),
            ("groq", "openai/gpt-oss-120b"),
            ("mistral", "mistral-large-latest"),
            ("anthropic", "claude-sonnet-4-6"),
            ("bedrock", "us.anthropic.claude-sonnet-4-6"),
        ] {
            let provider = open(name);
            let means = means(&provider, model, &ChatRequest::default(), false).unwrap();
            for schema in &schemas {
                let shape = Shape::from_response_format("answer", schema.clone(), true, "schema").unwrap();
                let is_whole = schema::plan(&shape, &means, &[]).is_ok_and(|plan| plan.holds_to(Some(schema)));
                let tool = Tool { name: "t".into(), parameters: schema.clone(), strict: Some(true), ..Tool::default() };
                let messages = vec![Message::text(Role::User, "hi")];
                let request = ChatRequest { model: model.into(), messages, tools: vec![tool], ..ChatRequest::default() };
                let written = provider.write(&request, false).unwrap();
                assert_eq!(
                    written.body.to_string().contains("\"strict\":true"),
                    is_whole,
                    "{name}: {schema} {:?}",
                    written.warnings
                );
            }
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
