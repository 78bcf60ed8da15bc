//! The words and values of a chart, as the document keeps them beside the sheet that they come from.

use std::collections::BTreeMap;

use quick_xml::events::Event;

use super::xml::{attribute, resolved, walk};
use crate::extract::Refusal;

/// What of a chart was read and is not yet written.
#[derive(Default)]
struct Read {
    title: String,
    series: String,
    labels: BTreeMap<usize, String>,
    values: BTreeMap<usize, String>,
    /// The element that is read, and which of its points.
    part: String,
    point: usize,
}

/// The titles of a chart and its axes, and each series: `Sales: 2023 = 4.3; 2024 = 5`.
pub(super) fn text(xml: &str) -> Result<String, Refusal> {
    let mut lines = Vec::new();
    let mut read = Read::default();
    let mut is_text = false;
    walk("chart", xml, |_, event| {
        match event {
            Event::Start(element) => match element.local_name().into_inner() {
                name @ ("title" | "tx" | "cat" | "xVal" | "val" | "yVal") if read.part.is_empty() => read.part = name.to_owned(),
                "pt" => read.point = attribute(&element, "idx").and_then(|index| index.parse().ok()).unwrap_or(0),
                "t" => is_text = read.part == "title",
                "v" => {
                    is_text = true;
                    // Labels may have several levels.
                    read.push(" ");
                }
                _ => {}
            },
            Event::Text(words) if is_text => read.push(&words),
            Event::GeneralRef(reference) if is_text => read.push(&resolved(&reference)),
            Event::End(element) => match element.local_name().into_inner() {
                "t" | "v" => is_text = false,
                "ser" => lines.push(read.series()),
                name if name == read.part => {
                    read.part.clear();
                    if name == "title" {
                        lines.push(std::mem::take(&mut read.title));
                    }
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    })?;
    lines.retain(|line| !line.is_empty());
    Ok(lines.join("\n"))
}

impl Read {
    fn push(&mut self, words: &str) {
        match self.part.as_str() {
            "title" => self.title.push_str(words),
            "tx" => self.series.push_str(words),
            "cat" | "xVal" => self.labels.entry(self.point).or_default().push_str(words),
            "val" | "yVal" => self.values.entry(self.point).or_default().push_str(words),
            _ => {}
        }
    }

    /// The line of a series, whose points are forgotten.
    fn series(&mut self) -> String {
        let labels = std::mem::take(&mut self.labels);
        let value = |(point, value): (usize, String)| {
            // 4.4 is kept as 4.4000000000000004.
            let value = value.trim().parse::<f64>().map_or(value, |number| number.to_string());
            labels.get(&point).map_or(value.clone(), |label| format!("{} = {value}", label.trim()))
        };
        let values: Vec<String> = std::mem::take(&mut self.values).into_iter().map(value).collect();
        let name = std::mem::take(&mut self.series);
        [name.trim(), &values.join("; ")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}
