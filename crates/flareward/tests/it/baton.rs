//! A connection's state as a `.c1z` file.

use crate::program::{connect, flareward, run, sandbox};
use c1z::message::{Grant, GrantExpandable, GrantImmutable, Resource, find};
use c1z::{Reader, UNPACKED_BYTES_MAX};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use store::scratch;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every stored message of one table, by id.
async fn grants(file: &Path) -> Vec<BTreeMap<String, Grant>> {
    let mut reader = Reader::open(file, UNPACKED_BYTES_MAX).await.unwrap();
    let mut syncs = Vec::new();
    for sync in reader.syncs().await.unwrap() {
        let (mut all, mut after) = (BTreeMap::new(), 0);
        loop {
            let page = reader.page::<Grant>(&sync.id, after, 500).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.position;
            all.extend(page.into_iter().map(|row| (row.object.id.clone(), row.object)));
        }
        syncs.push(all);
    }
    syncs
}

async fn resources(file: &Path) -> Vec<Resource> {
    let mut reader = Reader::open(file, UNPACKED_BYTES_MAX).await.unwrap();
    let sync = reader.syncs().await.unwrap().remove(0);
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = reader.page::<Resource>(&sync.id, after, 500).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.position;
        all.extend(page.into_iter().map(|row| row.object));
    }
}

/// Makes a group that includes another and nothing else.
pub(crate) async fn around(sandbox: &Sandbox, inner: &str, name: &str) {
    let info = sandbox.info();
    let client = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .unwrap();
    let address = format!("{}/accounts/{}/access/groups", info.base_url, info.account_id);
    let list: Value = client
        .get(&address)
        .bearer_auth(&info.token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let groups = list["result"].as_array().unwrap();
    let inner = groups.iter().find(|group| group["name"] == inner).unwrap();
    let body = json!({ "name": name, "include": [{ "group": { "id": inner["id"] } }] });
    let made = client
        .post(&address)
        .bearer_auth(&info.token)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certain_is_in_the_file_and_nothing_else_on_both_databases() {
    let sandbox = sandbox().await;
    around(&sandbox, "All staff", "Around staff").await;
    let mut files = Vec::new();
    for scratch in scratch::stores().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        connect(folder.path(), &scratch.address, &sandbox);
        let run = |arguments: &str| run(folder.path(), &scratch.address, arguments);
        let file = folder.path().join("x.c1z");
        let export = format!("export c1z --file {}", file.display());
        let early = run(&export);
        assert_eq!(early.status.code(), Some(1));
        assert!(
            text(&early.stderr).contains("flareward sync"),
            "{}",
            text(&early.stderr)
        );
        assert!(!file.exists());
        let synced = run("sync");
        assert!(synced.status.success(), "{}", text(&synced.stderr));
        for round in 0..2 {
            let done = run(&export);
            let said = text(&done.stderr);
            assert!(done.status.success(), "{said}");
            assert!(said.contains("left out: "), "{said}");
            assert_eq!(said.contains("keeps the previous export"), round == 1, "{said}");
        }

        let syncs = grants(&file).await;
        assert_eq!(syncs.len(), 2);
        assert_eq!(syncs[0], syncs[1], "the same lists give the same grants");
        let held = &syncs[0];
        let ids: Vec<&String> = held.keys().collect();
        assert!(ids.iter().any(|id| id.starts_with("app:")));
        assert!(ids.iter().any(|id| id.starts_with("role:")));
        // As many as `grants list` calls certain.
        let mut certain = 0;
        for kind in ["access-group", "role", "app", "permission-group", "user-group"] {
            let list = run(&format!("grants list --kind {kind} -o ndjson"));
            certain += text(&list.stdout)
                .lines()
                .filter(|line| serde_json::from_str::<Value>(line).unwrap()["certainty"] == "yes")
                .count();
        }
        let nested: Vec<&Grant> = held
            .values()
            .filter(|grant| find::<GrantExpandable>(&grant.annotations).is_some())
            .collect();
        assert_eq!(held.len() - nested.len(), certain);
        assert_eq!(nested.len(), 1, "{nested:?}");
        let around = &nested[0].entitlement.as_ref().unwrap().id;
        let through = held
            .values()
            .find(|grant| grant.entitlement.as_ref().unwrap().id == *around && grant.sources.is_some());
        let sources = &through.unwrap().sources.as_ref().unwrap().sources;
        assert!(sources.values().all(|source| source.is_direct), "{sources:?}");
        for grant in held.values() {
            let derived = find::<GrantImmutable>(&grant.annotations).is_some();
            assert_eq!(derived, grant.sources.is_some(), "{}", grant.id);
        }

        let resources = resources(&file).await;
        let of = |kind: &str| {
            let ids = resources.iter().filter_map(|resource| resource.id.as_ref());
            ids.filter(|id| id.resource_type == kind).count()
        };
        let people: Vec<Value> = serde_json::from_slice(&run("people list -o json").stdout).unwrap();
        assert_eq!(of("user"), people.len());
        let members: Vec<Value> = serde_json::from_slice(&run("members list -o json").stdout).unwrap();
        let pending = members.iter().filter(|member| member["status"] != "accepted");
        assert_eq!(of("invitation"), pending.count());
        for kind in [
            "group",
            "role",
            "app",
            "service_token",
            "api_token",
            "account",
            "user_group",
        ] {
            assert!(of(kind) > 0, "{kind}");
        }
        for resource in &resources {
            let id = resource.id.as_ref().unwrap();
            assert!(hub::baton::types::Kind::of(&id.resource_type).is_some(), "{id:?}");
        }
        files.push(held.len());

        let refused = run("export c1z");
        assert!(text(&refused.stderr).contains("--file FILE"));
        let manifest = flareward(folder.path(), &scratch.address)
            .args(["capabilities", "manifest"])
            .output()
            .unwrap();
        let manifest: c1z::manifest::Manifest = serde_json::from_slice(&manifest.stdout).unwrap();
        assert_eq!(manifest, hub::baton::types::manifest());
    }
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
    sandbox.stop().await;
}
