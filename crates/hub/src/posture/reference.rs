//! The page `docs/posture.md`, made from the catalogue.

use super::catalogue;
use super::check::words;
use model::Severity;
use std::fmt::Write as _;

const HEAD: &str = "# Posture checks

Flareward checks each account after every sync, from what it has read: it asks Cloudflare nothing more and changes
nothing. `flareward posture` shows what is open, the console's page Posture and `/api/v1/posture/findings` show the
same. This page is made by `flareward posture reference`.

An answer is **pass**, **fail** or **unknown**. A list that the credential may not read, that is stale or that was never
read makes its checks unknown, never passed, and their findings stay as they were; `flareward posture` says which
permission is missing. A check that can judge some things and not others says both.

A finding is **open**, **muted** (someone accepted it, with a reason and perhaps an end; then it opens again) or
**resolved** (it was no longer found). `flareward posture` ends with 0 when nothing is open at or above `--fail-on`
(`high` unless said otherwise), and with 3 when something is.

The controls named are those that the check is evidence for: SOC 2 (trust services criteria 2017), ISO/IEC 27001:2022
annex A, CIS Controls 8. Terraform hints are for Cloudflare's provider 5.
";

/// Checks that are wanted and whose data is not read yet.
const MISSING: &[(&str, &str)] = &[
    ("device_not_seen_90d", "devices are not synced yet"),
    (
        "risk_behaviours_all_disabled",
        "Cloudflare's risk behaviours are probed by `flareward doctor` and not kept",
    ),
    (
        "token_overscoped_vs_used",
        "Cloudflare tells when a token was last used, not which of its permissions",
    ),
];

/// The whole page, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for severity in Severity::WORST_FIRST {
        let _ = write!(page, "\n## {}\n", capital(severity.as_str()));
        for check in catalogue().filter(|check| check.severity == severity) {
            let _ = write!(page, "\n### `{}`\n\n{}\n\n", check.id, check.question);
            let mut needs: Vec<String> = check
                .lists
                .iter()
                .map(|kind| words(kind).to_owned())
                .chain((!check.besides.is_empty()).then(|| check.besides.to_owned()))
                .collect();
            needs.dedup();
            let _ = writeln!(page, "- **Reads**: {}", needs.join("; "));
            let permissions = check.permissions();
            if !permissions.is_empty() {
                let _ = writeln!(page, "- **Permission**: {}", permissions.join("; "));
            }
            let _ = writeln!(page, "- **Unknown**: {}", check.unknown);
            let _ = writeln!(page, "- **Remedy**: {}", check.remedy);
            if let Some(command) = check.command {
                let _ = writeln!(page, "- **Command**: `{command}`");
            }
            if let Some(terraform) = check.terraform {
                let _ = writeln!(page, "- **Terraform**: `{terraform}`");
            }
            if !check.frameworks.is_empty() {
                let _ = writeln!(page, "- **Evidence for**: {}", check.frameworks.join(", "));
            }
        }
    }
    page.push_str("\n## Not checked yet\n\n");
    for (id, why) in MISSING {
        let _ = writeln!(page, "- `{id}`: {why}.");
    }
    page
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}
