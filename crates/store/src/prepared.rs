//! Tests that both engines can prepare every statement of this crate and have the same tables.

use crate::engine::Engine;
use crate::scratch::Scratch;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use std::collections::BTreeSet;
use std::path::Path;

fn with_rows(head: &str, columns: usize, tail: &str) -> String {
    let values: Vec<String> = (1..=columns).map(|n| format!("${n}")).collect();
    format!("{head} VALUES ({}) {tail}", values.join(", "))
}

fn built() -> Vec<String> {
    use crate::{
        access, account_object, batch, detection, evidence, group_debt, identifier, journal, log_source,
        matches, part, person, reject, sync_change, unmapped,
    };
    vec![
        with_rows(person::UPSERT_HEAD, 6, person::UPSERT_TAIL),
        format!("{}$1, $2)", person::GET_MANY_HEAD),
        format!("{} ($1, $2)", person::FIND_HEAD),
        format!("{} ($1, $2)", person::ALIAS_HEAD),
        format!(
            "{} $1 AND dataset = $2 AND location IN ($3, $4)",
            log_source::OBJECTS_HEAD
        ),
        with_rows(access::MEMBER_HEAD, 12, access::MEMBER_TAIL),
        with_rows(access::ROLE_HEAD, 7, access::ROLE_TAIL),
        with_rows(access::ACCESS_USER_HEAD, 12, access::ACCESS_USER_TAIL),
        with_rows(access::ACCESS_GROUP_HEAD, 6, access::ACCESS_GROUP_TAIL),
        with_rows(account_object::HEAD, 7, account_object::TAIL),
        with_rows(sync_change::CHANGE_HEAD, 8, sync_change::CHANGE_TAIL),
        with_rows(sync_change::GRANT_CHANGE_HEAD, 7, sync_change::GRANT_CHANGE_TAIL),
        format!("{}$1, $2)", batch::PATHS_HEAD),
        format!("{}$1, $2)", evidence::GET_MANY_HEAD),
        format!("{}$1, $2)", evidence::HOLD_HEAD),
        with_rows(evidence::INSERT_HEAD, 14, evidence::INSERT_TAIL),
        format!("{}$1, $2)", identifier::GET_HEAD),
        with_rows(identifier::SEEN_HEAD, 5, identifier::SEEN_TAIL),
        format!("{}$1, $2)", part::KNOWN_HEAD),
        with_rows(part::INSERT_HEAD, 11, ""),
        format!(
            "{}$1, $2{}$3{}",
            matches::OF_EVENTS_HEAD,
            matches::OF_EVENTS_MIDDLE,
            matches::OF_EVENTS_TAIL
        ),
        format!(
            "{}$1, $2{}$3",
            matches::FORGET_EVENTS_HEAD,
            matches::OF_EVENTS_MIDDLE
        ),
        with_rows(journal::INSERT_HEAD, 7, ""),
        with_rows(detection::INSERT_HEAD, 20, detection::INSERT_TAIL),
        format!("{}$1, $2)", detection::GET_MANY_HEAD),
        format!("{}$1, $2{}", reject::SAMPLES_HEAD, reject::SAMPLES_TAIL),
        with_rows(unmapped::UNMAPPED_HEAD, 6, unmapped::UNMAPPED_TAIL),
        with_rows(group_debt::OWE_HEAD, 5, group_debt::OWE_TAIL),
        format!(
            "{}$1 AND group_key IN ($2, $3{} VALUES ($4, $5), ($6, $7))",
            group_debt::PAID_HEAD,
            group_debt::PAID_STAMPS
        ),
        with_rows(matches::MATCH_HEAD, 9, matches::MATCH_TAIL),
        format!(
            "{}$1 AND group_key IN ($2, $3{}$4{}$5",
            matches::GROUPS_HEAD,
            matches::GROUPS_TAIL,
            matches::GROUPS_ORDER
        ),
        format!(
            "{}$1 AND group_key IN ($2, $3{}$4{}",
            detection::GROUPS_HEAD,
            detection::GROUPS_TAIL,
            detection::GROUPS_ORDER
        ),
    ]
}

