//! The frame of a page, and the figures at its head.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A number at the head of a page.
pub struct Figure<'a> {
    /// The name.
    pub name: &'a str,
    /// The number.
    pub value: String,
    /// The definition.
    pub meaning: String,
}

/// Renders a complete HTML page.
pub fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer { "For research: no score here says that a model is fit for clinical use." }
            }
        }
    };
    page.into_string()
}

/// Renders figures side by side.
pub fn figures(figures: &[Figure<'_>]) -> Markup {
    html! {
        dl.verdict {
            @for Figure { name, value, meaning } in figures {
                div {
                    dt { (name) }
                    dd.figure { (value) }
                    dd.meaning { (meaning) }
                }
            }
        }
    }
}

/// Formats a number of things, in words.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_complete_in_itself_and_nothing_in_it_runs() {
        let figure = Figure { name: "Dice", value: "0.9".into(), meaning: "<script>alert('&')</script>".into() };
        let page = page("<script>", &figures(&[figure]));
        for part in ["<script", "http:", "https:", "<link", "@import", "url("] {
            assert!(!page.contains(part), "{part:?} in the page");
        }
        assert!(page.contains("&lt;script&gt;alert('&amp;')") && page.ends_with("</html>"));
    }

    #[test]
    fn one_thing_is_not_several() {
        for (number, text) in [(0, "0 images"), (1, "1 image"), (2, "2 images")] {
            assert_eq!(count(number, "image"), text);
        }
    }
}
