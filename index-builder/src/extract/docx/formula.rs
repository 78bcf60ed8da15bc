//! Formulas in one line: `(1+x)^n`, `∑_(k=0)^n`, `(a+b)/c`.

use quick_xml::events::BytesStart;

use super::xml::val;

/// What an operand may begin with and be one part still.
const SIGNS: [char; 3] = ['+', '-', '−'];

/// The elements of a formula that are open, the innermost last.
#[derive(Default)]
pub(super) struct Formula {
    open: Vec<Element>,
    /// Where the last script, denominator or root ends in the text of the paragraph.
    script_end: Option<usize>,
}

struct Element {
    name: String,
    /// Where its own text begins in that of the paragraph.
    start: usize,
    operands: usize,
    /// What stands before its operands, between them and behind them.
    signs: [String; 3],
}

impl Formula {
    /// Opens an element, of a formula or not.
    pub(super) fn open(&mut self, name: &str, element: &BytesStart<'_>, text: &mut String) {
        if self.open.is_empty() && name != "oMath" {
            return;
        }
        if let ("begChr" | "chr" | "sepChr" | "endChr", [.., of, _]) = (name, self.open.as_mut_slice()) {
            let place = ["sepChr", "endChr"].iter().position(|other| *other == name).map_or(0, |place| place + 1);
            // A sign is one letter, with an accent at most; it is repeated between all operands.
            of.signs[place] = val(element).unwrap_or_default().chars().take(2).collect();
        }
        if matches!(name, "d" | "nary" | "rad") {
            self.part_from_script(text.len(), text);
        }
        if let Some(around) = self.open.last_mut() {
            match (name, around.name.as_str()) {
                ("e", "d") => text.push_str(&around.signs[around.operands.min(1)]),
                ("e", "rad") => text.push_str(&around.signs[0]),
                ("e", "mr" | "eqArr") | ("mr", "m") if around.operands > 0 => text.push(' '),
                ("sub", "nary") => text.push_str(&around.signs[0]),
                _ => {}
            }
            around.operands += usize::from(matches!(name, "e" | "mr"));
        }
        match (name, self.open.last().map(|around| around.name.as_str())) {
            ("den", _) => text.push('/'),
            ("sub", _) | ("lim", Some("limLow")) => text.push('_'),
            ("sup" | "lim", _) => text.push('^'),
            _ => {}
        }
        let signs = match name {
            "d" => ["(", "|", ")"],
            "nary" => ["∫", "", ""],
            "rad" => ["√", "", ""],
            _ => [""; 3],
        };
        self.open.push(Element { name: name.to_owned(), start: text.len(), operands: 0, signs: signs.map(str::to_owned) });
    }

    /// Closes the innermost element, if a formula is open.
    pub(super) fn close(&mut self, text: &mut String) {
        let Some(Element { name, start, signs, .. }) = self.open.pop() else { return };
        match (name.as_str(), self.open.last().map(|around| around.name.as_str())) {
            ("sub" | "sup" | "lim", _) if text.len() == start => drop(text.pop()),
            ("num" | "den" | "sub" | "sup" | "lim", _) | ("e", Some("rad")) => {
                enclose(start, text.get(start..).is_none_or(|operand| is_one_part(operand.trim_start_matches(SIGNS))), text);
                if name != "num" {
                    self.script_end = Some(text.len());
                }
            }
            // What is raised or has an index; a name of a function is one part: `sin^2 x`.
            ("e", Some("sSup" | "sSub" | "sSubSup")) => {
                let is_name = self.open.iter().any(|around| around.name == "fName");
                enclose(start, is_name || text.get(start..).is_none_or(is_one_part), text);
            }
            ("t", _) if text.get(start..).is_some_and(|words| words.starts_with(may_run_on)) => {
                self.part_from_script(start, text);
            }
            ("d", _) => text.push_str(&signs[2]),
            ("fName", _) => text.push(' '),
            _ => {}
        }
        if self.open.is_empty() {
            self.script_end = None;
        }
    }

    /// Keeps what begins at `start` from running into a script right before it: `x^n y`.
    fn part_from_script(&mut self, start: usize, text: &mut String) {
        if self.script_end == Some(start) {
            text.insert(start, ' ');
            self.open.iter_mut().filter(|around| around.start == start).for_each(|around| around.start += 1);
        }
    }
}

/// Puts brackets around the operand that begins at `start`, unless it is one part.
fn enclose(start: usize, is_one_part: bool, text: &mut String) {
    if !is_one_part {
        text.insert(start, '(');
        text.push(')');
    }
}

/// Whether text that begins so would be taken for more of the script before it.
fn may_run_on(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '('
}

/// Whether an operand needs no brackets: nothing, a letter, a number, or something in brackets.
fn is_one_part(operand: &str) -> bool {
    let is_enclosed = |(open, close): (char, char)| {
        operand.strip_prefix(open).and_then(|rest| rest.find(close)).is_some_and(|end| end + 2 == operand.len())
    };
    operand.chars().nth(1).is_none()
        || operand.chars().all(|sign| sign.is_ascii_digit() || ".,".contains(sign))
        || [('(', ')'), ('[', ']'), ('{', '}'), ('|', '|')].into_iter().any(is_enclosed)
}
