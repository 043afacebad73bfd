//! Pagination by key, not by offset: a row that is removed between two requests shifts no other. All rows are in memory.

use axum::Json;
use bore_api::Code;
use bore_api::wire::Page;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::limits::PAGE_ROWS_MAX;
use crate::refusal::Refusal;

/// Which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// `next` of the page before.
    #[serde(default)]
    pub(crate) after: Option<String>,
    /// How many rows, at most 1,000. Default 1,000.
    #[serde(default)]
    pub(crate) limit: Option<u32>,
}

impl PageParams {
    /// The page of `rows`, which are sorted by `key`.
    pub(crate) fn page<T, V>(
        &self,
        rows: Vec<T>,
        key: impl Fn(&T) -> String,
        view: impl FnMut(T) -> V,
    ) -> Result<Json<Page<V>>, Refusal> {
        let limit = rows_of_page(self.limit)? as usize;
        let after = |row: &T| self.after.as_ref().is_none_or(|after| key(row) > *after);
        let mut rows: Vec<T> = rows.into_iter().filter(after).collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(key);
        Ok(Json(Page { items: rows.into_iter().map(view).collect(), next }))
    }
}

/// The wanted length of a page.
pub(crate) fn rows_of_page(limit: Option<u32>) -> Result<u32, Refusal> {
    match limit.unwrap_or(PAGE_ROWS_MAX) {
        limit @ 1..=PAGE_ROWS_MAX => Ok(limit),
        limit => Err(Refusal::new(
            Code::BAD_REQUEST,
            format!("`limit` is {limit}: it goes from 1 to {PAGE_ROWS_MAX}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_double() {
        let rows: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let params = PageParams { after, limit: Some(2) };
            let Json(page) = params.page(rows.clone(), String::clone, |row| row).unwrap();
            seen.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows);
        assert!(rows_of_page(Some(0)).is_err() && rows_of_page(Some(1_001)).is_err());
    }
}
