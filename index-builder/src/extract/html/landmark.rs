//! The part of a page that its author marked as the main one. Marks are trusted before any search: that judges by classes and ids,
//! and takes a chapter about sharing for a row of buttons.

use std::collections::HashSet;

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::node::Element;
use scraper::{Html, Node};

use super::markup;
use super::walk::Walk;

/// Reads what stands in the one `<main>`, or in the article that is nearly all of the page, without what leads elsewhere.
pub(super) fn read(page: &Html) -> Option<Walk> {
    let root = page.tree.root();
    let mains = outermost(root, |element| element.name() == "main" || element.attr("role") == Some("main"));
    let (region, is_main) = match mains[..] {
        [] => (root, false),
        [main] => (main, true),
        _ => return None,
    };
    let whole = Walk::over(region, leads_elsewhere);
    let articles = outermost(region, |element| element.name() == "article").into_iter();
    let articles: Vec<_> = articles.map(|article| (article.id(), Walk::over(article, leads_elsewhere))).collect();
    if !is_main {
        return articles.into_iter().map(|(_, article)| article).find(|article| article.len() * 5 >= whole.len() * 4);
    }
    // Beside the article that is most of it, far shorter ones are teasers and comments; others are the next entries of a list.
    let longest = articles.iter().map(|(_, article)| article.len()).max().unwrap_or(0);
    let is_teaser = |article: &Walk| longest * 2 > whole.len() && article.len() * 4 < longest;
    let teasers: HashSet<NodeId> = articles.iter().filter(|(_, article)| is_teaser(article)).map(|(id, _)| *id).collect();
    Some(Walk::over(region, |node, element| leads_elsewhere(node, element) || teasers.contains(&node.id())))
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
