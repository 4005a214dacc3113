//! Access groups: their rules in words, and how many people they let in.

use super::page::{Frame, Page, PageError, Section};
use super::people::labels;
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Query, State};
use hub::App;
use hub::access::AccessView;
use model::ConnectionId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use store::AccessGroupRow;

/// Groups on one page: the people of each are counted when the page is asked for.
const GROUP_ROWS: i64 = 20;
/// Rules shown of each group; the group's own page at Cloudflare has the rest.
const RULES_SHOWN: usize = 8;

#[derive(Template)]
#[template(path = "groups.html")]
struct GroupsPage {
    frame: Frame,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    id: String,
    name: String,
    connection: String,
    rules: Vec<String>,
    more_rules: usize,
    /// In for sure, depending on the moment, not known.
    people: [i64; 3],
}

/// From where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    after: String,
}

/// The page.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let after = asked.after.split_once('/');
    let mut groups = app.store.access_group_list(None, after, GROUP_ROWS + 1).await?;
    let more = i64::try_from(groups.len()).is_ok_and(|count| count > GROUP_ROWS);
    groups.truncate(usize::try_from(GROUP_ROWS).unwrap_or(0));
    let next = groups.last().filter(|_| more).map(|last| {
        let place = format!("{}/{}", last.connection_id, last.id);
        page::link("/groups", &[("after", &place)])
    });
    let labels = labels(&app).await?;
    let view = AccessView::current(&app).await?;
    let counts = counts(&view, &groups).await?;
    let row = |group: AccessGroupRow| {
        let raw: Value = serde_json::from_str(&group.raw).unwrap_or_default();
        let mut rules = in_words(&view, &group.connection_id, &raw);
        let more_rules = rules.len().saturating_sub(RULES_SHOWN);
        rules.truncate(RULES_SHOWN);
        let key = (group.connection_id.clone(), group.id.clone());
        Row {
            people: counts.get(&key).copied().unwrap_or_default(),
            connection: labels.get(&group.connection_id).cloned().unwrap_or_default(),
            id: group.id,
            name: group.name,
            rules,
            more_rules,
        }
    };
    page::rendered(&GroupsPage {
        frame: visitor.frame("Access groups", Section::Groups),
        rows: groups.into_iter().map(row).collect(),
        first: page::first(&asked.after, "/groups", &[]),
        next,
    })
}

/// How many people each of these groups lets in.
async fn counts(
    view: &Arc<AccessView>,
    groups: &[AccessGroupRow],
) -> Result<HashMap<(ConnectionId, String), [i64; 3]>, PageError> {
    let view = Arc::clone(view);
    let wanted: Vec<(ConnectionId, String)> = groups
        .iter()
        .map(|group| (group.connection_id.clone(), group.id.clone()))
        .collect();
    // Seconds of work in a very large account.
    let counted = tokio::task::spawn_blocking(move || view.group_counts(&wanted)).await;
    counted.map_err(|_| PageError::Asked("the people could not be counted".to_owned()))
}

/// The rules of a group, with the groups that they name by name.
fn in_words(view: &AccessView, connection: &ConnectionId, raw: &Value) -> Vec<String> {
    let account = view
        .place(connection)
        .map(|place| &view.connections[place].account);
    let named = |rule: &Value| -> Option<String> {
        let (account, id) = (account?, rule.pointer("/group/id")?.as_str()?);
        let at = account.group_at(id)?;
        Some(format!("group {}", account.groups()[at].name))
    };
    let mut words = Vec::new();
    for list in ["include", "require", "exclude"] {
        for rule in raw[list].as_array().into_iter().flatten() {
            let rule = named(rule).unwrap_or_else(|| hub::access::rule::in_words(rule));
            words.push(format!("{list} {rule}"));
        }
    }
    words
}
