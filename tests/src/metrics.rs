//! One scrape of `/metrics`.

use std::collections::BTreeMap;

/// Values by series, as `bore_edge_requests_total{outcome="Denied"}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text format.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' '));
        Self(
            pairs
                .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    /// One series, labels included.
    ///
    /// # Panics
    /// When there is none.
    pub fn series(&self, series: &str) -> f64 {
        let found = self.0.get(series).copied();
        found.unwrap_or_else(|| panic!("no metric {series} in {:?}", self.0.keys()))
    }

    /// The sum of all series of this name, whatever their labels.
    ///
    /// # Panics
    /// When there is none: a counter that does not exist cannot be zero.
    pub fn total(&self, name: &str) -> f64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        let mut found = self.0.iter().filter(|(series, _)| of_name(series)).peekable();
        assert!(found.peek().is_some(), "no metric {name} in {:?}", self.0.keys());
        found.map(|(_, value)| value).sum()
    }
}
