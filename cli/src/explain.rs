//! What `bore explain` and `docs/errors.md` show of the registry of codes ([`bore_api::code`]).

use std::fmt::Write as _;

use bore_api::Code;

/// The known code that looks most like `text`.
pub(crate) fn nearest(text: &str) -> Option<Code> {
    let text = text.trim().to_ascii_uppercase();
    let distance = |code: &Code| strsim::levenshtein(code.as_str(), &text);
    Code::all().min_by_key(distance).filter(|code| distance(code) <= 2)
}

/// All of a code, for a terminal.
pub(crate) fn page(code: Code) -> String {
    let mut text = format!("{code}  {}\n\n{}\n", code.title(), code.meaning());
    list(&mut text, "\nUsual causes\n", "  - ", code.causes());
    list(&mut text, "\nWhat to do\n", "  - ", code.next_steps());
    let _ = write!(text, "\nExit code {}", code.exit().number());
    text
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

    #[test]
    fn near_misses_are_suggested() {
        assert_eq!(nearest("2104"), Some(Code::PORT_TAKEN));
        assert_eq!(nearest("hello world"), None);
    }

    #[test]
    fn errors_page_of_the_handbook_is_the_registry() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
        if std::env::var_os("BORE_BLESS").is_some() {
            std::fs::write(&page, markdown()).unwrap();
        }
        let stored = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(stored == markdown(), "docs/errors.md is stale: run with BORE_BLESS=1");
    }

    /// The whole of `docs/errors.md`.
    fn markdown() -> String {
        Code::all().map(section).fold(HEAD.to_owned(), |page, section| format!("{page}\n{section}"))
    }

    fn section(code: Code) -> String {
        let mut text = format!("## {code}: {}\n\n{}\n", code.title(), code.meaning());
        list(&mut text, "\nUsual causes:\n\n", "- ", code.causes());
        list(&mut text, "\nWhat to do:\n\n", "- ", code.next_steps());
        let _ =
            writeln!(text, "\nExit code {}, HTTP status {}.", code.exit().number(), code.status());
        text
    }

    const HEAD: &str = "# Errors\n\n\
        Every error of `bore` has a code. `bore explain CODE` prints what stands here, offline.\n\
        This page is generated from `api/src/code/` (`BORE_BLESS=1 cargo nextest run -p bore errors_page`).\n";
}
