//! HTML: the main content of a page, with its headings, tables and code.
//!
//! What is content and what is navigation is decided by `rs-trafilatura`; what it keeps is walked here, because headings, rows and
//! lines of code have to become spans. Where it keeps suspiciously little, the whole body is read, and that is said.

mod depth;
mod walk;

use scraper::{Html, Selector};

use super::document::{Document, Format};
use super::draft::one_line;
use super::encoding::{self, Decoded};
use super::{Refusal, title_or_name};
use walk::Walk;

/// Main content shorter than this, or than this part of the body, is not believed to be all. Longer than the body, it holds some
/// parts twice.
const MAIN_MIN_BYTES: usize = 200;
const MAIN_MIN_PERCENT: usize = 25;
const MAIN_MAX_PERCENT: usize = 102;
/// Beyond this size the search for the main content takes too long.
const MAIN_MAX_BYTES: usize = 4 << 20;

/// Reads an HTML page in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let (page, warning) = parse(bytes, declared_charset)?;
    let body = Walk::over(&page);
    let (mut draft, h1) = match main_content(&page, &body) {
        Some(main) => (main.draft, main.h1.or(body.h1)),
        None => {
            let mut draft = body.draft;
            draft.warn("no main content found; the whole page is read");
            (draft, body.h1)
        }
    };
    if draft.is_empty() {
        return Err(Refusal::new("no text"));
    }
    if let Some(warning) = warning {
        draft.warn(warning);
    }
    let title = h1.or_else(|| title_element(&page));
    Ok(draft.finish(Format::Html, &title_or_name(title, name)))
}

/// The bare text of a page, all of it.
pub(super) fn text(bytes: &[u8]) -> Result<String, Refusal> {
    let (page, _) = parse(bytes, None)?;
    Ok(Walk::over(&page).draft.finish(Format::Html, "").text)
}

/// The page without its hidden elements, and what was guessed of its encoding.
fn parse(bytes: &[u8], declared_charset: Option<&str>) -> Result<(Html, Option<String>), Refusal> {
    let own_charset = encoding::charset_of_html(bytes);
    // The transport knows better than the page, which may have been converted on its way.
    let Decoded { text: html, warning } = encoding::decode(bytes, declared_charset.or(own_charset.as_deref()))?;
    if depth::is_too_deep(&html) {
        return Err(Refusal::new(format!("elements nested deeper than {}", depth::DEPTH_MAX)));
    }
    let mut page = Html::parse_document(&html);
    // What nobody sees would count as content, once its attributes are gone.
    walk::detach_hidden(&mut page);
    Ok((page, warning))
}

/// What is left of the page without navigation, where that is enough to be believed.
fn main_content(page: &Html, body: &Walk) -> Option<Walk> {
    let html = page.html();
    if html.len() > MAIN_MAX_BYTES {
        return None;
    }
    let main = rs_trafilatura::extract(&html).ok()?.content_html?;
    let main = Walk::over(&Html::parse_document(&main));
    let percent = main.len() * 100 / body.len().max(1);
    let is_enough = main.len() >= MAIN_MIN_BYTES && (MAIN_MIN_PERCENT..=MAIN_MAX_PERCENT).contains(&percent);
    is_enough.then_some(main)
}

/// The `<title>` without the name of the site.
fn title_element(page: &Html) -> Option<String> {
    let title = page.select(&Selector::parse("title").ok()?).next()?.text().collect::<String>();
    let title = one_line(&title);
    let separators = [" | ", " - ", " – ", " — ", " · ", " :: ", " » "];
    let cut = separators.iter().filter_map(|separator| title.rfind(separator)).max();
    let page_title = cut.map(|at| title[..at].trim()).filter(|left| left.chars().count() * 3 >= title.chars().count());
    Some(page_title.unwrap_or(&title).to_owned()).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(html: &str) -> Document {
        let document = read(html.as_bytes(), "a.html", None).unwrap();
        document.check().unwrap();
        document
    }

    #[test]
    fn a_short_page_is_read_whole() {
        let document =
            document("<title>Page one - The Site</title><nav>Menu</nav><h2>Head &amp; more</h2><p>Some  <b>te</b>xt<br>line");
        assert_eq!(document.text, "Menu\n\nHead & more\n\nSome text\nline");
        assert_eq!(document.sections[1].headings, ["Head & more"]);
        assert_eq!(document.title, "Page one");
        assert_eq!(document.warnings, ["no main content found; the whole page is read"]);
    }

    #[test]
    fn navigation_goes_and_the_article_stays() {
        let paragraph = "<p>The mill by the river ground flour for three villages, and its wheel turned day and night.</p>";
        let links = "<li><a href='/x'>Somewhere else</a></li>".repeat(12);
        let page = format!(
            "<html><head><title>t</title></head><body><nav><ul>{links}</ul></nav><article><h1>The mill</h1>{}\
             <h2>Prices</h2><table><tr><th>Flour</th><th>Price</th></tr><tr><td>Rye</td><td>3</td></tr></table>{paragraph}\
             <pre><code>fn main() {{\n    grind();\n}}</code></pre>{paragraph}</article><footer>All rights reserved</footer></body></html>",
            paragraph.repeat(6)
        );
        let document = document(&page);
        assert!(!document.text.contains("Somewhere else"), "{}", document.text);
        assert!(document.text.contains("Flour | Price\nRye | 3"), "{}", document.text);
        assert!(document.text.contains("```\nfn main() {\n    grind();\n}\n```"), "{}", document.text);
        assert_eq!(document.title, "The mill");
        assert_eq!(document.blocks.len(), 2);
        assert!(document.sections.iter().any(|section| section.headings == ["The mill", "Prices"]));
    }

    #[test]
    fn nesting_bombs_are_refused_at_once() {
        let started = std::time::Instant::now();
        let bomb = format!("<html>{}", "<ul><li>".repeat(64 << 10));
        let reason = read(bomb.as_bytes(), "a.html", None).unwrap_err().to_string();
        assert_eq!(reason, "elements nested deeper than 512");
        assert!(started.elapsed().as_secs() < 5);
        let deep = format!("<html>{}text", "<div>".repeat(depth::DEPTH_MAX));
        assert_eq!(document(&deep).text, "text");
    }

    #[test]
    fn a_page_without_text_is_refused() {
        let reason = read(b"<html><script>let a;</script><div hidden>x</div></html>", "a.html", None).unwrap_err();
        assert_eq!(reason.to_string(), "no text");
    }

    #[test]
    fn titles_lose_the_site() {
        let title = |title: &str| title_element(&Html::parse_document(&format!("<title>{title}</title>"))).unwrap();
        assert_eq!(title("How to mill - Flour | The Mill"), "How to mill - Flour");
        assert_eq!(title("Mill"), "Mill");
        assert_eq!(title("A - The whole story of a mill"), "A - The whole story of a mill");
    }
}
