//! What the commands that change access print: plans, and outcomes with their exit code.

use crate::output::{Format, Printer};
use crate::stream;
use chrono::{DateTime, Utc};
use hub::provisioning::{Outcome, Plan, Step};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use web::api::changes::PlanBody;

/// Exit code if a guard refused the change.
pub(super) const REFUSED: u8 = 3;
/// Exit code if a change was sent and could not be verified.
const UNVERIFIED: u8 = 4;

pub(super) fn print_all(format: Format, made: &[(Value, Outcome)]) -> anyhow::Result<ExitCode> {
    let mut out = stream::Out;
    match (format, made) {
        (Format::Table, _) => {
            for (answer, _) in made {
                let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
                let what = if text("summary").is_empty() {
                    text("person")
                } else {
                    text("summary")
                };
                writeln!(out, "{}: {what}", text("outcome"))?;
                if !text("reason").is_empty() {
                    writeln!(out, "  reason: {}", text("reason"))?;
                }
                if let Some(expires_at) = answer["expires_at"].as_str() {
                    writeln!(out, "  expires: {expires_at}")?;
                }
                for remains in answer["remains"].as_array().into_iter().flatten() {
                    writeln!(
                        out,
                        "  remaining access: {}",
                        remains.as_str().unwrap_or_default()
                    )?;
                }
                for warning in answer["warnings"].as_array().into_iter().flatten() {
                    writeln!(out, "  warning: {}", warning.as_str().unwrap_or_default())?;
                }
            }
        }
        (Format::Json, [(only, _)]) => writeln!(out, "{only:#}")?,
        (Format::Json, _) => {
            let all: Vec<&Value> = made.iter().map(|(answer, _)| answer).collect();
            writeln!(out, "{:#}", json!(all))?;
        }
        _ => {
            let mut printer = Printer::new(
                format,
                &[
                    "outcome",
                    "person",
                    "summary",
                    "reason",
                    "expires_at",
                    "change_id",
                ],
            );
            for (answer, _) in made {
                printer.row(answer)?;
            }
            printer.finish("")?;
        }
    }
    Ok(code(made.iter().map(|(_, outcome)| *outcome).max()))
}

pub(super) fn code(worst: Option<Outcome>) -> ExitCode {
    match worst {
        Some(Outcome::Refused) => ExitCode::from(REFUSED),
        Some(Outcome::Unverified) => ExitCode::from(UNVERIFIED),
        _ => ExitCode::SUCCESS,
    }
}

pub(super) fn print_plans(format: Format, plans: Vec<Plan>) -> anyhow::Result<ExitCode> {
    let mut out = stream::Out;
    let refused = plans.iter().any(|plan| matches!(plan.step, Step::Refused { .. }));
    match (format, plans.len()) {
        (Format::Json, count) => {
            let bodies: Vec<PlanBody> = plans.into_iter().map(PlanBody::new).collect();
            match (bodies.first(), count) {
                (Some(only), 1) => writeln!(out, "{:#}", json!(only))?,
                _ => writeln!(out, "{:#}", json!(bodies))?,
            }
        }
        (Format::Ndjson, _) => {
            for plan in plans {
                writeln!(out, "{}", json!(PlanBody::new(plan)))?;
            }
        }
        (Format::Csv, _) => {
            let mut printer = Printer::new(format, PLANS);
            for plan in &plans {
                let mut row = json!(plan);
                row["verdict"] = row["step"]["verdict"].clone();
                row["reason"] = row["step"]["reason"].clone();
                row["ends_before"] = row["ends"]["before"].clone();
                row["ends_after"] = row["ends"]["after"].clone();
                row["person"] = json!(plan.request.email());
                printer.row(&row)?;
            }
            printer.finish("")?;
        }
        _ => {
            for plan in &plans {
                write_plan(&mut out, plan)?;
            }
        }
    }
    Ok(if refused {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}

const PLANS: &[&str] = &[
    "connection",
    "person",
    "summary",
    "verdict",
    "reason",
    "ends_before",
    "ends_after",
    "warnings",
    "remains",
];

pub(super) fn write_plan(out: &mut impl Write, plan: &Plan) -> std::io::Result<()> {
    let what = if plan.summary.is_empty() {
        format!("{} for {}", plan.request.action(), plan.request.email())
    } else {
        plan.summary.clone()
    };
    writeln!(out, "Plan for {}: {what}", plan.connection)?;
    match &plan.step {
        Step::Already { reason } if plan.changes_anything() => writeln!(out, "  {reason}")?,
        Step::Already { reason } => writeln!(out, "  nothing to do: {reason}")?,
        Step::Refused { reason, guard } => writeln!(out, "  refused ({}): {reason}", guard.as_str())?,
        Step::Write => {
            for difference in plan.differences() {
                let member = &difference.member;
                for value in &difference.added {
                    writeln!(out, "  + {member} {value}")?;
                }
                for value in &difference.removed {
                    writeln!(out, "  - {member} {value}")?;
                }
            }
            for call in &plan.calls {
                let call = hub::provisioning::call_in_words(call.method, &call.path, &plan.names);
                writeln!(out, "  call: {call}")?;
            }
        }
    }
    for guard in plan.guards.iter().filter(|guard| guard.passes) {
        writeln!(out, "  guard {}: passed, {}", guard.guard.as_str(), guard.words)?;
    }
    if let Some(ends) = plan.ends {
        let end = |at: Option<DateTime<Utc>>| {
            at.map_or("none".to_owned(), |at| {
                at.format("%Y-%m-%d %H:%M UTC").to_string()
            })
        };
        writeln!(out, "  expiry: {} → {}", end(ends.before), end(ends.after))?;
    }
    for effect in &plan.effects {
        writeln!(
            out,
            "  side effect: {}: {} → {}",
            effect.what, effect.before, effect.after
        )?;
    }
    for warning in &plan.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    for remains in &plan.remains {
        writeln!(out, "  remaining access: {remains}")?;
    }
    Ok(())
}