/// Every statement for both engines.
pub(crate) fn statements() -> Vec<String> {
    let files = [
        crate::access::STATEMENTS,
        crate::access_change::STATEMENTS,
        crate::access_detail::STATEMENTS,
        crate::access_token::STATEMENTS,
        crate::account_object::STATEMENTS,
        crate::audit::STATEMENTS,
        crate::batch::STATEMENTS,
        crate::batch_claim::STATEMENTS,
        crate::coaching::STATEMENTS,
        crate::connection::STATEMENTS,
        crate::detection::STATEMENTS,
        crate::evidence::STATEMENTS,
        crate::identifier::STATEMENTS,
        crate::part::STATEMENTS,
        crate::unmapped::STATEMENTS,
        crate::finding::STATEMENTS,
        crate::forget::STATEMENTS,
        crate::group_debt::STATEMENTS,
        crate::integration::STATEMENTS,
        crate::journal::STATEMENTS,
        crate::lease::STATEMENTS,
        crate::listing::STATEMENTS,
        crate::log_source::STATEMENTS,
        crate::person::STATEMENTS,
        crate::person_alias::STATEMENTS,
        crate::posture::STATEMENTS,
        crate::reject::STATEMENTS,
        crate::risk::STATEMENTS,
        crate::risk_score_read::STATEMENTS,
        crate::rule_admin::STATEMENTS,
        crate::matches::STATEMENTS,
        crate::sealing_key::STATEMENTS,
        crate::signal::STATEMENTS,
        crate::sync_change::STATEMENTS,
        crate::operation::STATEMENTS,
        crate::sync_request::STATEMENTS,
        crate::sync_run::STATEMENTS,
        crate::timed_grant::STATEMENTS,
    ];
    files
        .into_iter()
        .flatten()
        .map(|text| (*text).to_owned())
        .chain(built())
        .collect()
}

/// The statements for one engine only.
pub(crate) fn of_engine(engine: &Engine) -> Vec<String> {
    let own = match engine {
        Engine::Sqlite { .. } => [crate::batch_claim::OF_SQLITE, crate::lease::OF_SQLITE].concat(),
        Engine::Postgres(_) => [
            &[crate::audit::LOCK_POSTGRES],
            crate::batch_claim::OF_POSTGRES,
            crate::lease::OF_POSTGRES,
        ]
        .concat(),
    };
    own.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_statement_is_prepared_on_both_engines() {
    for Scratch { store, .. } in &crate::scratch::stores().await.unwrap() {
        for text in statements().into_iter().chain(of_engine(&store.engine)) {
            let sql = AssertSqlSafe(text.clone()).into_sql_str();
            let prepared = match &store.engine {
                Engine::Sqlite { write, .. } => write.prepare(sql).await.map(|_| ()),
                Engine::Postgres(pool) => pool.prepare(sql).await.map(|_| ()),
            };
            if let Err(error) = prepared {
                panic!("{} refuses {text}: {error}", store.engine_name());
            }
        }
    }
}

const COLUMNS_SQLITE: &str = r#"
    SELECT m.name || '.' || c.name || CASE WHEN c."notnull" = 1 OR c.pk > 0 THEN '' ELSE ' or nothing' END
    FROM sqlite_schema m JOIN pragma_table_info(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\_sqlx%' ESCAPE '\'"#;
const COLUMNS_POSTGRES: &str = r"
    SELECT table_name || '.' || column_name || CASE WHEN is_nullable = 'YES' THEN ' or nothing' ELSE '' END
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\_sqlx%'";

/// Compares the tables after all migrations, as the databases report them: the engines may need different steps.
#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let mut of_engines: Vec<BTreeSet<String>> = Vec::new();
    for Scratch { store, .. } in &crate::scratch::stores().await.unwrap() {
        let names: Vec<String> = match &store.engine {
            Engine::Sqlite { write, .. } => {
                sqlx::query_scalar(COLUMNS_SQLITE).fetch_all(write).await.unwrap()
            }
            Engine::Postgres(pool) => sqlx::query_scalar(COLUMNS_POSTGRES)
                .fetch_all(pool)
                .await
                .unwrap(),
        };
        assert!(names.len() > 300, "{} columns", names.len());
        of_engines.push(names.into_iter().collect());
    }
    for other in &of_engines[1..] {
        let differ: Vec<_> = of_engines[0].symmetric_difference(other).collect();
        assert!(differ.is_empty(), "{differ:?}");
    }
}

#[test]
fn each_migration_is_one_file_per_engine_under_the_same_name() {
    let files = |engine: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(engine);
        let files = std::fs::read_dir(folder).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    let sqlite = files("sqlite");
    assert!(sqlite.contains("0001_foundation.sql"), "{sqlite:?}");
    assert_eq!(sqlite, files("postgres"));
}
