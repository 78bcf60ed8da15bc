//! One provider, asked in the best way that it has for the shape; a way that it refuses is not tried again in this process.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::Answer;
use crate::app::App;
use crate::chat::{ChatEvent, ChatRequest, ChatResponse, ResponseFormat, Tool, ToolChoice};
use crate::error::{Code, Error, Result};
use crate::prompt;
use crate::provider::Provider;
use crate::schema::{self, Means, Plan, Rung, Shape};

/// What a provider's answer comes as.
pub(super) type Events = BoxStream<'static, Result<ChatEvent>>;

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

/// A request on its way to one provider.
pub(super) struct Call {
    pub(super) provider: Provider,
    /// As it was before the shape was added.
    plain: ChatRequest,
    /// As it is sent.
    pub(super) request: ChatRequest,
    shape: Option<Shape>,
    pub(super) plan: Option<Plan>,
}

impl Call {
    /// Chooses the way.
    pub(super) fn new(app: &App, provider: Provider, plain: ChatRequest, shape: Option<&Shape>) -> Result<Self> {
        let mut call = Self { provider, request: plain.clone(), plain, shape: shape.cloned(), plan: None };
        call.choose(app)?;
        Ok(call)
    }

    /// Asks and waits for the whole answer.
    pub(super) async fn chat(&mut self, app: &Arc<App>, answer: &mut Answer, deadline: Instant) -> Result<ChatResponse> {
        loop {
            let started = Instant::now();
            match self.provider.chat(app.client(), &self.request, deadline).await {
                Ok(response) => {
                    app.observe(self.provider.name(), started.elapsed());
                    return Ok(response);
                }
                Err(error) => self.descend(app, answer, error)?,
            }
        }
    }

    /// Asks and waits for the first word.
    pub(super) async fn stream(&mut self, app: &Arc<App>, answer: &mut Answer, deadline: Instant) -> Result<Events> {
        loop {
            let started = Instant::now();
            match self.open(app, deadline).await {
                Ok(events) => {
                    app.observe(self.provider.name(), started.elapsed());
                    return Ok(events);
                }
                Err(error) => self.descend(app, answer, error)?,
            }
        }
    }

    /// The text in which the model gave its answer.
    pub(super) fn text(&self, response: &ChatResponse) -> String {
        let is_tool = self.plan.as_ref().is_some_and(|plan| plan.rung == Rung::ForcedTool);
        let call = response.tool_calls().find(|call| is_tool && call.name == schema::TOOL);
        call.map_or_else(|| response.text(), |call| call.arguments.clone())
    }

    /// Opens the provider's stream and waits for its first word or its end.
    async fn open(&self, app: &App, deadline: Instant) -> Result<Events> {
        let mut events = self.provider.stream(app.client(), &self.request, deadline).await?.boxed();
        let mut first = Vec::new();
        loop {
            let late = || {
                Error::new(Code::Timeout, "the provider did not begin to answer in time")
                    .from_provider(self.provider.name(), &self.request.model)
            };
            let Some(event) = timeout_at(deadline, events.next()).await.map_err(|_| late())? else { break };
            first.push(event?);
            let waits = matches!(
                first.last(),
                Some(ChatEvent::Start { .. } | ChatEvent::Warning(_) | ChatEvent::Usage(_) | ChatEvent::Extra(..))
            );
            if !waits {
                break;
            }
        }
        Ok(stream::iter(first.into_iter().map(Ok)).chain(events).boxed())
    }

    /// Takes the next way where the provider refused this one; any other failure is the caller's.
    fn descend(&mut self, app: &App, answer: &mut Answer, error: Error) -> Result<()> {
        let Some(plan) = self.plan.as_ref().filter(|plan| plan.rung != Rung::Prompt) else { return Err(error) };
        let text = error.message().to_lowercase();
        if error.code() != Code::InvalidRequest || !REFUSALS.iter().any(|word| text.contains(word)) {
            return Err(error);
        }
        let rung = plan.rung;
        tracing::warn!(
            provider = self.provider.name(),
            rung = rung.as_str(),
            "the provider refused this way of asking for a shape"
        );
        answer.warnings.push(format!("`structured_output`: the provider refused `{}`; the next way was taken", rung.as_str()));
        app.refuse(self.provider.name(), &self.plain.model, rung);
        self.choose(app)
    }

    fn choose(&mut self, app: &App) -> Result<()> {
        let Some(shape) = &self.shape else { return Ok(()) };
        let means = means(&self.provider, &self.plain);
        let plan = schema::plan(shape, &means, &app.refused(self.provider.name(), &self.plain.model))?;
        self.request = self.plain.clone();
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

/// What the model can be asked by.
fn means(provider: &Provider, request: &ChatRequest) -> Means {
    let is_known = provider.name() != "custom";
    Means {
        native: true,
        forced_tool: request.tools.is_empty() && is_known,
        json_object: true,
        subset: schema::subset(provider.name(), &request.model),
        may_ignore: !is_known,
    }
}
