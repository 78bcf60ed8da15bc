//! The part of a page that its author marked as the main one. Marks are trusted before any search: that judges by classes and ids,
//! and takes a chapter about sharing for a row of buttons.

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use super::markup;
use super::walk::Walk;

/// Reads what stands in the one `<main>`, or in the article that is most of the page, without what leads elsewhere.
pub(super) fn read(page: &Html) -> Option<Walk> {
    let root = page.tree.root();
    let mains = outermost(root, |element| element.name() == "main" || element.attr("role") == Some("main"));
    let (region, is_main) = match mains[..] {
        [] => (root, false),
        [main] => (main, true),
        _ => return None,
    };
    let whole = Walk::over(region, leads_elsewhere);
    let articles = outermost(region, |element| element.name() == "article");
    let read = articles.iter().map(|article| (*article, Walk::over(*article, leads_elsewhere)));
    let longest = read.max_by_key(|(_, article)| article.len()).filter(|(_, article)| article.len() * 2 > whole.len());
    match longest {
        // Beside the article that is most of it, others are teasers and comments.
        Some((longest, _)) if is_main => Some(Walk::over(region, |node, element| {
            leads_elsewhere(node, element) || (element.name() == "article" && node != longest && articles.contains(&node))
        })),
        Some((_, article)) => Some(article),
        None => is_main.then_some(whole),
    }
}

/// The elements that are such and in no other such.
fn outermost(root: NodeRef<'_, Node>, is_such: impl Fn(&Element) -> bool) -> Vec<NodeRef<'_, Node>> {
    let mut found = Vec::new();
    let mut inside = None;
    for edge in root.traverse() {
        match edge {
            Edge::Open(node) if inside.is_none() && node.value().as_element().is_some_and(&is_such) => {
                inside = Some(node.id());
                found.push(node);
            }
            Edge::Close(node) if inside == Some(node.id()) => inside = None,
            _ => {}
        }
    }
    found
}

/// Menus and dialogs inside the main part, and margins that hold little but links.
fn leads_elsewhere(node: NodeRef<'_, Node>, element: &Element) -> bool {
    match (element.name(), element.attr("role").unwrap_or_default()) {
        ("nav" | "dialog", _) | (_, "navigation" | "search" | "dialog" | "alertdialog") => true,
        ("aside" | "footer", _) | (_, "complementary" | "contentinfo") => markup::is_mostly_links(node),
        _ => false,
    }
}
