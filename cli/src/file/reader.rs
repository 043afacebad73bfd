//! Takes values out of a parsed TOML table and collects every mistake with its line.

use std::ops::Range;
use std::str::FromStr;

use bore_api::Code;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{CliError, CliResult};

/// One file on its way from text to values.
#[derive(Debug)]
pub(crate) struct Reader<'t> {
    name: &'t str,
    text: &'t str,
    mistakes: Vec<(usize, String)>,
}

impl<'t> Reader<'t> {
    pub(super) const fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, text, mistakes: Vec::new() }
    }

    /// Notes a mistake at `span`; without one, at the first line.
    pub(super) fn mistake(&mut self, span: Option<Range<usize>>, what: &str) {
        let start = span.map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        self.mistakes.push((line, what.to_owned()));
    }

    /// The error with all mistakes, by line; `Ok` without any.
    pub(super) fn finish(mut self) -> CliResult {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        self.mistakes.sort_by_key(|(line, _)| *line);
        let lines = self.mistakes.iter().map(|(line, what)| format!("line {line}: {what}"));
        let cause = lines.collect::<Vec<_>>().join("\n         ");
        let count = self.mistakes.len();
        let plural = if count == 1 { "mistake" } else { "mistakes" };
        Err(CliError::new(Code::CONFIGURATION, format!("{} has {count} {plural}", self.name))
            .cause(cause))
    }

    /// Every key of `table` must be one of `known`.
    pub(super) fn known_keys(&mut self, table: &DeTable<'_>, section: &str, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
            let hint = nearest(key.get_ref(), known);
            let hint = hint.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            self.mistake(
                Some(key.span()),
                &format!("unknown key `{}`{place}{hint}", key.get_ref()),
            );
        }
    }

    /// A string.
    pub(super) fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let value = table.get(key)?;
        let text = value.get_ref().as_str().map(str::to_owned);
        self.expect(text, value, key, "a string")
    }

    /// A string that `parse` understands.
    pub(crate) fn parsed<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.string(table, key)?;
        let span = table.get(key)?.span();
        self.parse(span, &text, parse)
    }

    /// A whole number; `kind` says in words which.
    pub(crate) fn number<T: FromStr>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        kind: &str,
    ) -> Option<T> {
        let value = table.get(key)?;
        let number = value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
        self.expect(number, value, key, kind)
    }

    /// A section.
    pub(super) fn table<'a, 'i>(
        &mut self,
        table: &'a DeTable<'i>,
        key: &str,
    ) -> Option<(Range<usize>, &'a DeTable<'i>)> {
        let value = table.get(key)?;
        let inner = self.expect(value.get_ref().as_table(), value, key, "a section")?;
        Some((value.span(), inner))
    }

    /// A list of strings that `parse` understands; empty when absent.
    pub(super) fn parsed_list<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = table.get(key) else { return Vec::new() };
        self.items(value, key, "a list of strings", parse)
    }

    /// The same, of which one may stand alone.
    pub(super) fn parsed_one_or_many<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = table.get(key) else { return Vec::new() };
        match value.get_ref().as_str() {
            Some(text) => self.parse(value.span(), text, parse).into_iter().collect(),
            None => self.items(value, key, "a string or a list of strings", parse),
        }
    }

    fn items<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        kind: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let list = self.expect(value.get_ref().as_array(), value, key, kind);
        let mut parsed = Vec::new();
        for item in list.into_iter().flat_map(|list| list.iter()) {
            let text = self.expect(item.get_ref().as_str(), item, key, kind);
            parsed.extend(text.and_then(|text| self.parse(item.span(), text, parse)));
        }
        parsed
    }

    /// What `parse` makes of `text`, its refusal noted at `span`.
    pub(super) fn parse<T>(
        &mut self,
        span: Range<usize>,
        text: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(what) => {
                self.mistake(Some(span), &what);
                None
            }
        }
    }

    fn expect<T>(
        &mut self,
        value: Option<T>,
        at: &Spanned<DeValue<'_>>,
        key: &str,
        kind: &str,
    ) -> Option<T> {
        if value.is_none() {
            self.mistake(Some(at.span()), &format!("`{key}` is {kind}"));
        }
        value
    }
}

/// The known key that looks most like `key`, if any does.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.75).then_some(best)
}
