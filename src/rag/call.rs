//! The providers of one request, each asked in the best way that it has for the shape. A way that a provider refused where another
//! way then worked is not tried again in this process.
//!
//! With a shape, the request is written anew for each provider.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Attempt, Step};
use super::charge::Exchange;
use super::means::{is_of_the_field, is_of_the_way, means};
use crate::app::App;
use crate::chat::{ChatRequest, ChatResponse, ResponseFormat, Tool, ToolChoice};
use crate::error::{Code, Error, Result};
use crate::prompt;
use crate::provider::{Events, Provider, Walk};
use crate::schema::{self, Plan, Rung, Shape};

/// The least time for what is left to do behind an answer that is paid for.
const BEHIND: Duration = Duration::from_secs(5);

/// A request on its way.
pub(super) struct Call {
    walk: Walk,
    /// As it was before the shape was added; of no use without one.
    plain: ChatRequest,
    /// What is sent: with a shape, to the provider that is asked now; without one, to the first, and made to fit the others.
    pub(super) request: ChatRequest,
    /// What was said before the sources were added: it may be quoted without a source.
    pub(super) said: Arc<str>,
    /// When whoever asks stops waiting, where that is known.
    pub(super) end: Option<Instant>,
    /// The text of the answer was told as it came: nothing of it can be taken back.
    pub(super) is_told: bool,
    shape: Option<Shape>,
    is_stream: bool,
    /// Why it is made now.
    pub(super) purpose: Step,
    pub(super) plan: Option<Plan>,
    /// With a shape: what was left out of the request for the provider that is asked now.
    without: String,
    /// The ways of asking that this provider refused for this request.
    refused: Vec<Rung>,
    /// Of these, the ways that it may refuse for every request: learnt once another way has led to an answer.
    learnt: Vec<Rung>,
}

impl Call {
    /// Turns to the first provider that can be asked.
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
            end: None,
            is_told: false,
            shape: shape.cloned(),
            is_stream,
            purpose: Step::Answer,
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
            let exchange = Exchange::begin(app);
            let outcome = self.walk.provider().chat(&self.walk.client(app.client()), &request, self.walk.until(deadline)).await;
            self.note(exchange, answer);
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

    /// Asks and waits for the first word, which comes by `deadline`.
    pub(super) async fn stream(&mut self, app: &Arc<App>, answer: &mut Answer, deadline: Instant) -> Result<Events> {
        let client = app.client().ending(self.end);
        loop {
            let (request, without) = self.sent();
            let exchange = Exchange::begin(app);
            let outcome = self.walk.provider().stream(&self.walk.client(&client), &request, self.walk.until(deadline)).await;
            self.note(exchange, answer);
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

    /// `deadline`, or a little later where an answer used it up, but not behind the time when nobody waits any longer.
    pub(super) fn late(&self, deadline: Instant) -> Instant {
        let late = deadline.max(Instant::now() + BEHIND);
        self.end.map_or(late, |end| late.min(end))
    }

    /// What is sent to the provider that is asked now, and what was left out of it.
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
        // Of the provider that was named first it is said already.
        let retired = app.prices().retirement(&answer.provider, &answer.model);
        if let Some(warning) = retired.filter(|warning| !answer.warnings.contains(warning)) {
            answer.warnings.push(warning);
        }
    }

    /// The text in which the model gave its answer.
    pub(super) fn text(&self, response: &ChatResponse) -> String {
        let call = response.tool_calls().find(|call| self.is_answer(&call.name));
        call.map_or_else(|| response.text(), |call| call.arguments.clone())
    }

    /// How the shape is asked for; without a shape, the way that needs nothing of the provider.
    pub(super) fn rung(&self) -> Rung {
        self.plan.as_ref().map_or(Rung::Prompt, |plan| plan.rung)
    }

    /// Whether a call of the tool of this name is the shaped answer.
    pub(super) fn is_answer(&self, tool: &str) -> bool {
        tool == schema::TOOL && self.rung() == Rung::ForcedTool
    }

    /// Whether the shaped answer stands in an object made for it.
    pub(super) fn is_wrapped(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.is_wrapped)
    }

    /// Takes the next way where the provider refused this one, else turns to the next provider.
    ///
    /// # Errors
    /// No other provider would do better, or none is left: the first failure that was not the request's fault.
    fn descend(&mut self, app: &App, answer: &mut Answer, error: Error) -> Result<()> {
        let text = error.message().to_lowercase();
        let rung = self.rung();
        if error.code() == Code::InvalidRequest && rung != Rung::Prompt && is_of_the_way(&text) {
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

    /// Writes down what failed of an exchange with the provider that is asked now.
    fn note(&self, exchange: Exchange<'_>, answer: &mut Answer) {
        answer.attempts.extend(exchange.end(&self.request.trace).into_iter().map(|failed| Attempt {
            provider: self.walk.provider().name().to_owned(),
            model: self.walk.model().to_owned(),
            purpose: self.purpose,
            usage: None,
            cost_usd: None,
            code: Some(failed.code),
            status: failed.status,
        }));
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

    /// Remembers which ways the model refuses, once another way has led to an answer. Where none has, the refusal was not about the
    /// way.
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
