//! Removing what the logs hold of one person: begun at once, looked after by its id.

use crate::world::World;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ASKED: &str = "/api/v1/people/p1/purge";

async fn ask(world: &World) -> String {
    let body = json!({ "reason": "asked to be forgotten" });
    let answer = world.call(Method::POST, ASKED, Some(body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let at = answer.header("location").to_owned();
    assert_eq!(
        at,
        format!("/api/v1/purges/{}", answer.json()["id"].as_str().unwrap())
    );
    at
}

/// Does what the server would do, and answers the purge.
async fn ended(world: &World, at: &str) -> Value {
    hub::purge::run(&world.app).await.unwrap();
    world.get(at).await.json()
}

fn archived(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            archived(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn a_purge_is_begun_goes_on_after_what_stopped_it_and_tells_its_end() {
    let world = World::lived_in().await;
    for (path, body, status, place) in [
        (
            ASKED,
            json!({ "reason": " " }),
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("/reason"),
        ),
        (
            ASKED,
            json!({}),
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("/reason"),
        ),
        (
            "/api/v1/people/nobody/purge",
            json!({ "reason": "x" }),
            StatusCode::NOT_FOUND,
            None,
        ),
    ] {
        let answer = world.call(Method::POST, path, Some(body)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        if let Some(place) = place {
            assert_eq!(answer.json()["errors"][0]["pointer"], place);
        }
    }
    let plan = json!({ "plan_only": true });
    let planned = world.call(Method::POST, ASKED, Some(plan)).await;
    assert_eq!(planned.status, StatusCode::OK, "{}", planned.text);
    assert!(planned.json()["events"].as_i64().unwrap() > 0, "{}", planned.text);
    let before = world.get("/api/v1/purges").await.json();
    assert_eq!(before["items"].as_array().unwrap().len(), 1, "{before}");
    let mut files = Vec::new();
    archived(&world.archive(), &mut files);
    let [file] = &files[..] else { panic!("{files:?}") };
    let whole = std::fs::read(file).unwrap();
    std::fs::write(file, [0x1f, 0x8b, 8, 0, 1]).unwrap();
    let stopped = ended(&world, &ask(&world).await).await;
    assert!(
        stopped["problem"].as_str().unwrap().contains("archived part"),
        "{stopped}"
    );
    assert!(stopped["finished_at"].is_null());

    std::fs::write(file, whole).unwrap();
    let at = ask(&world).await;
    assert_eq!(
        at.rsplit('/').next(),
        stopped["id"].as_str(),
        "the same purge goes on"
    );
    let done = ended(&world, &at).await;
    assert!(done["problem"].is_null(), "{done}");
    assert_eq!(
        (&done["records"], &done["events"], &done["objects"]),
        (&json!(0), &json!(1), &json!(1))
    );
    let events = world.get("/api/v1/events").await.json();
    assert_eq!(
        events["items"].as_array().unwrap().len(),
        1,
        "of the other: {events}"
    );
    let mut files = Vec::new();
    archived(&world.archive(), &mut files);
    let [left] = &files[..] else { panic!("{files:?}") };
    // The first and the last identifier of a part are in clear.
    let text = String::from_utf8_lossy(&std::fs::read(left).unwrap()).into_owned();
    assert!(
        !text.contains("ana@corp.example") && text.contains("stranger@else.example"),
        "{text}"
    );
    let listed = world.get("/api/v1/purges").await.json();
    assert!(listed["items"].as_array().unwrap().contains(&done), "{listed}");
    let audit = world.get("/api/v1/audit?limit=5").await.json();
    let outcomes: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["action"] == "events.purge")
        .map(|row| row["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["changed", "asked", "asked"]);
}
