//! How much a model is to think, and how it is to be sampled, as far as it can be told.

use super::Fit;
use crate::chat::{ChatRequest, Effort, Part, Reasoning, Role, Think, Thought, Warning};
use crate::error::{Error, Result};
use crate::provider::capability::ReasoningMode;
use crate::provider::turn::{Turn, turns};

impl Fit<'_> {
    /// Brings the wish for reasoning into the form of the model's mode; `Effort::None` means off.
    pub(super) fn reasoning(&mut self, request: &mut ChatRequest) {
        if request.extra_dialect == "openai" && request.extra.contains_key("thinking") {
            if self.caps.thinking_field {
                request.reasoning = None;
            } else if request.extra.shift_remove("thinking").is_some() && request.reasoning.is_none() {
                // In words that are no wish of ours.
                self.dropped("thinking");
            }
        }
        let effort = request.effort.take();
        if let Some(effort) = effort.filter(|_| !self.caps.takes_effort()) {
            self.instead_of_thinking(effort, &mut request.reasoning);
        }
        request.effort = effort.filter(|_| self.caps.takes_effort());
        self.thinking(request);
        let is_off = request.reasoning.is_some_and(|wish| wish.effort == Some(Effort::None));
        let known = if is_off && !self.caps.efforts_off.is_empty() { &self.caps.efforts_off } else { &self.caps.efforts };
        request.effort = request.effort.and_then(|effort| self.nearest(effort, known));
    }

    /// What becomes of an effort that is no wish to think, where the model knows none.
    fn instead_of_thinking(&mut self, effort: Effort, wish: &mut Option<Reasoning>) {
        let in_words = matches!(self.caps.reasoning, ReasoningMode::Effort | ReasoningMode::Level);
        match wish {
            None if in_words => *wish = Some(Reasoning { effort: Some(effort), ..Reasoning::default() }),
            Some(Reasoning { effort: said @ None, budget_tokens, .. })
                if in_words || (budget_tokens.is_none() && self.caps.reasoning != ReasoningMode::None) =>
            {
                *said = Some(effort);
            }
            _ => self.dropped("effort"),
        }
    }

    fn thinking(&mut self, request: &mut ChatRequest) {
        let mode = self.caps.reasoning;
        if let Some(why) = self.reasons_not(request) {
            self.warnings.push(Warning::dropped("reasoning", why));
            request.reasoning = self.off(Reasoning::default());
            return;
        }
        let Some(wish) = request.reasoning else { return };
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
                let is_adaptive = wish.think == Some(Think::Adaptive);
                let effort = wish.effort.or(request.effort.filter(|_| is_adaptive)).or(is_adaptive.then_some(Effort::High));
                let budget = wish.budget_tokens.or_else(|| effort.map(budget_of));
                if let Some(budget) = budget.filter(|_| is_adaptive) {
                    self.changed(
                        "reasoning",
                        format!("`{}` takes a budget in the place of adaptive thinking: {budget} tokens", self.who),
                    );
                }
                let most = Some(self.caps.most_tokens).filter(|most| *most > 0);
                let budget = budget.map(|budget| self.budget(budget, request.sampling.max_tokens.or(most)));
                budget.unwrap_or(Some(wish)).map(|fitted| Reasoning { show: wish.show, ..fitted })
            }
            ReasoningMode::Effort
            | ReasoningMode::Level
            | ReasoningMode::Adaptive
            | ReasoningMode::Always
            | ReasoningMode::BetweenTools => {
                // What is beside its thinking says how hard it thinks, too.
                let apart = request.effort;
                let effort = match (wish.effort.or(apart), wish.budget_tokens) {
                    (Some(effort), Some(_)) => {
                        let detail = format!("`{}` takes an effort in the place of a budget: `{}`", self.who, effort.as_str());
                        self.warnings.push(Warning::dropped("reasoning.budget_tokens", detail));
                        Some(effort)
                    }
                    (None, Some(budget)) => {
                        let effort = effort_of(budget);
                        let detail = format!("`{}` takes an effort in the place of a budget: `{}`", self.who, effort.as_str());
                        self.changed("reasoning.budget_tokens", detail);
                        Some(effort)
                    }
                    (effort, _) => effort,
                };
                if self.caps.takes_effort() {
                    request.effort = effort;
                    Some(Reasoning { effort: None, budget_tokens: None, ..wish })
                } else {
                    let effort = effort.or((wish.think == Some(Think::Adaptive)).then_some(Effort::High));
                    let effort = effort.and_then(|effort| self.nearest(effort, &self.caps.efforts));
                    Some(Reasoning { think: None, effort, budget_tokens: None, show: wish.show })
                }
            }
        };
        if !self.caps.shows_reasoning
            && let Some(wish) = &mut request.reasoning
            && wish.show.take().is_some()
        {
            self.dropped("reasoning.show");
            request.reasoning = request.reasoning.filter(|wish| *wish != Reasoning::default());
        }
    }

    /// Why the model would refuse to reason about this request. What was asked of its answer comes before how it gets there.
    fn reasons_not(&self, request: &ChatRequest) -> Option<String> {
        let (caps, who) = (self.caps, self.who);
        if !caps.reasons(request.reasoning) {
            return None;
        }
        if !caps.tools_while_reasoning && request.has_tools() {
            return Some(format!("`{who}` takes no tools while it reasons"));
        }
        if !caps.tool_choice_while_reasoning && self.forces(request) {
            return Some(format!("`{who}` cannot be made to call a tool while it reasons"));
        }
        (caps.needs_thoughts && lacks_thoughts(request)).then(|| {
            format!("`{who}` needs the thoughts that led to the last tool calls, and the conversation has none of its own")
        })
    }

    /// Reasoning that is not wanted.
    fn off(&mut self, wish: Reasoning) -> Option<Reasoning> {
        let mode = self.caps.reasoning;
        let needs_word = matches!(mode, ReasoningMode::Effort | ReasoningMode::Level);
        let is_between = wish.think == Some(Think::BetweenTools);
        match mode {
            ReasoningMode::BetweenTools => {
                if !is_between {
                    self.changed("reasoning.effort", format!("`{}` cannot be told not to think: `between_tools`", self.who));
                }
                return Some(Reasoning { think: Some(Think::BetweenTools), effort: Some(Effort::None), ..Reasoning::default() });
            }
            _ if is_between => {
                self.changed("reasoning", format!("`{}` does not know `between_tools`: it is told not to think", self.who));
            }
            _ => {}
        }
        match mode {
            ReasoningMode::Always => {
                self.changed("reasoning.effort", format!("`{}` always reasons", self.who));
                None
            }
            _ if needs_word && !self.caps.efforts.contains(&Effort::None) => {
                if !self.caps.reasons_by_default {
                    return None;
                }
                Some(Reasoning { think: None, effort: self.nearest(Effort::None, &self.caps.efforts), ..wish })
            }
            ReasoningMode::Budget if !self.caps.reasoning_off => {
                let least = self.caps.least_budget;
                self.changed("reasoning.effort", format!("`{}` always reasons: {least} tokens", self.who));
                Some(Reasoning { budget_tokens: Some(least), show: wish.show, ..Reasoning::default() })
            }
            _ => Some(Reasoning { effort: Some(Effort::None), ..Reasoning::default() }),
        }
    }

    /// A budget that leaves room for the answer.
    fn budget(&mut self, budget: u32, max_tokens: Option<u32>) -> Option<Reasoning> {
        let least = self.caps.least_budget;
        let mut fitted = budget.max(least);
        if let Some(most) = max_tokens
            && fitted >= most
        {
            if most <= least {
                let detail = format!("{most} tokens leave no room for the least budget of {least}");
                self.warnings.push(Warning::dropped("reasoning", detail));
                return None;
            }
            fitted = most - most.div_ceil(4).min(most - least);
        }
        if fitted != budget {
            self.changed("reasoning.budget_tokens", format!("{fitted} tokens in the place of {budget}"));
        }
        Some(Reasoning { budget_tokens: Some(fitted), ..Reasoning::default() })
    }

    /// The closest effort that the model knows; between two, the higher one. No wish to reason becomes `none`: where the model
    /// knows no other word, it is told nothing.
    fn nearest(&mut self, effort: Effort, known: &[Effort]) -> Option<Effort> {
        if known.is_empty() || known.contains(&effort) {
            return Some(effort);
        }
        let (who, asked) = (self.who, effort.as_str());
        let mut higher = known.iter().filter(|known| **known > Effort::None);
        let found = higher.clone().find(|known| **known > effort).or(higher.next_back()).copied();
        match found {
            Some(found) => self.changed("reasoning.effort", format!("`{who}` does not know `{asked}`: `{}`", found.as_str())),
            None => {
                self.warnings.push(Warning::dropped("reasoning.effort", format!("`{who}` cannot be told how hard to reason")));
            }
        }
        found
    }

    pub(super) fn sampling(&mut self, request: &mut ChatRequest) -> Result<()> {
        let caps = self.caps;
        let reasons = caps.reasons(request.reasoning);
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
        if caps.stop_sequences == 0 && !std::mem::take(&mut sampling.stop_sequences).is_empty() {
            self.dropped("stop_sequences");
        }
        if sampling.stop_sequences.len() > caps.stop_sequences {
            let (count, most) = (sampling.stop_sequences.len(), caps.stop_sequences);
            return Err(Error::bad_request(format!("`stop_sequences`: {count} texts, but `{}` takes at most {most}", self.who)));
        }
        if sampling.max_tokens.is_none() {
            let thinking = if reasons { thinking_tokens(request.reasoning, request.effort) } else { 0 };
            let most = if caps.most_tokens > 0 { caps.most_tokens } else { u32::MAX };
            sampling.max_tokens = match sampling.answer_tokens.take() {
                Some(answer) => Some(answer.saturating_add(thinking).min(most)),
                None if caps.default_max_tokens == 0 => None,
                None if caps.most_tokens > 0 => Some(most),
                None => {
                    let bound = caps.default_max_tokens.saturating_add(thinking);
                    self.changed("max_tokens", format!("`{}` needs a bound: {bound} tokens", self.who));
                    Some(bound)
                }
            };
        }
        if let Some(wanted) = sampling.max_tokens.filter(|wanted| caps.most_tokens > 0 && *wanted > caps.most_tokens) {
            sampling.max_tokens = Some(caps.most_tokens);
            self.changed("max_tokens", format!("{wanted} is over the {} that `{}` writes", caps.most_tokens, self.who));
        }
        Ok(())
    }
}

