//! What of a conversation's earlier turns a model takes back, and where it takes instructions.

use super::Fit;
use crate::chat::{ChatRequest, Message, Part, Role, Warning, proof};
use crate::provider::capability::SystemPlace;

impl Fit<'_> {
    /// Leaves out proofs of other vendors' models, which are an error to this one, and thoughts that are nothing without them.
    pub(super) fn proofs(&mut self, request: &mut ChatRequest) {
        let (caps, who) = (self.caps, self.who);
        for message in &mut request.messages {
            message.parts.retain_mut(|part| {
                let thought = match part {
                    Part::Reasoning(thought) => thought,
                    Part::ToolCall(call) => {
                        if !caps.call_signatures && call.signature.take().is_some() {
                            self.warnings.push(Warning::dropped("tool_call.signature", format!("`{who}` does not take it back")));
                        }
                        return true;
                    }
                    _ => return true,
                };
                let mut is_strange = false;
                for proof in [&mut thought.signature, &mut thought.redacted] {
                    let Some(text) = proof else { continue };
                    let (vendor, bare) = proof::vendor_of(text);
                    is_strange |= vendor != caps.proofs;
                    *proof = (vendor == caps.proofs).then(|| bare.to_owned());
                }
                // Who needs no proof may take the text.
                let needs_none = caps.proofs.is_empty() || !caps.reasoning_field.is_empty();
                let is_kept = !is_strange || (needs_none && !thought.text.is_empty());
                if !is_kept {
                    self.warnings.push(Warning::dropped("reasoning", format!("`{who}` takes back no thoughts of other models")));
                }
                is_kept
            });
        }
        request.messages.retain(|message| !message.parts.is_empty());
    }

    /// Puts instructions in mid-conversation where the model takes them.
    pub(super) fn system(&mut self, request: &mut ChatRequest) {
        let (place, who) = (self.caps.system, self.who);
        let is_system = |message: &Message| message.role == Role::System;
        let leading = request.messages.iter().take_while(|message| is_system(message)).count();
        if place == SystemPlace::Anywhere || !request.messages[leading..].iter().any(is_system) {
            return;
        }
        let (mut placed, mut front, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_late = false;
        // They stand behind what was placed, where that is a user's turn, or in front.
        let mut settle = |placed: &mut Vec<Message>, held: &mut Vec<Part>| {
            if held.is_empty() {
                return;
            }
            let is_users = placed.last().is_some_and(|last| matches!(last.role, Role::User | Role::Tool));
            let to = if place == SystemPlace::BehindUser && is_users { placed } else { &mut front };
            to.push(Message { role: Role::System, parts: std::mem::take(held) });
        };
        for message in request.messages.drain(leading..) {
            match message.role {
                Role::System => held.extend(message.parts),
                Role::Assistant => {
                    settle(&mut placed, &mut held);
                    placed.push(message);
                }
                Role::User | Role::Tool => {
                    is_late |= !held.is_empty();
                    placed.push(message);
                }
            }
        }
        settle(&mut placed, &mut held);
        if !front.is_empty() {
            self.changed("messages", format!("`{who}` takes no instructions there: they stand in front of the conversation"));
        } else if is_late {
            self.changed(
                "messages",
                format!("`{who}` takes instructions behind what the user says: they stand behind the next of it"),
            );
        }
        request.messages.extend(front);
        request.messages.extend(placed);
    }

    /// Has the user say the last instructions where nobody says anything else, and the model is told instructions apart.
    pub(super) fn instructions_alone(&mut self, request: &mut ChatRequest) {
        if self.caps.system == SystemPlace::Anywhere || request.messages.iter().any(|message| message.role != Role::System) {
            return;
        }
        let Some(last) = request.messages.last_mut() else { return };
        last.role = Role::User;
        self.changed("messages", format!("`{}` takes no instructions alone: the last of them are what the user says", self.who));
    }
}
