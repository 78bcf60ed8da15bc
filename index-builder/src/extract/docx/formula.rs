//! Formulas in one line: `(1+x)^n`, `∑_(k=0)^n`, `(a+b)/c`.

use quick_xml::events::BytesStart;

use super::xml::val;

/// Signs that an operand of one part has not, but for its own.
const OPERATORS: [char; 20] =
    ['+', '-', '−', '±', '∓', '=', '<', '>', '≤', '≥', '→', '⋅', '·', '×', '/', '∕', ',', ';', '|', ' '];

/// The elements of a formula that are open, the innermost last.
#[derive(Default)]
pub(super) struct Formula(Vec<Element>);

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
        if self.0.is_empty() && name != "oMath" {
            return;
        }
        if let ("begChr" | "chr" | "sepChr" | "endChr", [.., of, _]) = (name, self.0.as_mut_slice()) {
            let place = ["sepChr", "endChr"].iter().position(|other| *other == name).map_or(0, |place| place + 1);
            of.signs[place] = val(element).unwrap_or_default();
        }
        if let Some(around) = self.0.last_mut() {
            match (name, around.name.as_str()) {
                ("e", "d") => text.push_str(&around.signs[around.operands.min(1)]),
                ("e", "rad") => text.push_str(&around.signs[0]),
                ("e", "mr" | "eqArr") | ("mr", "m") if around.operands > 0 => text.push(' '),
                ("sub", "nary") => text.push_str(&around.signs[0]),
                _ => {}
            }
            around.operands += usize::from(matches!(name, "e" | "mr"));
        }
        match (name, self.0.last().map(|around| around.name.as_str())) {
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
        self.0.push(Element { name: name.to_owned(), start: text.len(), operands: 0, signs: signs.map(str::to_owned) });
    }

    /// Closes the innermost element, if a formula is open.
    pub(super) fn close(&mut self, text: &mut String) {
        let Some(Element { name, start, signs, .. }) = self.0.pop() else { return };
        match (name.as_str(), self.0.last().map(|around| around.name.as_str())) {
            ("sub" | "sup" | "lim", _) if text.len() == start => drop(text.pop()),
            ("num" | "den" | "sub" | "sup" | "lim", _) | ("e", Some("rad")) => {
                let operand = text.get(start..).unwrap_or_default().trim_start_matches(['+', '-', '−']);
                let is_enclosed =
                    operand.strip_prefix('(').and_then(|rest| rest.find(')')).is_some_and(|end| end + 2 == operand.len());
                if operand.contains(OPERATORS) && !is_enclosed {
                    text.insert(start, '(');
                    text.push(')');
                }
            }
            ("d", _) => text.push_str(&signs[2]),
            ("fName", _) => text.push(' '),
            _ => {}
        }
    }
}
