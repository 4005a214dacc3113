//! Lists as streams, in every pagination style of the API.
//!
//! After the first page with a total count, several pages are fetched at the same time; their items still arrive in
//! order. A page that fails ends the stream with its error, so that a caller never takes a partial list for a complete
//! one. The stream also ends with an error if the list is incomplete: fewer items than its `total_count`, fewer items
//! on a page than its `count`, an item in an unknown format, or a possibly truncated page after which the next page is
//! the same again. `docs/cloudflare-lists.md` describes every list and its check for completeness.

use crate::client::{Answer, Client};
use crate::error::CloudflareError;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// The number of pages that are fetched at the same time. Chosen: enough to hide latency, few enough to share the
/// budget fairly.
const PAGES_AT_ONCE: usize = 4;
/// The maximum number of pages, so that a server with an endless list does not block us for ever.
const PAGES_MAX: u64 = 100_000;

/// The pagination style of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `page` and `per_page`, with `result_info.total_count`.
    Counted {
        /// The requested number of items on a page.
        per_page: u64,
    },
    /// `page` and `per_page` without any count: a page that is not full is the last.
    Uncounted {
        /// The requested number of items on a page.
        per_page: u64,
    },
    /// `limit` and `cursor`: the response contains the cursor of the next page.
    Cursor {
        /// The requested number of items on a page.
        limit: u64,
    },
    /// One response.
    Single,
}

/// Members, roles, accounts: at most 50 on a page.
pub const IAM: Style = Style::Counted { per_page: 50 };
/// Access users, groups, applications: 1,000 by default.
pub const ACCESS: Style = Style::Counted { per_page: 1_000 };

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// The number of items in the whole list, if announced.
    pub total: Option<u64>,
}

/// The items of a list, and why there may be more.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The received items.
    pub items: Vec<T>,
    /// Why the list is partial; `None` if it is complete.
    pub partial: Option<String>,
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

    /// The same starting at a page, to resume a list of counted pages that was read in part. Other styles start at the
    /// beginning.
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
        let call = format!("GET {}", list.path);
        let pages = stream::once(async move {
            let (first, info) = list.page::<T>(from, None).await?;
            let rest = list.rest(&info, &first, from + 1);
            Ok::<_, CloudflareError>(stream::once(async { Ok(first.page) }).chain(rest))
        })
        .try_flatten();
        // A list that is read from its begin is counted; one that is gone on with, by whoever goes on.
        let pages = if from == 1 {
            counted(pages, call).left_stream()
        } else {
            pages.right_stream()
        };
        pages
            // Pages that were asked for beside the one that failed are no longer of use.
            .scan(false, |has_failed, page| {
                let shown = (!*has_failed).then_some(page);
                *has_failed = matches!(&shown, Some(Err(_)));
                std::future::ready(shown)
            })
            .boxed()
    }

    /// All items of the list at `path`. If the list is partial, returns the received items with the reason.
    ///
    /// # Errors
    ///
    /// See [`CloudflareError`]; never one for which [`CloudflareError::is_partial`] is true.
    pub async fn listed<T: DeserializeOwned + Send + 'static>(
        &self,
        path: String,
        query: Vec<(String, String)>,
        style: Style,
    ) -> Result<Listed<T>, CloudflareError> {
        let mut pages = self.pages(path, query, style);
        let mut items = Vec::new();
        let partial = loop {
            match pages.try_next().await {
                Ok(Some(page)) => items.extend(page.items),
                Ok(None) => break None,
                Err(error) if error.is_partial() => break Some(error.to_string()),
                Err(error) => return Err(error),
            }
        };
        Ok(Listed { items, partial })
    }

    /// The items of the list at `path`.
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

/// A page with the data that shows whether it is the same as another.
struct Fetched<T> {
    page: Page<T>,
    /// The list as received.
    text: Box<str>,
}

