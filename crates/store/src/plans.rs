//! Tests the query plan of every statement on both engines with filled tables: reading or sorting a whole growing table
//! fails.
//!
//! Reads the statements of [`crate::prepared`]. A statement that must read a whole table is listed in [`ALLOWED`] with
//! a reason; a listed reason that no statement needs also fails.

use crate::engine::Engine;
use crate::prepared::statements;
use crate::scratch::Scratch;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Rows in each table. Enough for PostgreSQL to prefer an index for a selective condition.
const ROWS: i64 = 10_000;

/// Tables that do not grow with records, time or people: one row for each object that an administrator configures.
const SMALL: &[&str] = &[
    "campaign",
    "access_token",
    "check_result",
    "connection",
    "consumer",
    "integration",
    "lease",
    "listing",
    "listing_progress",
    "log_source",
    "probe",
    "purge",
    "revision",
    "rule_document",
    "rule_mode",
    "rule_parameter",
    "sealing_key",
    "session",
    "signing_key",
    "sync_request",
    "time_mark",
    "watermark",
];

/// Columns with few distinct values.
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

/// Columns that select many rows at once: sorting those means sorting a growing table.
const MANY: &[&str] = &["batch_id", "event_id", "state"];

/// Partial indexes of pending work: reading one of them completely is what a stage does.
const WAITING: &[&str] = &["batch_waiting"];

/// Columns that mark a finished row; most rows are not finished.
const ENDS: &[&str] = &["deleted_at", "gone_at", "revoked_at"];

/// The final states of most rows, by table: one row in a hundred is pending.
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

/// Statements that may read or sort a growing table: a part of their text, and the reason.
const ALLOWED: &[(&str, &str)] = &[
    // A page that ends at its limit. With a filter that few rows pass it reads further.
    (
        "FROM batch WHERE (CAST($1 AS TEXT) IS NULL OR connection_id = $1) AND (CAST($2",
        PAGE,
    ),
    ("FROM message WHERE (CAST($1", PAGE),
    ("FROM signal WHERE (CAST($1", PAGE),
    ("FROM reject WHERE CAST($1", PAGE),
    ("FROM sync_run WHERE (CAST($1", PAGE),
    ("FROM access_change WHERE (CAST($1", PAGE),
    ("FROM finding WHERE (CAST($1", PAGE),
    ("FROM person WHERE (CAST($1", PAGE),
    ("FROM unmapped_identifier WHERE CAST($1", PAGE),
    ("FROM timed_grant WHERE (CAST($1", PAGE),
    // Totals that a person asks for.
    ("SELECT COUNT(*) AS batches", TOTAL),
    ("SELECT rule_name, COUNT(*) AS detections", TOTAL),
    ("SELECT rule_id, COUNT(*) AS matches", TOTAL),
    ("SELECT severity, state, COUNT(*)", TOTAL),
    ("SELECT risk_level, COUNT(*)", TOTAL),
    ("SELECT (SELECT COUNT(*) FROM connection)", TOTAL),
    ("SELECT COUNT(*) FROM person", TOTAL),
    ("SELECT dataset, COUNT(*) AS parts", TOTAL),
    ("SELECT connection_id, dataset, source, MAX(received_at)", TOTAL),
    // What a purge or a removal costs once.
    ("DELETE FROM connection WHERE id", REMOVAL),
    ("DELETE FROM operation WHERE finished_at", REMOVAL),
    ("DELETE FROM test_match WHERE who", REMOVAL),
    ("DELETE FROM identifier_seen WHERE dataset", REMOVAL),
    ("DELETE FROM evidence WHERE NOT is_held", REMOVAL),
    ("DELETE FROM unmapped_identifier WHERE identifier", REMOVAL),
    ("DELETE FROM reject_sample WHERE LOWER(excerpt)", REMOVAL),
    // Bounded by what is compared: one batch, one run, the people or the grants of one connection.
    ("FROM rule_hit WHERE event_id IN", BOUNDED),
    ("FROM identifier_seen WHERE connection_id", BOUNDED),
    ("FROM rule_hit WHERE watch = $1 AND group_key IN", BOUNDED),
    ("FROM reject WHERE batch_id = $1", BOUNDED),
    (
        "SELECT u.id FROM access_user u LEFT JOIN access_user_detail",
        BOUNDED,
    ),
    ("SELECT COUNT(*) FROM access_user_detail", BOUNDED),
    ("SELECT c.object_id, MAX(c.at) FROM sync_change", BOUNDED),
    ("SELECT c.* FROM sync_change c JOIN sync_run", BOUNDED),
    ("DELETE FROM sync_run WHERE connection_id", BOUNDED),
    ("SELECT m.id, MAX(u.gone_at) FROM member", BOUNDED),
    ("FROM risk_score_read WHERE connection_id", BOUNDED),
    ("FROM object_read WHERE connection_id", BOUNDED),
    // Bounded by what is still to be done.
    ("FROM finding WHERE state = 'muted'", OPEN),
    ("FROM timed_grant WHERE state = 'active'", OPEN),
    ("FROM timed_grant WHERE state IN ('active', 'overdue')", OPEN),
    ("FROM operation WHERE kind = $1 AND finished_at IS NULL", OPEN),
    ("UPDATE operation SET cancelled_by", OPEN),
    ("FROM signal s JOIN integration i", OPEN),
    ("FROM batch WHERE dataset = $1 AND received_at <", OPEN),
    ("FROM unmapped_identifier u JOIN person", OPEN),
    ("FROM batch WHERE has_object", OPEN),
    (
        "FROM part WHERE dropped_at IS NULL AND dataset = $1 AND last_us <",
        OPEN,
    ),
    ("FROM part WHERE dropped_at IS NULL AND last_us >=", BOUNDED),
    ("FROM part WHERE dropped_at IS NULL AND problem IS NOT NULL", OPEN),
];
const PAGE: &str = "a page in the order of an index, which ends at its limit";
const TOTAL: &str = "a total over all rows";
const REMOVAL: &str = "a removal, which is rare and must look at everything";
const BOUNDED: &str = "rows of one thing, however many others there are";
const OPEN: &str = "rows that wait for something, of which a stage leaves few";

