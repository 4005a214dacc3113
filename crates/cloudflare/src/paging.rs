//! Lists as streams, in every style that the API has.
//!
//! Once the first page says how many there are, later pages are fetched a few at a time; their things still
//! come in order. A page that fails ends the stream with its error, so that a caller never takes a part for
//! the whole.

use crate::client::{Answer, Client};
use crate::error::CloudflareError;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Pages that are fetched at once. Chosen: enough to hide latency, few enough to share the budget fairly.
const PAGES_AT_ONCE: usize = 4;
/// No list is followed further: a server that never ends its list must not hold us for ever.
const PAGES_MAX: u64 = 100_000;

/// How a list is cut into pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `page` and `per_page`, with `result_info.total_count`.
    Counted {
        /// Things asked for on a page.
        per_page: u64,
    },
    /// `page` and `per_page` without any count: a page that is not full is the last.
    Uncounted {
        /// Things asked for on a page.
        per_page: u64,
    },
    /// `limit` and `cursor`: the answer names the next page.
    Cursor {
        /// Things asked for on a page.
        limit: u64,
    },
    /// All at once.
    Single,
}

/// Members, roles, accounts: at most 50 on a page.
pub const IAM: Style = Style::Counted { per_page: 50 };
/// Access users, groups, applications: 1,000 by default.
pub const ACCESS: Style = Style::Counted { per_page: 1_000 };

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its things.
    pub items: Vec<T>,
    /// How many the whole list has, if it says so.
    pub total: Option<u64>,
}

/// A list, page by page.
pub type Pages<T> = stream::BoxStream<'static, Result<Page<T>, CloudflareError>>;

impl Client {
    /// The list at `path`, page by page.
    pub fn pages<T: DeserializeOwned + Send + 'static>(
        &self,
        path: String,
        query: Vec<(String, String)>,
        style: Style,
    ) -> Pages<T> {
        self.pages_from(path, query, style, 1)
    }

    /// The same from a page on, for going on with a list of counted pages that was read in part. Other styles
    /// begin at their start.
    pub fn pages_from<T: DeserializeOwned + Send + 'static>(
        &self,
        path: String,
        query: Vec<(String, String)>,
        style: Style,
        from: u64,
    ) -> Pages<T> {
        let from = if matches!(style, Style::Counted { .. }) {
            from.max(1)
        } else {
            1
        };
        let list = List {
            client: self.clone(),
            path,
            query,
            style,
        };
        stream::once(async move {
            let (first, info) = list.page::<T>(from, None).await?;
            let rest = list.rest(&info, first.items.len() as u64, from + 1);
            Ok::<_, CloudflareError>(stream::once(async { Ok(first) }).chain(rest))
        })
        .try_flatten()
        // Pages that were asked for beside the one that failed are no longer of use.
        .scan(false, |has_failed, page| {
            let shown = (!*has_failed).then_some(page);
            *has_failed = matches!(&shown, Some(Err(_)));
            std::future::ready(shown)
        })
        .boxed()
    }

    /// The things of the list at `path`.
    pub fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        path: String,
        query: Vec<(String, String)>,
        style: Style,
    ) -> stream::BoxStream<'static, Result<T, CloudflareError>> {
        self.pages(path, query, style)
            .map_ok(|page| stream::iter(page.items.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

#[derive(Clone)]
struct List {
    client: Client,
    path: String,
    query: Vec<(String, String)>,
    style: Style,
}

impl List {
    fn rest<T: DeserializeOwned + Send + 'static>(self, info: &Value, first_len: u64, next: u64) -> Pages<T> {
        match self.style {
            Style::Single => stream::empty().boxed(),
            Style::Counted { per_page } if number(info, "total_count").is_some() => {
                // The server may give fewer on a page than was asked for.
                let per_page = number(info, "per_page").filter(|n| *n > 0).unwrap_or(per_page);
                let total = number(info, "total_count").unwrap_or(0);
                let last = total.div_ceil(per_page).min(PAGES_MAX);
                stream::iter(next..=last)
                    .map(move |page| {
                        let list = self.clone();
                        async move { Ok(list.page::<T>(page, None).await?.0) }
                    })
                    .buffered(PAGES_AT_ONCE)
                    .boxed()
            }
            Style::Counted { per_page } | Style::Uncounted { per_page } => {
                let state = (next, first_len < per_page, self);
                stream::try_unfold(state, move |(page, done, list)| async move {
                    if done || page > PAGES_MAX {
                        return Ok(None);
                    }
                    let (next, _) = list.page::<T>(page, None).await?;
                    let done = (next.items.len() as u64) < per_page;
                    Ok(Some((next, (page + 1, done, list))))
                })
                .boxed()
            }
            Style::Cursor { .. } => {
                let state = (cursor(info), 2, self);
                stream::try_unfold(state, move |(place, page, list)| async move {
                    let Some(now) = place.filter(|_| page <= PAGES_MAX) else {
                        return Ok(None);
                    };
                    let (next, info) = list.page::<T>(page, Some(&now)).await?;
                    // The last page may still name a cursor: an empty page or the same place ends it.
                    let onward = cursor(&info).filter(|place| !next.items.is_empty() && *place != now);
                    Ok(Some((next, (onward, page + 1, list))))
                })
                .boxed()
            }
        }
    }

    async fn page<T: DeserializeOwned>(
        &self,
        page: u64,
        cursor: Option<&str>,
    ) -> Result<(Page<T>, Value), CloudflareError> {
        let mut all: Vec<(&str, &str)> = self
            .query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (page, size) = match self.style {
            Style::Counted { per_page } | Style::Uncounted { per_page } => {
                (page.to_string(), per_page.to_string())
            }
            Style::Cursor { limit } => (String::new(), limit.to_string()),
            Style::Single => (String::new(), String::new()),
        };
        match self.style {
            Style::Counted { .. } | Style::Uncounted { .. } => {
                all.push(("page", &page));
                all.push(("per_page", &size));
            }
            Style::Cursor { .. } => {
                all.push(("limit", &size));
                all.extend(cursor.map(|cursor| ("cursor", cursor)));
            }
            Style::Single => {}
        }
        let answer: Answer<Vec<T>> = self.client.send(Method::GET, &self.path, &all, None).await?;
        let info = answer.result_info.unwrap_or(Value::Null);
        let page = Page {
            items: answer.result.unwrap_or_default(),
            total: number(&info, "total_count"),
        };
        Ok((page, info))
    }
}

fn number(info: &Value, member: &str) -> Option<u64> {
    // Some services send their counts as text.
    match info.get(member)? {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().map(|float| float as u64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn cursor(info: &Value) -> Option<String> {
    let place = info.get("cursor").or_else(|| info.pointer("/cursors/after"))?;
    place.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_and_cursors_are_read_in_every_spelling() {
        assert_eq!(number(&json!({ "total_count": "7" }), "total_count"), Some(7));
        assert_eq!(number(&json!({ "total_count": 7.0 }), "total_count"), Some(7));
        assert_eq!(cursor(&json!({ "cursor": "a" })).as_deref(), Some("a"));
        assert_eq!(
            cursor(&json!({ "cursors": { "after": "b" } })).as_deref(),
            Some("b")
        );
        assert_eq!(cursor(&json!({ "cursor": "" })), None);
    }
}
