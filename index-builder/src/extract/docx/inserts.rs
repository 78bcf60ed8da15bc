//! Text that a document keeps in parts of its own and shows in place: HTML chunks and diagrams.

use std::collections::HashMap;

use quick_xml::events::Event;

use super::xml::{attribute, resolved, walk};
use crate::extract::package::Package;
use crate::extract::{Refusal, html};

/// The text of each such part by the identifier of its relation.
pub(super) fn read(package: &mut Package<'_>, main: &str) -> Result<HashMap<String, String>, Refusal> {
    let (folder, file) = main.rsplit_once('/').unwrap_or(("", main));
    let xml = package.text_if_any(&format!("{folder}/_rels/{file}.rels"))?;
    let mut targets = Vec::new();
    walk("relations", &xml, |_, event| {
        if let Event::Start(element) = event
            && let (Some(id), Some(kind), Some(target)) =
                (attribute(&element, "Id"), attribute(&element, "Type"), attribute(&element, "Target"))
        {
            let path = target.strip_prefix('/').map_or_else(|| format!("{folder}/{target}"), str::to_owned);
            targets.push((id, kind, path));
        }
        Ok(())
    })?;
    let mut inserts = HashMap::new();
    for (id, kind, path) in targets {
        let is_html = || [".html", ".htm", ".xhtml"].iter().any(|ending| path.to_ascii_lowercase().ends_with(ending));
        if kind.ends_with("/aFChunk") && is_html() {
            inserts.insert(id, html::text(&package.bytes(&path)?)?);
        } else if kind.ends_with("/diagramData") {
            inserts.insert(id, diagram(&package.text_if_any(&path)?)?);
        }
    }
    Ok(inserts)
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
