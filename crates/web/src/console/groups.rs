//! Access groups: their rules in words, and who is in one.

use super::page::{Frame, PAGE_ROWS, Page, PageError, Section, path_part};
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, Query, State};
use hub::App;
use hub::access::grant::GrantCursor;
use hub::access::rule::in_words;
use hub::access::{AccessView, Grant, GrantFilter};
use hub::connection::labels;
use model::GrantKind;
use serde::Deserialize;
use store::{AccessGroupRow, StoreError};

/// Number of rules per group in the list; the page of the group shows all.
const SHOWN_RULES: usize = 4;

#[derive(Template)]
#[template(path = "groups.html")]
struct GroupsPage {
    frame: Frame,
    groups: Vec<Group>,
    first: Option<String>,
    next: Option<String>,
}

struct Group {
    connection: String,
    row: AccessGroupRow,
    rules: Vec<Rules>,
}

/// One list of rules: include, require or exclude.
struct Rules {
    list: &'static str,
    words: Vec<String>,
    more: usize,
}

#[derive(Template)]
#[template(path = "group.html")]
struct GroupPage {
    frame: Frame,
    group: Group,
    members: Vec<Grant>,
    first: Option<String>,
    next: Option<String>,
}

/// Start of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    after: String,
}

/// Groups of every connection.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let labels = labels(&app).await?;
    let after = asked.after.split_once('~');
    let mut rows = app.store.access_group_list(None, after, PAGE_ROWS + 1).await?;
    let place = |row: &AccessGroupRow| format!("{}~{}", row.connection_id, row.id);
    let next = page::cut(&mut rows, "/groups", &[], ("after", place));
    page::rendered(&GroupsPage {
        frame: visitor.frame("Access groups", Section::Groups),
        groups: rows
            .into_iter()
            .map(|row| {
                let connection = labels.get(&row.connection_id).cloned().unwrap_or_default();
                group(connection, row, SHOWN_RULES)
            })
            .collect::<Result<_, _>>()?,
        first: page::first(&asked.after, "/groups", &[]),
        next,
    })
}

/// Shows one group with its rules and members.
pub(super) async fn show_group(
    visitor: Visitor,
    State(app): State<App>,
    Path((label, id)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let connection = hub::connection::find(&app, &label)
        .await?
        .ok_or(PageError::NotFound("connection"))?;
    let row = app
        .store
        .access_group_get(&connection.id, &id)
        .await?
        .ok_or(PageError::NotFound("Access group"))?;
    let filter = GrantFilter {
        kind: Some(GrantKind::AccessGroup),
        connection_id: Some(connection.id.clone()),
        entitlement_id: Some(id.clone()),
        after: (!asked.after.is_empty()).then(|| GrantCursor {
            email: asked.after.clone(),
            connection: connection.id.0.clone(),
            kind: GrantKind::AccessGroup.as_str().to_owned(),
            entitlement: id.clone(),
            scope: String::new(),
        }),
        ..GrantFilter::default()
    };
    let view = AccessView::current(&app).await?;
    let page_rows = usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
    let mut members = view.grant_page(&filter, page_rows + 1);
    let path = format!("/groups/{}/{}", path_part(&label), path_part(&id));
    let next = page::cut(
        &mut members,
        &path,
        &[],
        ("after", |grant: &Grant| grant.email.clone()),
    );
    page::rendered(&GroupPage {
        frame: visitor.frame(row.name.clone(), Section::Groups),
        group: group(label, row, usize::MAX)?,
        members,
        first: page::first(&asked.after, &path, &[]),
        next,
    })
}

fn group(connection: String, row: AccessGroupRow, shown: usize) -> Result<Group, StoreError> {
    let raw = row.raw_json()?;
    let rules = ["include", "require", "exclude"]
        .into_iter()
        .filter_map(|list| {
            let all = raw[list].as_array().filter(|rules| !rules.is_empty())?;
            Some(Rules {
                list,
                words: all.iter().take(shown).map(in_words).collect(),
                more: all.len().saturating_sub(shown),
            })
        })
        .collect();
    Ok(Group {
        connection,
        row,
        rules,
    })
}
