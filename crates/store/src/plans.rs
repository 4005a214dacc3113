//! Every statement's plan, asked of both engines on filled tables: reading or sorting a table that grows fails.
//!
//! Reads the statements of [`crate::prepared`]. A statement that must read a whole table stands in [`ALLOWED`] with
//! its reason; a reason that no statement needs any more fails as well.

use crate::engine::Engine;
use crate::prepared::statements;
use crate::scratch::Scratch;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of each table. Enough for PostgreSQL to prefer an index for what is selective.
const ROWS: i64 = 10_000;

/// Tables that do not grow with records, time or people: one row for each thing that an administrator sets up.
const SMALL: &[&str] = &[
    "campaign",
    "check_result",
    "connection",
    "consumer",
    "integration",
    "lease",
    "listing",
    "listing_progress",
    "log_source",
    "probe",
    "revision",
    "rule_mode",
    "rule_parameter",
    "sealing_key",
    "signing_key",
    "time_mark",
    "watermark",
];

/// Columns that hold few different values.
const FEW: &[&str] = &[
    "check_id",
    "connection_id",
    "dataset",
    "kind",
    "part",
    "rule_name",
    "severity",
    "source",
    "watch",
];

/// States that most rows are in for ever, by table: what is still to be done is one row in a hundred.
const SETTLED: &[(&str, &str, &str)] = &[
    ("batch", "state", "processed"),
    ("message", "state", "sent"),
    ("signal", "state", "delivered"),
    ("timed_grant", "state", "revoked"),
    ("access_change", "state", "finished"),
    ("finding", "state", "resolved"),
    ("sync_run", "state", "finished"),
    ("purge", "state", "finished"),
];

/// Statements that read or sort a table that grows: a part of their text, and why it is right.
const ALLOWED: &[(&str, &str)] = &[];

struct Column {
    name: String,
    kind: String,
    is_key: bool,
}

const TABLES_SQLITE: &str = r#"
    SELECT m.name AS of_table, c.name AS name, lower(c.type) AS kind, c.pk > 0 AS is_key
    FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\_sqlx%' ESCAPE '\' AND c.hidden = 0
    ORDER BY m.name, c.cid"#;
const TABLES_POSTGRES: &str = r"
    SELECT c.table_name AS of_table, c.column_name AS name, c.data_type AS kind, EXISTS (
        SELECT 1 FROM information_schema.table_constraints t JOIN information_schema.key_column_usage k
            ON k.constraint_name = t.constraint_name AND k.table_name = t.table_name
        WHERE t.constraint_type = 'PRIMARY KEY' AND t.table_name = c.table_name AND k.column_name = c.column_name
    ) AS is_key
    FROM information_schema.columns c
    WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\_sqlx%' AND c.is_generated = 'NEVER'
    ORDER BY c.table_name, c.ordinal_position";

/// The value of one column in row `i`, in the words of both engines.
fn value(table: &str, column: &Column, is_sqlite: bool) -> String {
    if let Some((.., settled)) = SETTLED.iter().find(|(t, c, _)| *t == table && *c == column.name) {
        return format!("CASE WHEN i % 100 = 0 THEN 'open' ELSE '{settled}' END");
    }
    let few = FEW.contains(&column.name.as_str());
    match column.kind.as_str() {
        "text" if few => "'v' || (i % 20)".to_owned(),
        "text" => format!("'{}' || i", column.name),
        kind if kind.contains("int") && few => "i % 20".to_owned(),
        kind if kind.contains("int") => "i".to_owned(),
        "boolean" if is_sqlite => "i % 2".to_owned(),
        "boolean" => "i % 2 = 0".to_owned(),
        "bytea" => "CAST('b' || i AS bytea)".to_owned(),
        "blob" => "CAST('b' || i AS BLOB)".to_owned(),
        kind if kind.contains("timestamp") && !is_sqlite => {
            "TIMESTAMPTZ '2026-01-05T10:00:00Z' + i * INTERVAL '1 second'".to_owned()
        }
        "double precision" | "real" => "i / 7.0".to_owned(),
        other => panic!("{table}.{} is of the type {other}: say what fills it", column.name),
    }
}

