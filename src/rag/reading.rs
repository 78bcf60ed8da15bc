//! Pure: the ways to read what the user said last, when passages are looked up for it.
//!
//! "How do I delete it again?" names nothing that could be found: what was said before does. And a message with a pasted log has
//! its question in its first words or in its last. Which reading is meant need not be guessed: it is the one that comes nearest to
//! a passage.

use crate::chat::{Message, Role};

/// A longer message is read by its ends, too: an embedding model of 256 tokens reads about as much as this.
const LONG_BYTES: usize = 1_000;

/// How much of each end is read. More drowns the question in what stands around it: of 30 messages with pasted logs and the like,
/// ends of 150 bytes found what was asked for among the first five for 24, ends of 200 for 21, and the whole message for 8.
const END_BYTES: usize = 150;

/// So many messages before the last one are read with it, one more at a time.
const EARLIER: usize = 3;

/// The readings of `prompt`, itself first, in a conversation that ends with it. `exceeds` says that a text is longer than the model
/// reads.
pub(super) fn readings(prompt: &str, conversation: &[Message], exceeds: impl Fn(&str) -> bool) -> Vec<String> {
    let mut readings = vec![prompt.to_owned()];
    if let [first, last] = ends(prompt, &exceeds)[..] {
        readings.extend([first.to_owned(), last.to_owned()]);
        return readings;
    }
    let said = conversation.iter().rev().filter(|message| message.role == Role::User).map(Message::plain);
    let earlier = said.filter(|text| !text.trim().is_empty()).skip(1).take(EARLIER);
    let mut reading = prompt.to_owned();
    readings.extend(earlier.map(|text| {
        for part in ends(&text, &exceeds) {
            reading.push('\n');
            reading.push_str(part);
        }
        reading.clone()
    }));
    readings
}

/// A short text, or the beginning and the end of a long one, in whole words where it has such.
fn ends(text: &str, exceeds: impl Fn(&str) -> bool) -> Vec<&str> {
    let text = text.trim();
    if text.len() <= 2 * END_BYTES || text.len() <= LONG_BYTES && !exceeds(text) {
        return vec![text];
    }
    let first = &text[..text.floor_char_boundary(END_BYTES)];
    let last = &text[text.ceil_char_boundary(text.len() - END_BYTES)..];
    let first = first.rsplit_once(char::is_whitespace).map_or(first, |(whole, _)| whole);
    let last = last.split_once(char::is_whitespace).map_or(last, |(_, whole)| whole);
    vec![first, last]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(texts: &[&str]) -> Vec<String> {
        let answer = Message::text(Role::Assistant, "So.");
        let messages: Vec<Message> = texts.iter().flat_map(|text| [Message::text(Role::User, *text), answer.clone()]).collect();
        readings(texts.last().unwrap(), &messages, |text| text.matches(' ').count() > 100)
    }

    #[test]
    fn what_was_said_before_is_read_with_the_last_message() {
        assert_eq!(said(&["How do I deploy?"]), ["How do I deploy?"]);
        assert_eq!(said(&["How do I deploy?", "And undo it?"]), ["And undo it?", "And undo it?\nHow do I deploy?"]);
        let four = said(&["a", "b", " ", "c", "d", "e"]);
        assert_eq!(four, ["e", "e\nd", "e\nd\nc", "e\nd\nc\nb"]);
    }

    #[test]
    fn a_long_message_is_read_by_its_ends_too() {
        let log = "INFO worker 12 started\n".repeat(200);
        let whole = format!("What is this?\n{log}\nHow do I undo a deployment?");
        let [itself, first, last] = &said(&["Hello", &whole])[..] else { panic!() };
        assert_eq!(*itself, whole);
        assert!(first.starts_with("What is this?\nINFO") && first.ends_with("worker 12"), "{first}");
        assert!(last.starts_with("INFO") && last.ends_with("\nHow do I undo a deployment?"), "{last}");
        // Of an earlier one, too; and it may be of a script without blanks, or of one letter.
        let reading = &said(&[&whole, "Why?"])[1];
        assert!(reading.starts_with("Why?\nWhat is this?") && reading.ends_with("undo a deployment?") && reading.len() < 450);
        for letter in ["ä", "語", "😀"] {
            let ends = &said(&[&letter.repeat(600)])[1..];
            assert!(ends.iter().all(|end| !end.is_empty() && end.len() <= END_BYTES), "{ends:?}");
        }
        // Many tokens in few bytes.
        assert_eq!(said(&[&". ".repeat(200)]).len(), 3);
    }
}