struct Column {
    name: String,
    kind: String,
    is_key: bool,
    may_be_null: bool,
}

const TABLES_SQLITE: &str = r#"
    SELECT m.name AS of_table, c.name AS name, lower(c.type) AS kind, c.pk > 0 AS is_key,
        c."notnull" = 0 AND c.pk = 0 AS may_be_null
    FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\_sqlx%' ESCAPE '\' AND c.hidden = 0
    ORDER BY m.name, c.cid"#;
const TABLES_POSTGRES: &str = r"
    SELECT c.table_name AS of_table, c.column_name AS name, c.data_type AS kind, EXISTS (
        SELECT 1 FROM information_schema.table_constraints t JOIN information_schema.key_column_usage k
            ON k.constraint_name = t.constraint_name AND k.table_name = t.table_name
        WHERE t.constraint_type = 'PRIMARY KEY' AND t.table_name = c.table_name AND k.column_name = c.column_name
    ) AS is_key, c.is_nullable = 'YES' AS may_be_null
    FROM information_schema.columns c
    WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\_sqlx%' AND c.is_generated = 'NEVER'
    ORDER BY c.table_name, c.ordinal_position";

/// The value of one column in row `i`, in SQL for both engines.
fn value(table: &str, column: &Column, is_sqlite: bool) -> String {
    let value = some_value(table, column, is_sqlite);
    if !column.may_be_null {
        value
    } else if ENDS.contains(&column.name.as_str()) {
        format!("CASE WHEN i % 10 = 0 THEN {value} END")
    } else {
        format!("CASE WHEN i % 100 > 0 THEN {value} END")
    }
}

