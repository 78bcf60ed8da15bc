//! Thoughts, which copies of the dialect tell in up to three places at once: as text in `reasoning_content` or `reasoning`, and
//! with their proofs in `reasoning_details`. What stands in several is told once, and nothing is lost that stands in one.

use serde_json::{Value, json};

use super::answer::raw;
use crate::chat::{ChatEvent, holds, proof, untold};
use crate::provider::state::push_text;

/// Reads the thoughts of a message, or of its pieces.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    /// Told as text alone: its proof may still come, with the text once more.
    told: String,
    /// How much of it came once more.
    proved: usize,
    /// What Mistral thought about, so far: a thought that is told piece by piece is one around them.
    references: Vec<ChatEvent>,
}

impl Thoughts {
    /// Reads a message, or the next piece of one.
    pub(super) fn read(&mut self, message: &Value, events: &mut Vec<ChatEvent>) {
        let texts = ["reasoning_content", "reasoning"].map(|name| message[name].as_str().unwrap_or_default());
        let details = message["reasoning_details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let detailed: String = details.iter().map(words).collect();
        // What the details say is told by them: they have the proofs.
        let mut is_known = false;
        for text in untold(texts, &detailed) {
            push_text(text, events, ChatEvent::Reasoning);
            self.told.push_str(text);
            is_known |= !detailed.is_empty() && holds(text, &detailed);
        }
        for detail in details {
            let words = words(detail);
            if !self.is_told(words) && !is_known {
                push_text(words, events, ChatEvent::Reasoning);
            }
            // Servers of this dialect serve any vendor's models and take no proof back.
            let proof =
                |name: &str| detail[name].as_str().filter(|text| !text.is_empty()).map(|text| proof::named("openai", text));
            events.extend(proof("signature").map(ChatEvent::Signature));
            events.extend(proof("data").map(ChatEvent::Redacted));
        }
    }

    /// Whether the words are those that were told next without a proof. Where they are not, no later ones are taken for them.
    fn is_told(&mut self, words: &str) -> bool {
        let mut rest = self.told[self.proved..].char_indices().filter(|(_, letter)| !letter.is_whitespace());
        let mut end = 0;
        for letter in words.chars().filter(|letter| !letter.is_whitespace()) {
            match rest.next() {
                Some((at, same)) if same == letter => end = at + same.len_utf8(),
                _ => {
                    self.proved = self.told.len();
                    return false;
                }
            }
        }
        self.proved += end;
        end > 0
    }

    /// Reads a thought of Mistral's, or a piece of one, which is a part of the content.
    pub(super) fn part(&mut self, part: &Value, events: &mut Vec<ChatEvent>) {
        let pieces = match &part["thinking"] {
            Value::String(text) => return push_text(text, events, ChatEvent::Reasoning),
            pieces => pieces.as_array().map(Vec::as_slice).unwrap_or_default(),
        };
        let text: String = pieces.iter().filter_map(|piece| piece["text"].as_str()).collect();
        push_text(&text, events, ChatEvent::Reasoning);
        let signature = part["signature"].as_str().filter(|signature| !signature.is_empty());
        events.extend(signature.map(|signature| ChatEvent::Signature(proof::named("mistral", signature))));
        // What it thought about goes back as it came, in a thought.
        let references = pieces.iter().filter(|piece| !piece["text"].is_string());
        self.references.extend(references.map(|piece| raw(&json!({"type": "thinking", "thinking": [piece]}))));
    }

    /// Tells what was thought about: something else follows, or nothing.
    pub(super) fn end(&mut self, events: &mut Vec<ChatEvent>) {
        events.append(&mut self.references);
    }
}

/// The text of a detail; a summary is one, too.
fn words(detail: &Value) -> &str {
    ["text", "summary"].into_iter().find_map(|name| detail[name].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Part, fold};
    use serde_json::json;

    /// The thoughts of messages or pieces, with their proofs.
    fn read(pieces: &[Value]) -> Vec<(String, Option<String>)> {
        let (mut thoughts, mut events) = (Thoughts::default(), Vec::new());
        pieces.iter().for_each(|piece| thoughts.read(piece, &mut events));
        let parts = fold(&events).parts.into_iter();
        let thoughts = parts.filter_map(|part| match part {
            Part::Reasoning(thought) => {
                let proof = thought.signature.or(thought.redacted);
                Some((thought.text, proof.map(|proof| proof.strip_prefix("openai:").unwrap().to_owned())))
            }
            _ => None,
        });
        thoughts.collect()
    }

    fn detail(text: &str, signature: Option<&str>) -> Value {
        json!({"type": "reasoning.text", "text": text, "signature": signature, "format": "f", "index": 0})
    }

    fn thought(text: &str, proof: Option<&str>) -> (String, Option<String>) {
        (text.to_owned(), proof.map(str::to_owned))
    }

    #[test]
    fn what_stands_in_several_places_is_told_once() {
        for name in ["reasoning", "reasoning_content"] {
            let whole = json!({name: "One.\nTwo.", "reasoning_details": [detail("One.", Some("a")), detail("Two.", Some("b"))]});
            assert_eq!(read(&[whole]), [thought("One.", Some("a")), thought("Two.", Some("b"))]);
            // As OpenRouter streams it: each piece twice, then the proof.
            let piece = |text: &str| json!({name: text, "reasoning_details": [detail(text, None)]});
            let proof = json!({name: null, "reasoning_details": [{"type": "reasoning.text", "signature": "s"}]});
            assert_eq!(read(&[piece("One"), piece(" "), piece("two"), proof]), [thought("One two", Some("s"))]);
            // As we stream it ourselves: the text, then all of it with its proof.
            let pieces =
                [json!({name: "One"}), json!({name: " two"}), json!({"reasoning_details": [detail("One two", Some("s"))]})];
            assert_eq!(read(&pieces), [thought("One two", Some("s"))]);
        }
        assert_eq!(read(&[json!({"reasoning": "a", "reasoning_content": "a"})]), [thought("a", None)]);
    }

    #[test]
    fn what_stands_in_one_place_is_not_lost() {
        let summary = json!({"reasoning_details": [{"type": "reasoning.summary", "summary": "short"}, {"type": "reasoning.encrypted", "data": "x"}]});
        assert_eq!(read(&[summary]), [thought("short", None), thought("", Some("x"))]);
        let more = json!({"reasoning_content": "First this. Then that.", "reasoning_details": [detail("Then that.", Some("s"))]});
        assert_eq!(read(&[more]), [thought("First this. Then that.", Some("s"))]);
        let other = json!({"reasoning_content": "this", "reasoning_details": [detail("that", None)]});
        assert_eq!(read(&[other]), [thought("thisthat", None)]);
        let three = json!({"reasoning_content": "A", "reasoning": "B", "reasoning_details": [detail("A", Some("s"))]});
        assert_eq!(read(&[three]), [thought("BA", Some("s"))]);
        assert_eq!(read(&[json!({"reasoning_content": "", "reasoning": "a"})]), [thought("a", None)]);
        let again =
            [json!({"reasoning": "ha"}), json!({"reasoning": "ha"}), json!({"reasoning": "\n"}), json!({"reasoning": "!"})];
        assert_eq!(read(&again), [thought("haha\n!", None)]);
    }
}
