//! The words and values of a chart, as the document keeps them beside the sheet that they come from.

use std::collections::BTreeMap;

use quick_xml::events::Event;

use super::xml::{attribute, resolved, walk};
use crate::extract::{Refusal, one_line};

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
    /// How its numbers are shown.
    format: String,
    is_format: bool,
}

/// The titles of a chart and its axes, and each series: `Sales: 2023 = 4.3; 2024 = 5`.
pub(super) fn text(xml: &str) -> Result<String, Refusal> {
    let mut lines = Vec::new();
    let mut read = Read::default();
    let mut is_text = false;
    let mut open: Vec<String> = Vec::new();
    walk("chart", xml, |_, event| {
        match event {
            Event::Start(element) => {
                let name = element.local_name().into_inner();
                match name {
                    // Labels of points and trends have a `tx` too.
                    "tx" if open.last().is_none_or(|around| around != "ser") => {}
                    "title" | "tx" | "cat" | "xVal" | "val" | "yVal" if read.part.is_empty() => read.part = name.to_owned(),
                    "pt" => read.point = attribute(&element, "idx").and_then(|index| index.parse().ok()).unwrap_or(0),
                    "p" | "br" if read.part == "title" => read.push(" "),
                    "t" => is_text = read.part == "title",
                    "v" => {
                        is_text = true;
                        // Labels may have several levels.
                        read.push(" ");
                    }
                    "formatCode" => (is_text, read.is_format) = (true, true),
                    _ => {}
                }
                open.push(name.to_owned());
            }
            Event::Text(words) if is_text => read.push(&words),
            Event::GeneralRef(reference) if is_text => read.push(&resolved(&reference)),
            Event::End(element) => {
                open.pop();
                match element.local_name().into_inner() {
                    "t" | "v" | "formatCode" => (is_text, read.is_format) = (false, false),
                    "ser" => lines.push(read.series()),
                    name if name == read.part => {
                        read.part.clear();
                        let is_of_dates = is_date(&std::mem::take(&mut read.format));
                        match name {
                            "title" => lines.push(one_line(&std::mem::take(&mut read.title))),
                            // Days since 1900 say nothing.
                            "cat" | "xVal" if is_of_dates => read.labels.clear(),
                            _ => {}
                        }
                    }
                    _ => {}
                }
            }
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
            "" => {}
            _ if self.is_format => self.format.push_str(words),
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

/// Whether numbers of this format are shown as dates. What is quoted or in brackets (`[Red]`) is no sign of it.
fn is_date(format: &str) -> bool {
    let mut end = None;
    format.chars().any(|sign| {
        match (end, sign) {
            (None, '"') => end = Some('"'),
            (None, '[') => end = Some(']'),
            (None, _) => return "yYdD".contains(sign),
            (Some(closing), _) if closing == sign => end = None,
            _ => {}
        }
        false
    })
}