fn some_value(table: &str, column: &Column, is_sqlite: bool) -> String {
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
        other => panic!(
            "{table}.{} is of the type {other}: say what fills it",
            column.name
        ),
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
    let rows = match table {
        // One row by its definition.
        "sealing_key" | "revision" => 1,
        _ if !keys.is_empty() && keys.iter().all(|key| FEW.contains(key)) => 20,
        _ => ROWS,
    };
    let numbers = if is_sqlite {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})")
    } else {
        format!("WITH n(i) AS (SELECT generate_series(1::bigint, {rows}))")
    };
    let overriding = if is_sqlite { "" } else { "OVERRIDING SYSTEM VALUE" };
    format!(
        "{numbers} INSERT INTO {table} (\"{}\") {overriding} SELECT {} FROM n",
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
                    may_be_null: row.get("may_be_null"),
                });
            }
            for before in $before {
                sqlx::query(before).execute(&mut *connection).await.unwrap();
            }
            for (table, columns) in &tables {
                for sql in [format!("DELETE FROM {table}"), fill(table, columns, $is_sqlite)] {
                    if let Err(error) = sqlx::query(AssertSqlSafe(sql.clone()))
                        .execute(&mut *connection)
                        .await
                    {
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

/// Operations of a plan that become more expensive as the table grows.
type Faults = BTreeSet<String>;

fn grows(table: &str, tables: &BTreeSet<String>) -> bool {
    tables.contains(table) && !SMALL.contains(&table)
}

/// The aliases of tables in a statement.
fn aliases(text: &str, tables: &BTreeSet<String>) -> BTreeMap<String, String> {
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let mut names: BTreeMap<String, String> = tables
        .iter()
        .map(|table| (table.clone(), table.clone()))
        .collect();
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

/// Whether a search finds few rows: it compares a column with many distinct values.
fn is_selective(search: &str) -> bool {
    search
        .split(|c: char| !c.is_alphanumeric() && !"_=".contains(c))
        .filter_map(|word| word.strip_suffix('='))
        .any(|column| !FEW.contains(&column) && !MANY.contains(&column))
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
    let sorts = |step: &String| step.starts_with("USE TEMP B-TREE FOR") && !step.contains("LAST");
    // In the order of an index, without anything to look for: it ends at the limit.
    if !text.contains("WHERE") && text.contains("LIMIT") && !steps.iter().any(sorts) {
        return faults;
    }
    let large: BTreeSet<String> = steps
        .iter()
        .filter(|step| !is_selective(step))
        .filter_map(touched)
        .collect();
    for step in &steps {
        match touched(step) {
            Some(_) if WAITING.iter().any(|index| step.contains(index)) => {}
            Some(table) if step.starts_with("SCAN ") => {
                faults.insert(format!("reads all of {table}: {step}"));
            }
            _ if sorts(step) && !large.is_empty() => {
                faults.insert(format!("sorts what it read of {large:?}: {step}"));
            }
            _ => {}
        }
    }
    faults
}

fn walk(node: &Value, is_limited: bool, tables: &BTreeSet<String>, faults: &mut Faults) -> BTreeSet<String> {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let is_limited = match kind {
        "Limit" => true,
        "Sort" | "Aggregate" | "Hash" | "ModifyTable" => false,
        _ => is_limited,
    };
    let mut large = BTreeSet::new();
    for child in node["Plans"].as_array().into_iter().flatten() {
        large.extend(walk(child, is_limited, tables, faults));
    }
    if let Some(table) = node["Relation Name"].as_str()
        && kind != "ModifyTable"
        && grows(table, tables)
    {
        let looked_for = node.get("Index Cond").or_else(|| node.get("Recheck Cond"));
        let looked_for = looked_for.and_then(Value::as_str).unwrap_or_default();
        if !is_selective(&looked_for.replace(" = ", "= ")) {
            large.insert(table.to_owned());
        }
        let ends_at_limit = is_limited && node.get("Filter").is_none();
        let is_waiting = node["Index Name"]
            .as_str()
            .is_some_and(|name| WAITING.contains(&name));
        if looked_for.is_empty() && !ends_at_limit && !is_waiting {
            faults.insert(format!("reads all of {table}: {kind}"));
        }
    }
    if kind == "Sort" && !large.is_empty() {
        faults.insert(format!("sorts what it read of {large:?}: {kind}"));
    }
    large
}

async fn faults_postgres(
    connection: &mut sqlx::PgConnection,
    text: &str,
    tables: &BTreeSet<String>,
) -> Faults {
    sqlx::raw_sql("SET plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await
        .unwrap();
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
    let values = if count == 0 {
        String::new()
    } else {
        format!("({nothing})")
    };
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!(
        "EXPLAIN (FORMAT JSON) EXECUTE asked{values}"
    )))
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    sqlx::raw_sql("DEALLOCATE asked")
        .execute(&mut *connection)
        .await
        .unwrap();
    let mut faults = Faults::new();
    walk(&plan[0]["Plan"], false, tables, &mut faults);
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
    let scratches = crate::scratch::stores().await.unwrap();
    let engines = scratches.len();
    for scratch in &scratches {
        // As it is once the records of earlier versions are in the archive.
        scratch.store.earlier_events_end().await.unwrap();
        fill_all(scratch).await;
        let store = &scratch.store;
        let own = crate::prepared::of_engine(&store.engine);
        for text in statements().into_iter().chain(own) {
            if !is_planned(&text) {
                continue;
            }
            let faults = match &store.engine {
                Engine::Sqlite { write, .. } => {
                    let tables: Vec<String> =
                        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
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
    // Some are needed on one engine alone.
    if engines > 1 {
        assert!(
            unused.is_empty(),
            "no statement needs these allowances: {unused:?}"
        );
    }
}
