//! What every code means, why it happens and what to do: the text of `bore explain` and of `docs/errors.md`.
//!
//! One table ([`catalogue`]), in the order of the codes; the exit code of an error is looked up here too.

mod catalogue;

use std::fmt::Write as _;

use crate::error::Exit;

pub(crate) use catalogue::entries;

/// One code.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `B2104`.
    pub(crate) code: &'static str,
    /// One line.
    pub(crate) title: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// Usual causes, likeliest first.
    pub(crate) causes: &'static [&'static str],
    /// What to do, best first; the first is what an error says when it knows nothing better.
    pub(crate) next: &'static [&'static str],
    /// How the process ends.
    pub(crate) exit: Exit,
}

/// The entry of `code`, whatever its case.
pub(crate) fn find(code: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.code.eq_ignore_ascii_case(code.trim()))
}

/// The known code that looks most like `text`.
pub(crate) fn nearest(text: &str) -> Option<&'static str> {
    let text = text.trim().to_ascii_uppercase();
    let distance = |code: &str| strsim::levenshtein(code, &text);
    let codes = entries().map(|entry| entry.code);
    codes.min_by_key(|code| distance(code)).filter(|code| distance(code) <= 2)
}

impl Entry {
    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}  {}\n\n{}\n", self.code, self.title, self.meaning);
        list(&mut text, "\nUsual causes\n", "  - ", self.causes);
        list(&mut text, "\nWhat to do\n", "  - ", self.next);
        let _ = write!(text, "\nExit code {}", self.exit.number());
        text
    }
}

fn list(text: &mut String, head: &str, bullet: &str, lines: &[&str]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(head);
    for line in lines {
        let _ = writeln!(text, "{bullet}{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Every code that the shared contract names.
    const CONTRACT: &str = "B2101 B2102 B2103 B2104 B2105 B2106 B2107 B2108 B2109 B2110 B2111 B2112 B2113 \
        B3101 B3102 B3103 B3104 B3105 B3106 B3107 B3108 B3109 B3201 B3202 B3203 B3204 B3205 \
        B4101 B4102 B4103 B5101 B5102 B5103 B5104 B5105 B5106 B6101 B6102 B6103 B6104 B6105 B6106 \
        B7101 B7102 B7103 B7104 B8101";

    #[test]
    fn every_code_of_the_contract_is_explained() {
        for code in CONTRACT.split_whitespace() {
            assert!(find(code).is_some(), "{code} has no entry");
        }
    }

    #[test]
    fn every_code_that_the_sources_use_is_explained() {
        let mut used = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["src", "../relay/src", "../relay/control/src"] {
            codes_in(&root.join(folder), &mut used);
        }
        assert!(used.len() > 20, "the walk found the sources");
        let missing: Vec<_> = used.iter().filter(|code| find(code).is_none()).collect();
        assert!(missing.is_empty(), "no entry for {missing:?}");
    }

    #[test]
    fn every_entry_has_a_meaning_and_a_next_step_and_stands_once_in_order() {
        assert!(entries().is_sorted_by(|a, b| a.code < b.code), "in order, each once");
        for entry in entries() {
            assert!(!entry.next.is_empty(), "{} says what to do", entry.code);
            assert!(entry.meaning.ends_with('.'), "{} has a sentence", entry.code);
        }
    }

    #[test]
    fn codes_are_found_in_any_case_and_near_misses_are_suggested() {
        assert!(find(" b2104 ").is_some());
        assert!(find("B0000").is_none());
        assert_eq!(nearest("2104"), Some("B2104"));
        assert_eq!(nearest("hello world"), None);
    }

    #[test]
    fn errors_page_of_the_handbook_is_the_catalogue() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
        if std::env::var_os("BORE_BLESS").is_some() {
            std::fs::write(&page, markdown()).unwrap();
        }
        let stored = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(stored == markdown(), "docs/errors.md is stale: run with BORE_BLESS=1");
    }

    /// The whole of `docs/errors.md`.
    fn markdown() -> String {
        entries()
            .map(entry_markdown)
            .fold(HEAD.to_owned(), |page, entry| format!("{page}\n{entry}"))
    }

    fn entry_markdown(entry: &Entry) -> String {
        let mut text = format!("## {}: {}\n\n{}\n", entry.code, entry.title, entry.meaning);
        list(&mut text, "\nUsual causes:\n\n", "- ", entry.causes);
        list(&mut text, "\nWhat to do:\n\n", "- ", entry.next);
        let _ = writeln!(text, "\nExit code {}.", entry.exit.number());
        text
    }

    const HEAD: &str = "# Errors\n\n\
        Every error of `bore` has a code. `bore explain CODE` prints what stands here, offline.\n\
        This page is generated from `cli/src/explain/catalogue/` (`BORE_BLESS=1 cargo nextest run -p bore errors_page`).\n";

    /// Collects `"B1234"` literals of the Rust files under `folder`, without this file's own tests.
    fn codes_in(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let production = text.split("#[cfg(test)]").next().unwrap();
                found.extend(production.split('"').filter(|part| is_code(part)).map(str::to_owned));
            }
        }
    }

    fn is_code(text: &str) -> bool {
        text.len() == 5 && text.starts_with('B') && text[1..].bytes().all(|b| b.is_ascii_digit())
    }
}
