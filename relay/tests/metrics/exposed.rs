//! One scrape, and the handbook's table.

use std::collections::{BTreeMap, BTreeSet};

/// What a scrape shows.
pub(crate) struct Exposed {
    series: BTreeMap<String, f64>,
    families: BTreeSet<(String, String)>,
}

impl Exposed {
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with("# EOF\n"), "no end mark");
        let values = text.lines().filter(|line| !line.starts_with('#'));
        let series = values
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(series, value)| (series.to_owned(), value.parse().unwrap()));
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let families = types
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        Self { series: series.collect(), families: families.collect() }
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        self.series.iter().map(|(series, value)| (series.as_str(), *value))
    }

    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// Names and types.
    pub(crate) fn families(&self) -> BTreeSet<(String, String)> {
        self.families.clone()
    }
}

/// Names and types of the rows of `docs/metrics.md`: `| name | type | unit | labels | meaning |`.
pub(crate) fn handbook(text: &str) -> BTreeSet<(String, String)> {
    let mut rows = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, _unit, _labels, meaning] = cells[..] else { panic!("{line}") };
        assert!(!meaning.is_empty(), "{line}");
        let row = (name.trim_matches('`').to_owned(), kind.to_owned());
        assert!(rows.insert(row), "twice: {line}");
    }
    rows
}
