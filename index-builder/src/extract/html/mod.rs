//! HTML: the main content of a page, with its headings, tables and code.
//!
//! What is content and what is navigation is said by the page, and where it is not, decided by `rs-trafilatura`; what is kept is
//! walked here, because headings, rows and lines of code have to become spans. Where suspiciously little is kept, the whole body is
//! read, and that is said.

mod depth;
mod landmark;
mod markup;
mod table;
mod walk;

use std::borrow::Cow;

use scraper::{Html, Selector};

use super::document::{Document, Format};
use super::draft::one_line;
use super::encoding::{self, Decoded};
use super::front_matter;
use super::{Refusal, title_or_name};
use walk::Walk;

/// Main content that a search found is not believed to be all where it is shorter than this, or than this part of the body; a part
/// that its author marked is not where it is both. Longer than the body, it holds some parts twice.
const MAIN_MIN_BYTES: usize = 200;
const MAIN_MIN_PERCENT: usize = 25;
const MAIN_MAX_PERCENT: usize = 102;
/// Beyond this size the search for the main content takes too long.
const MAIN_MAX_BYTES: usize = 4 << 20;

/// Reads an HTML page in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let (page, warning) = parse(bytes, declared_charset)?;
    let body = Walk::over_page(&page);
    let marked = landmark::read(&page).filter(|main| main.len() >= MAIN_MIN_BYTES || percent(main, &body) >= MAIN_MIN_PERCENT);
    let (mut draft, h1) = match marked.or_else(|| main_content(&page, &body)) {
        // A heading outside may name the site.
        Some(main) => (main.draft, main.h1.or_else(|| body.h1.filter(|h1| begins_title(&page, h1)))),
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
    Ok(Walk::over_page(&page).draft.finish(Format::Html, "").text)
}

/// The first heading of level 1 in a piece of a page.
pub(super) fn first_heading(html: &str) -> Option<String> {
    let page = html.contains("<h1").then(|| depth::parse(html))??;
    Walk::over_page(&page).h1
}

/// The page as its reader sees it, and what was guessed of its encoding.
fn parse(bytes: &[u8], declared_charset: Option<&str>) -> Result<(Html, Option<String>), Refusal> {
    let own_charset = encoding::charset_of_html(bytes);
    // The transport knows better than the page, which may have been converted on its way.
    let Decoded { text: html, warning } = encoding::decode(bytes, declared_charset.or(own_charset.as_deref()))?;
    front_matter::require_no_access(&html)?;
    let html = opened(&html);
    let too_deep = || Refusal::new(format!("elements nested deeper than {}", depth::DEPTH_MAX));
    let mut page = depth::parse(&html).ok_or_else(too_deep)?;
    markup::settle(&mut page, &html);
    Ok((page, warning))
}

/// XHTML with a tag behind each element that is closed where it opens: HTML knows no such thing, and one of bare text would
/// swallow the rest of the page.
fn opened(html: &str) -> Cow<'_, str> {
    const BARE: [&str; 5] = ["iframe", "script", "style", "textarea", "title"];
    if !html.contains("http://www.w3.org/1999/xhtml") {
        return html.into();
    }
    let mut opened = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, after)) = rest.split_once("/>") {
        let tag = before.rsplit('<').next().and_then(|tag| tag.split_whitespace().next()).unwrap_or_default();
        opened.push_str(before);
        match BARE.contains(&tag) {
            true => opened.extend(["></", tag, ">"]),
            false => opened.push_str("/>"),
        }
        rest = after;
    }
    (opened + rest).into()
}

/// What is left of the page without navigation, where that is enough to be believed.
fn main_content(page: &Html, body: &Walk) -> Option<Walk> {
    let html = page.html();
    if html.len() > MAIN_MAX_BYTES {
        return None;
    }
    let main = rs_trafilatura::extract(&html).ok()?.content_html?;
    let main = Walk::over_page(&Html::parse_document(&main));
    let is_enough = main.len() >= MAIN_MIN_BYTES && (MAIN_MIN_PERCENT..=MAIN_MAX_PERCENT).contains(&percent(&main, body));
    (is_enough && !main.only_leads_on(body)).then_some(main)
}

/// How much of a page a part of it is.
fn percent(part: &Walk, body: &Walk) -> usize {
    part.len() * 100 / body.len().max(1)
}

/// Whether the `<title>` begins with a heading, or is missing.
fn begins_title(page: &Html, heading: &str) -> bool {
    whole_title(page).is_none_or(|title| title.starts_with(heading))
}

fn whole_title(page: &Html) -> Option<String> {
    let title = page.select(&Selector::parse("title").ok()?).next()?.text().collect::<String>();
    Some(one_line(&title)).filter(|title| !title.is_empty())
}