impl List {
    fn rest<T: DeserializeOwned + Send + 'static>(
        self,
        info: &Value,
        first: &Fetched<T>,
        next: u64,
    ) -> Pages<T> {
        let first_len = first.page.items.len() as u64;
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
                        async move { Ok(list.page::<T>(page, None).await?.0.page) }
                    })
                    .buffered(PAGES_AT_ONCE)
                    .boxed()
            }
            Style::Counted { per_page } | Style::Uncounted { per_page } => {
                let state = (
                    next,
                    is_last(first_len, per_page),
                    first.text.clone(),
                    first_len,
                    self,
                );
                stream::try_unfold(state, move |(page, done, before, listed, list)| async move {
                    if done || page > PAGES_MAX {
                        return Ok(None);
                    }
                    let (next, _) = list.page::<T>(page, None).await?;
                    let len = next.page.items.len() as u64;
                    if len > 0 && next.text == before {
                        return Err(CloudflareError::Capped {
                            call: format!("GET {}", list.path),
                            listed,
                        });
                    }
                    let state = (page + 1, is_last(len, per_page), next.text, listed + len, list);
                    Ok(Some((next.page, state)))
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
                    let onward = cursor(&info).filter(|place| !next.page.items.is_empty() && *place != now);
                    Ok(Some((next.page, (onward, page + 1, list))))
                })
                .boxed()
            }
        }
    }

    async fn page<T: DeserializeOwned>(
        &self,
        page: u64,
        cursor: Option<&str>,
    ) -> Result<(Fetched<T>, Value), CloudflareError> {
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
        let answer: Answer<Box<RawValue>> = self.client.send(Method::GET, &self.path, &all, None).await?;
        let info = answer.result_info.unwrap_or(Value::Null);
        let total = number(&info, "total_count");
        let call = || format!("GET {}", self.path);
        let text: Box<str> = match answer.result {
            Some(result) => result.get().into(),
            // Null and nothing are an empty list only where a count says so.
            None if total == Some(0) || number(&info, "count") == Some(0) => "[]".into(),
            None => {
                return Err(CloudflareError::Shape {
                    call: call(),
                    place: "the field \"result\" is missing or null, expected a list".to_owned(),
                });
            }
        };
        let items: Vec<T> = things(&text).map_err(|place| CloudflareError::Shape { call: call(), place })?;
        // Audit logs say 1 whatever the page has: only a larger number means that something is missing.
        let count = number(&info, "count").unwrap_or(0);
        if count > items.len() as u64 {
            return Err(CloudflareError::Incomplete {
                call: call(),
                listed: items.len() as u64,
                total: count,
            });
        }
        Ok((
            Fetched {
                page: Page { items, total },
                text,
            },
            info,
        ))
    }
}

/// Reads the items of a page. Some services return a list inside a list.
fn things<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    let is_nested = text
        .trim_start()
        .strip_prefix('[')
        .is_some_and(|rest| rest.trim_start().starts_with('['));
    if is_nested {
        let nested: Vec<Vec<T>> = read(text)?;
        return Ok(nested.into_iter().flatten().collect());
    }
    read(text)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let reader = &mut serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(reader).map_err(|problem| {
        let place = match problem.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        format!("the field result{place} is missing or has an unexpected format")
    })
}

/// Whether a page without a count is the last: it is not full, and its length is not one at which responses are often
/// truncated.
fn is_last(len: u64, per_page: u64) -> bool {
    let may_be_cut = len >= 10 && (len.is_multiple_of(10) || len.is_multiple_of(25));
    len < per_page && !may_be_cut
}

/// The same pages, with an error at the end if there were fewer items than the last page announced.
fn counted<T: Send + 'static>(
    pages: impl futures::Stream<Item = Result<Page<T>, CloudflareError>> + Send + 'static,
    call: String,
) -> impl futures::Stream<Item = Result<Page<T>, CloudflareError>> + Send + 'static {
    stream::try_unfold(
        (Box::pin(pages), 0, None, call),
        |(mut pages, listed, total, call)| async move {
            match pages.try_next().await? {
                Some(page) => {
                    let listed = listed + page.items.len() as u64;
                    let total: Option<u64> = page.total.or(total);
                    Ok(Some((page, (pages, listed, total, call))))
                }
                None => match total {
                    Some(total) if listed < total => Err(CloudflareError::Incomplete { call, listed, total }),
                    _ => Ok(None),
                },
            }
        },
    )
}

/// A number in the response that describes its position in a list.
pub(crate) fn number(info: &Value, member: &str) -> Option<u64> {
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
