//! `flareward access`: whether one person has one thing, and why.

use super::{connection, person};
use crate::Global;
use crate::output::{Format, object};
use hub::access::explain::{RuleSet, explain, resolve};
use hub::access::{Explanation, Target};
use std::fmt::Write as _;
use web::api::explain::ExplanationBody;

/// Subcommands of `access`.
#[derive(Debug, clap::Args)]
pub(crate) struct AccessArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Explain why a person has, or does not have, a group, application or role
    Explain(ExplainArgs),
}

/// The person and the group, application or role.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["group", "app", "role"]))]
pub(crate) struct ExplainArgs {
    /// Person (email address or ID)
    #[arg(long)]
    person: String,
    /// Access group (ID or exact name)
    #[arg(long)]
    group: Option<String>,
    /// Application (ID or exact name)
    #[arg(long)]
    app: Option<String>,
    /// Role (ID or exact name)
    #[arg(long)]
    role: Option<String>,
    /// Connection; required if the name exists in several connections
    #[arg(long, value_name = "LABEL")]
    connection: Option<String>,
    /// First fetch the person's last seen identity from Cloudflare
    #[arg(long)]
    refresh: bool,
}

pub(crate) async fn run(args: AccessArgs, global: &Global) -> anyhow::Result<()> {
    let Action::Explain(args) = args.action;
    let app = crate::open(global).await?;
    let person = person(&app, &args.person).await?;
    let connection = match &args.connection {
        Some(label) => Some(connection(&app, Some(label)).await?),
        None => None,
    };
    let target = match (args.group, args.app, args.role) {
        (Some(group), ..) => Target::Group(group),
        (_, Some(app), _) => Target::App(app),
        (.., role) => Target::Role(role.unwrap_or_default()),
    };
    let entitlement = resolve(&app, connection.as_ref(), &target).await?;
    if args.refresh {
        hub::sync::detail::of_person(&app, &person.id).await?;
    }
    let explanation = explain(&app, &person, &entitlement).await?;
    if global.output == Format::Table {
        print!("{}", in_words(&explanation));
    } else {
        let body = ExplanationBody::new(explanation, entitlement.connection.id.0);
        object(global.output, &serde_json::to_value(body)?)?;
    }
    Ok(())
}

fn in_words(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.sentence());
    if !explanation.via.is_empty() {
        let _ = writeln!(text, "\nVia: {}", explanation.via.join(" > "));
    }
    if !explanation.rules.is_empty() {
        text.push('\n');
    }
    for set in &explanation.rules {
        tree(set, 0, &mut text);
    }
    if !explanation.depends_on.is_empty() {
        text.push_str("\nDepends on:\n");
        for what in &explanation.depends_on {
            let _ = writeln!(text, "  {what}");
        }
    }
    if explanation.address != explanation.email {
        let _ = writeln!(text, "\nAddress: {}", explanation.address);
    }
    match explanation.as_of {
        Some(at) => {
            let at = at.format("%Y-%m-%d %H:%M:%S UTC");
            let _ = writeln!(
                text,
                "\nBased on the data of {} as of {at}.",
                explanation.connection
            );
        }
        None => {
            let _ = writeln!(
                text,
                "\n{} has never been fully synced: run `flareward sync`.",
                explanation.connection
            );
        }
    }
    text
}

/// One group or policy, and what is nested in it, each rule on a line with its verdict first.
fn tree(set: &RuleSet, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let terms = if set.terms.is_empty() {
        String::new()
    } else {
        format!(" ({})", set.terms.join(", "))
    };
    let _ = writeln!(text, "{indent}{:<12}{}{terms}", set.verdict, set.what);
    let inner = "  ".repeat(depth + 1);
    for rule in &set.rules {
        match &rule.group {
            Some(group) => {
                let _ = writeln!(text, "{inner}{:<12}{} {}:", rule.verdict, rule.list, rule.rule);
                tree(group, depth + 2, text);
            }
            None => {
                let never = rule.never.map(|never| format!(": {never}")).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "{inner}{:<12}{} {}{never}",
                    rule.verdict, rule.list, rule.rule
                );
            }
        }
    }
    match set.other_rules {
        0 => {}
        1 => text.push_str(&format!("{inner}1 more rule does not apply\n")),
        more => text.push_str(&format!("{inner}{more} more rules do not apply\n")),
    }
}
