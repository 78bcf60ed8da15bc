//! What is printed: answers and hits for people, and JSON for programs. What stands beside an answer goes to standard error.

use std::io::Write as _;

use omni_llm::error::{Error, Result};
use omni_llm::passage::Passage;
use omni_llm::rag::{Answer, EXTRACTIVE, Found};
use omni_llm::server::Shown;
use serde::Serialize;

/// What a body of JSON carries: all that there is.
pub(crate) const SHOWN: Shown = Shown { sources: true, metadata: true };

/// Prints an answer for people.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn told(answer: &Answer) -> Result<()> {
    answer.warnings.iter().for_each(|warning| note(warning));
    answer.doubts().for_each(|doubt| note(&doubt));
    // Quotes carry their list of sources already.
    let sources = if answer.provider == EXTRACTIVE || answer.passages.is_empty() {
        String::new()
    } else {
        let lines: Vec<String> =
            answer.passages.iter().zip(1..).map(|(passage, number)| format!("[{number}] {}", passage.place())).collect();
        format!("\n\nSources:\n{}", lines.join("\n"))
    };
    print(&format!("{}{sources}\n", answer.content))
}

/// Prints hits for people.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn found(found: &Found) -> Result<()> {
    found.warnings.iter().for_each(|warning| note(warning));
    if found.passages.is_empty() {
        return print("nothing found\n");
    }
    let entry = |(passage, number): (&Passage, usize)| {
        let score = passage.score.map(|score| format!("  cosine {score:.3}")).unwrap_or_default();
        let text = in_one_line(&passage.content);
        let short: String = text.chars().take(240).collect();
        let more = if short.len() < text.len() { " ..." } else { "" };
        format!("[{number}] {}{score}  {}\n    {short}{more}\n", passage.place(), passage.chunk_id)
    };
    print(&found.passages.iter().zip(1..).map(entry).collect::<String>())
}

/// Prints what the service would answer.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn print_json(body: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(body).map_err(|cause| Error::internal("the answer cannot be written").caused_by(cause))?;
    print(&format!("{}\n", escaped(text)))
}

/// JSON without control characters inside its texts: serde leaves these as they are, and [`print`] would drop them.
fn escaped(json: String) -> String {
    ('\u{7f}'..='\u{9f}').fold(json, |json, control| json.replace(control, &format!("\\u{:04x}", u32::from(control))))
}

/// Writes to standard output. A reader that closed it (`| head`) is no failure.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(shown(text).as_bytes()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::internal(format!("standard output: {cause}"))),
        _ => Ok(()),
    }
}

/// Says what whoever reads an answer should know beside it.
fn note(text: &str) {
    // Who no longer reads is no reason to end.
    let _ = writeln!(std::io::stderr(), "note: {}", shown(&in_one_line(text)));
}

/// What terminals show of a text, without what they obey: names of files, documents and models, and what models write, may hold
/// control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_in_json() {
        let name = "a\u{7f}b\u{85}c\u{9f}\u{a0}ü";
        let json = escaped(serde_json::to_string(name).unwrap());
        assert_eq!(json, "\"a\\u007fb\\u0085c\\u009f\u{a0}ü\"");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    }
}