/// Whether tools answer calls that come without a thought. Calls and answers up to the last thing that a person said are one turn
/// of the model's, which has its thoughts where it began.
fn lacks_thoughts(request: &ChatRequest) -> bool {
    let turns = turns(request);
    let answers = |turn: &Turn<'_>| turn.parts.iter().any(|part| matches!(part, Part::ToolResult(_)));
    let thinks = |turn: &Turn<'_>| {
        let is_proven = |thought: &Thought| thought.signature.is_some() || thought.redacted.is_some();
        turn.parts.iter().any(|part| matches!(part, Part::Reasoning(thought) if is_proven(thought)))
    };
    let mut open = turns.iter().rev().take_while(|turn| turn.role == Role::Assistant || answers(turn));
    turns.last().is_some_and(answers) && !open.any(thinks)
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

/// Tokens that an answer is given for thinking, on top of what was asked for.
fn thinking_tokens(wish: Option<Reasoning>, effort: Option<Effort>) -> u32 {
    let wish = wish.unwrap_or_default();
    wish.budget_tokens.unwrap_or_else(|| budget_of(wish.effort.or(effort).unwrap_or(Effort::Medium)))
}

fn effort_of(budget: u32) -> Effort {
    Effort::ALL.into_iter().find(|effort| budget_of(*effort) >= budget).unwrap_or(Effort::Max)
}