fn fill(table: &str, columns: &[Column], is_sqlite: bool) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|column| value(table, column, is_sqlite))
        .collect();
    let keys: Vec<&str> = columns
        .iter()
        .filter(|column| column.is_key)
        .map(|column| column.name.as_str())
        .collect();
    // A key of columns with few values alone has no more rows than these have values.
    let rows = if !keys.is_empty() && keys.iter().all(|key| FEW.contains(key)) {
        20
    } else {
        ROWS
    };
    let numbers = if is_sqlite {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})")
    } else {
        format!("WITH n(i) AS (SELECT generate_series(1::bigint, {rows}))")
    };
    format!(
        "{numbers} INSERT INTO {table} (\"{}\") SELECT {} FROM n",
        names.join("\", \""),
        values.join(", ")
    )
}

async fn fill_all(scratch: &Scratch) {
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    macro_rules! run {
        ($pool:expr, $tables:expr, $before:expr, $after:expr, $is_sqlite:expr) => {{
            let mut connection = $pool.acquire().await.unwrap();
            for row in sqlx::query($tables).fetch_all(&mut *connection).await.unwrap() {
                tables.entry(row.get("of_table")).or_default().push(Column {
                    name: row.get("name"),
                    kind: row.get("kind"),
                    is_key: row.get("is_key"),
                });
            }
            for before in $before {
                sqlx::query(before).execute(&mut *connection).await.unwrap();
            }
            for (table, columns) in &tables {
                for sql in [format!("DELETE FROM {table}"), fill(table, columns, $is_sqlite)] {
                    if let Err(error) = sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *connection).await {
                        panic!("{sql}: {error}");
                    }
                }
            }
            for after in $after {
                sqlx::query(after).execute(&mut *connection).await.unwrap();
            }
        }};
    }
    match &scratch.store.engine {
        Engine::Sqlite { write, .. } => run!(
            write,
            TABLES_SQLITE,
            ["PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF"],
            ["PRAGMA foreign_keys = ON"],
            true
        ),
        Engine::Postgres(pool) => run!(
            pool,
            TABLES_POSTGRES,
            ["SET session_replication_role = replica"],
            ["SET session_replication_role = DEFAULT", "ANALYZE"],
            false
        ),
    }
    assert!(tables.len() > 40, "{} tables", tables.len());
}

/// What a plan does that costs more the more rows a table has.
type Faults = BTreeSet<String>;

fn grows(table: &str, tables: &BTreeSet<String>) -> bool {
    tables.contains(table) && !SMALL.contains(&table)
}

/// The names that a statement gives to tables.
fn aliases(text: &str, tables: &BTreeSet<String>) -> BTreeMap<String, String> {
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let mut names: BTreeMap<String, String> =
        tables.iter().map(|table| (table.clone(), table.clone())).collect();
    for (place, word) in words.iter().enumerate() {
        if !tables.contains(*word) {
            continue;
        }
        let next = words.get(place + 1).copied().unwrap_or_default();
        let next = if next.eq_ignore_ascii_case("as") {
            words.get(place + 2).copied().unwrap_or_default()
        } else {
            next
        };
        if next.len() <= 12 && next.chars().all(|c| c.is_lowercase() || c == '_') && !next.is_empty() {
            names.entry(next.to_owned()).or_insert_with(|| (*word).to_owned());
        }
    }
    names
}