/// The `<title>` without the name of the site.
fn title_element(page: &Html) -> Option<String> {
    let title = whole_title(page)?;
    let separators = [" | ", " - ", " – ", " — ", " · ", " :: ", " » "];
    let cut = separators.iter().filter_map(|separator| title.rfind(separator)).max();
    let page_title = cut.map(|at| title[..at].trim()).filter(|left| left.chars().count() * 3 >= title.chars().count());
    Some(page_title.unwrap_or(&title).to_owned())
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
    fn elements_that_xhtml_closes_at_once_hold_nothing() {
        let head = "<?xml version='1.0'?>\n<html xmlns='http://www.w3.org/1999/xhtml'><head><title/><script src='a.js' /></head>";
        assert_eq!(document(&format!("{head}<body><p>Text<br/>here.</p></body></html>")).text, "Text\nhere.");
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

    /// A page with a menu, `main` around six paragraphs and `content`, and a footer.
    fn page(content: &str) -> String {
        let paragraph = "<p>The mill by the river ground flour for three villages, and its wheel turned day and night.</p>";
        let links = "<li><a href='/x'>Somewhere else</a></li>".repeat(12);
        format!(
            "<html><head><title>Prices - The Mill</title></head><body><header><h1>The Mill</h1></header><nav><ul>{links}</ul></nav>\
             <main><h2>Prices</h2>{}{content}{}</main><footer>All rights reserved</footer></body></html>",
            paragraph.repeat(3),
            paragraph.repeat(3)
        )
    }

    #[test]
    fn what_the_author_marked_is_kept_whatever_it_is_called() {
        let content = "<section id=sharing class=share-settings><h3>Sharing<a class=headerlink href=#sharing>¶</a></h3>\
                       <div class='modal author newsletter'>One</div></section><figure><pre>code</pre></figure>\
                       <p>On <time>1 May</time></p><aside class=note>Mind the wheel.</aside>";
        let document = document(&page(content));
        let kept = "\n\nSharing\n\nOne\n\n```\ncode\n```\n\nOn 1 May\n\nMind the wheel.\n\n";
        assert!(document.text.contains(kept), "{}", document.text);
        assert!(!document.text.contains("Somewhere else") && !document.text.contains("rights"), "{}", document.text);
        assert_eq!(document.title, "Prices");
        assert_eq!(document.warnings, [""; 0]);
    }

    #[test]
    fn what_leads_elsewhere_goes_from_the_marked_part() {
        let content = "<nav><a href=/a>Next page</a></nav><aside><h4>Related</h4><a href=/b>Watermills of the north</a></aside>\
                       <dialog>Subscribe!</dialog><footer>Edited in <a href=/may>May</a></footer>";
        let text = document(&page(content)).text;
        assert!(["Next page", "Related", "Subscribe"].iter().all(|words| !text.contains(words)), "{text}");
        // Beside an article that is most of the main part, others are comments; what stands around it is not.
        let comment = "<article>I was there once.</article>";
        let html = page("")
            .replace("<main>", "<main><article>")
            .replace("</main>", &format!("</article><p>Open on Sundays.</p>{comment}{comment}</main>"));
        let text = document(&html).text;
        assert!(text.contains("Open on Sundays") && !text.contains("I was there once"), "{text}");
        let html = page("").replace("</main>", &format!("{comment}{comment}</main>"));
        assert!(document(&html).text.contains("I was there once"));
    }

    #[test]
    fn the_shorter_of_two_articles_is_read_too() {
        let entry = |version: &str, count| {
            format!("<article><h2>{version}</h2>{}</article>", "<p>The wheel turns more quietly now.</p>".repeat(count))
        };
        let list = format!("{}{}", entry("Version 2", 8), entry("Version 1", 4));
        let text = document(&format!("<main>{list}</main>")).text;
        assert!(text.contains("Version 2") && text.contains("Version 1"), "{text}");
        assert!(landmark::read(&Html::parse_document(&list)).is_none(), "neither is the page");
        let page = format!("{}<p>By the miller.</p>", entry("Version 2", 8));
        assert!(landmark::read(&Html::parse_document(&page)).is_some());
    }

    #[test]
    fn sections_figures_and_times_are_kept_without_a_mark_too() {
        let content = "<section id=sharing><h3>Sharing</h3><p>Flour is shared among the three villages by their size.</p></section>\
                       <figure class=highlight><pre>grind()</pre></figure><p>It was on <time>1 May</time> that the wheel broke.</p>";
        let text = document(&page(content).replace("main>", "div>")).text;
        let kept = ["Flour is shared", "```\ngrind()\n```", "on 1 May that"];
        assert!(kept.iter().all(|words| text.contains(words)), "{text}");
        assert!(!text.contains("Somewhere else"), "{text}");
    }

    #[test]
    fn a_list_of_links_is_not_what_a_page_says() {
        let prose = "<p>The mill by the river ground flour for three villages, and its wheel turned day and night.</p>".repeat(4);
        let links = "<li><a href='/x'>A chapter about something</a></li>".repeat(30);
        let document =
            document(&format!("<title>t</title><body><div class=legal>{prose}</div><div class=content><ul>{links}</ul></div>"));
        assert!(document.text.contains("three villages"), "{}", document.text);
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
    fn a_heading_outside_the_main_part_is_the_title_where_the_title_begins_with_it() {
        let title = |html: &str| document(html).title;
        let unnamed = page("").replace("<h2>Prices</h2>", "");
        assert_eq!(title(&unnamed), "Prices");
        assert_eq!(title(&unnamed.replace("Prices - The Mill", "The Mill of Prices")), "The Mill");
        assert_eq!(title(&unnamed.replace("<title>Prices - The Mill</title>", "")), "The Mill");
        assert_eq!(title(&page("").replace("h2>", "h1>").replace("Prices</", "All prices</")), "All prices");
    }

    #[test]
    fn titles_lose_the_site() {
        let title = |title: &str| title_element(&Html::parse_document(&format!("<title>{title}</title>"))).unwrap();
        assert_eq!(title("How to mill - Flour | The Mill"), "How to mill - Flour");
        assert_eq!(title("Mill"), "Mill");
        assert_eq!(title("A - The whole story of a mill"), "A - The whole story of a mill");
    }
}
