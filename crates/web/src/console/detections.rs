//! Detections, and why each rule matched.

use super::explained::{Explained, explained};
use super::page::{Frame, PAGE_ROWS, Page, PageError, Section, cursor_read, cursor_text};
use super::people::found;
use super::visitor::Visitor;
use super::{assets, page, show};
use askama::Template;
use axum::extract::{Path, Query, State};
use hub::App;
use hub::connection::labels;
use hub::event::{self, Event};
use model::{DetectionId, PersonId};
use rules::book::{Behaviour, BookRule};
use serde::Deserialize;
use std::collections::HashMap;
use store::{DetectionFilter, DetectionRow, PersonRow};

#[derive(Template)]
#[template(path = "detections.html")]
struct DetectionsPage {
    frame: Frame,
    rule: String,
    rules: Vec<(String, String)>,
    person: Option<PersonRow>,
    rows: Vec<DetectionRow>,
    first: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "detection.html")]
struct DetectionPage<'a> {
    frame: Frame,
    detection: DetectionRow,
    connection: String,
    person: Option<PersonRow>,
    event: Option<Event>,
    rule: Option<&'a BookRule>,
    behaviour: Option<&'a Behaviour>,
    explanation: Option<Explained>,
    evidence: Vec<Evidence>,
}

impl DetectionPage<'_> {
    /// Whether there were more matches than listed events.
    fn has_more(&self) -> bool {
        usize::try_from(self.detection.matches).is_ok_and(|matches| matches > self.evidence.len())
    }
}

/// An event of a detection; without data if it is no longer stored.
struct Evidence {
    id: String,
    event: Option<Event>,
}

/// Filters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    rule: String,
    person: String,
    before: String,
}

/// Lists detections, newest event first.
pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Page, PageError> {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let person = match asked.person.trim() {
        "" => None,
        whose => Some(found(&app, whose).await?),
    };
    let filter = DetectionFilter {
        person_id: person.as_ref().map(|person| person.id.clone()),
        rule_name: given(&asked.rule),
        before: cursor_read(Some(&asked.before))?,
        limit: PAGE_ROWS + 1,
    };
    let mut rows = app.store.detection_list(&filter).await?;
    let kept = [("rule", asked.rule.as_str()), ("person", asked.person.as_str())];
    let next = page::cut(
        &mut rows,
        "/detections",
        &kept,
        ("before", |last: &DetectionRow| {
            cursor_text(&last.at, last.id.as_str())
        }),
    );
    let first = page::first(&asked.before, "/detections", &kept);
    let mut rules: Vec<(String, String)> = app
        .rules()
        .rules()
        .iter()
        .map(|rule| (rule.name.clone(), rule.title.clone()))
        .collect();
    rules.sort_by(|a, b| a.1.cmp(&b.1));
    page::rendered(&DetectionsPage {
        frame: visitor.frame("Detections", Section::Detections),
        rule: asked.rule,
        rules,
        person,
        rows,
        first,
        next,
    })
}

/// One detection.
pub(super) async fn show_detection(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Page, PageError> {
    let detection = app
        .store
        .detection_get(&DetectionId(id))
        .await?
        .ok_or(PageError::NotFound("detection"))?;
    let ids = detection.evidence_ids()?;
    let mut wanted = ids.clone();
    wanted.push(detection.event_id.0.clone());
    let mut events: HashMap<String, Event> = event::evidence(&app, &wanted)
        .await?
        .into_iter()
        .map(|event| (event.id.0.clone(), event))
        .collect();
    let first = events.get(detection.event_id.as_str()).cloned();
    let evidence = ids
        .into_iter()
        .map(|id| Evidence {
            event: events.remove(&id),
            id,
        })
        .collect();
    let event = first;
    let person = match detection.person_id.clone() {
        Some(id) => app.store.person_get(&PersonId(id)).await?,
        None => None,
    };
    let rules = app.rules();
    let rule = rules.rule(&detection.rule_id);
    let record = event
        .as_ref()
        .and_then(|event| serde_json::from_str::<serde_json::Value>(&event.raw).ok());
    let page = DetectionPage {
        frame: visitor.frame(detection.title.clone(), Section::Detections),
        connection: labels(&app)
            .await?
            .remove(&detection.connection_id)
            .unwrap_or_default(),
        person,
        explanation: rule.zip(record).map(|(rule, record)| explained(rule, &record)),
        behaviour: detection
            .behaviour
            .as_ref()
            .and_then(|key| rules.behaviours.get(key)),
        rule,
        event,
        evidence,
        detection,
    };
    page::rendered(&page)
}
