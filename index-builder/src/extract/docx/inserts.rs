//! Text that a document keeps in parts of its own and shows in place: HTML chunks, diagrams and charts.

use std::collections::HashMap;

use quick_xml::events::Event;

use super::chart;
use super::xml::{attribute, resolved, walk};
use crate::extract::package::Package;
use crate::extract::{Refusal, html};

/// The text of each such part by the identifier of its relation, and a word about those that cannot be read: the document can be
/// read without them.
pub(super) fn read(package: &mut Package<'_>, main: &str) -> Result<(HashMap<String, String>, Option<String>), Refusal> {
    let (folder, file) = main.rsplit_once('/').unwrap_or(("", main));
    let xml = package.text_if_any(&format!("{folder}/_rels/{file}.rels"))?;
    let mut targets = Vec::new();
    walk("relations", &xml, |_, event| {
        if let Event::Start(element) = event
            && let (Some(id), Some(kind), Some(target)) =
                (attribute(&element, "Id"), attribute(&element, "Type"), attribute(&element, "Target"))
        {
            let is_outside = attribute(&element, "TargetMode").is_some_and(|mode| mode == "External");
            targets.push((id, kind, if is_outside { Err(target) } else { Ok(resolved_in(folder, &target)) }));
        }
        Ok(())
    })?;
    let mut inserts = HashMap::new();
    let mut unread = Vec::new();
    for (id, kind, target) in targets {
        let text = match (kind.rsplit('/').next(), &target) {
            (Some("aFChunk" | "diagramData" | "chart"), Err(_)) => Err(Refusal::new("outside of the file")),
            (Some("aFChunk"), Ok(path)) if is_html(path) => package.bytes(path).and_then(|bytes| html::text(&bytes)),
            (Some("aFChunk"), Ok(_)) => Err(Refusal::new("not HTML")),
            (Some("diagramData"), Ok(path)) => package.text(path).and_then(|xml| diagram(&xml)),
            (Some("chart"), Ok(path)) => package.text(path).and_then(|xml| chart::text(&xml)),
            _ => continue,
        };
        match text {
            Ok(text) => drop(inserts.insert(id, text)),
            Err(refusal) => {
                let (Ok(name) | Err(name)) = target;
                unread.push(format!("`{name}`: {refusal}"));
            }
        }
    }
    let more = || if unread.len() > 1 { format!(" (and {} more)", unread.len() - 1) } else { String::new() };
    let warning = unread.first().map(|first| format!("an inserted part is not read: {first}{}", more()));
    Ok((inserts, warning))
}

/// A target of a part in `folder`, as its name in the package: from the root where it begins with `/`.
fn resolved_in(folder: &str, target: &str) -> String {
    let (folder, target) = target.strip_prefix('/').map_or((folder, target), |target| ("", target));
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/').chain(target.split('/')) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

fn is_html(path: &str) -> bool {
    [".html", ".htm", ".xhtml"].iter().any(|ending| path.to_ascii_lowercase().ends_with(ending))
}

/// The words of a diagram, one shape a line.
fn diagram(xml: &str) -> Result<String, Refusal> {
    let mut text = String::new();
    let mut is_text = false;
    walk("diagram", xml, |_, event| {
        match event {
            Event::Start(element) => is_text = element.local_name().into_inner() == "t",
            Event::Text(words) if is_text && !words.trim().is_empty() => text.push_str(&words),
            Event::GeneralRef(reference) if is_text => text.push_str(&resolved(&reference)),
            Event::End(element) => {
                is_text = false;
                if element.local_name().into_inner() == "p" && !text.ends_with('\n') {
                    text.push('\n');
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(text)
}