async fn faults_sqlite(pool: &sqlx::SqlitePool, text: &str, tables: &BTreeSet<String>) -> Faults {
    let names = aliases(text, tables);
    let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let touched = |step: &String| {
        let name = step.split(' ').nth(1)?;
        names.get(name).filter(|table| grows(table, tables)).cloned()
    };
    let mut faults = Faults::new();
    let large: BTreeSet<String> = steps.iter().filter_map(touched).collect();
    for step in &steps {
        match touched(step) {
            Some(table) if step.starts_with("SCAN ") => {
                faults.insert(format!("reads all of {table}: {step}"));
            }
            _ if step.starts_with("USE TEMP B-TREE FOR") && !large.is_empty() => {
                faults.insert(format!("sorts what it read of {large:?}: {step}"));
            }
            _ => {}
        }
    }
    faults
}

fn walk(node: &Value, tables: &BTreeSet<String>, faults: &mut Faults) -> BTreeSet<String> {
    let mut large = BTreeSet::new();
    for child in node["Plans"].as_array().into_iter().flatten() {
        large.extend(walk(child, tables, faults));
    }
    let kind = node["Node Type"].as_str().unwrap_or_default();
    if let Some(table) = node["Relation Name"].as_str()
        && kind != "ModifyTable"
        && grows(table, tables)
    {
        large.insert(table.to_owned());
        let is_bounded = kind == "Bitmap Heap Scan" || kind == "Tid Scan" || node.get("Index Cond").is_some();
        if !is_bounded {
            faults.insert(format!("reads all of {table}: {kind}"));
        }
    }
    if matches!(kind, "Sort" | "Incremental Sort") && !large.is_empty() {
        faults.insert(format!("sorts what it read of {large:?}: {kind}"));
    }
    large
}

async fn faults_postgres(connection: &mut sqlx::PgConnection, text: &str, tables: &BTreeSet<String>) -> Faults {
    for set in ["DEALLOCATE ALL", "SET plan_cache_mode = force_generic_plan"] {
        sqlx::raw_sql(set).execute(&mut *connection).await.unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(format!("PREPARE asked AS {text}")))
        .execute(&mut *connection)
        .await
        .unwrap();
    let count: i32 = sqlx::query_scalar(
        "SELECT COALESCE(array_length(parameter_types, 1), 0) FROM pg_prepared_statements WHERE name = 'asked'",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let nothing = vec!["NULL"; count as usize].join(", ");
    let values = if count == 0 { String::new() } else { format!("({nothing})") };
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!(
        "EXPLAIN (FORMAT JSON) EXECUTE asked{values}"
    )))
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let mut faults = Faults::new();
    walk(&plan[0]["Plan"], tables, &mut faults);
    faults
}

fn is_planned(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first)
}

#[tokio::test]
async fn no_statement_reads_or_sorts_a_table_that_grows() {
    let mut told = Vec::new();
    let mut unused: BTreeSet<&str> = ALLOWED.iter().map(|(part, _)| *part).collect();
    for scratch in &crate::scratch::stores().await.unwrap() {
        fill_all(scratch).await;
        let store = &scratch.store;
        let own = crate::prepared::of_engine(&store.engine);
        for text in statements().into_iter().chain(own) {
            if !is_planned(&text) {
                continue;
            }
            let faults = match &store.engine {
                Engine::Sqlite { write, .. } => {
                    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
                        .fetch_all(write)
                        .await
                        .unwrap();
                    faults_sqlite(write, &text, &tables.into_iter().collect()).await
                }
                Engine::Postgres(pool) => {
                    let mut connection = pool.acquire().await.unwrap();
                    let tables: Vec<String> = sqlx::query_scalar(
                        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'",
                    )
                    .fetch_all(&mut *connection)
                    .await
                    .unwrap();
                    faults_postgres(&mut connection, &text, &tables.into_iter().collect()).await
                }
            };
            if faults.is_empty() {
                continue;
            }
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match ALLOWED.iter().find(|(part, _)| flat.contains(part)) {
                Some((part, _)) => {
                    unused.remove(part);
                }
                None => told.push(format!("{}: {faults:?}\n    {flat}", store.engine_name())),
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(unused.is_empty(), "no statement needs these allowances: {unused:?}");
}
