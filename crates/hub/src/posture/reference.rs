//! The page `docs/posture.md`, made from the catalogue.

use super::catalogue;
use super::check::words;
use model::Severity;
use std::fmt::Write as _;

const HEAD: &str = "# Posture checks

Flareward checks each account after every sync, using only the data that was synced: the checks send no requests to
Cloudflare and change nothing. To see open findings, run `flareward posture`, open the console's Posture page, or call
`/api/v1/posture/findings`. `flareward posture reference` generates this page.

The result of a check is **pass**, **fail** or **unknown**. If a list that a check needs is unreadable with the
credential, stale, or was never read, the result is unknown, never pass, and existing findings do not change.
`flareward posture` shows which permission is missing. If a check can evaluate only some objects, it reports both
findings and unknown objects.

A finding is **open**, **muted** (someone accepted it with a reason; if the mute has an end, the finding reopens then)
or **resolved** (no longer found). `flareward posture` exits with 0 if no finding at or above `--fail-on` (default:
`high`) is open, and with 3 otherwise.

*Controls* lists the controls that a check provides evidence for: SOC 2 (trust services criteria 2017), ISO/IEC
27001:2022 annex A, CIS Controls 8. Terraform hints are for version 5 of Cloudflare's provider.
";

/// Checks that are wanted and whose data is not read yet.
const MISSING: &[(&str, &str)] = &[
    ("device_not_seen_90d", "devices are not synced yet"),
    (
        "risk_behaviours_all_disabled",
        "`flareward doctor` tests access to Cloudflare's risk behaviours, but Flareward does not store them",
    ),
    (
        "token_overscoped_vs_used",
        "Cloudflare reports when a token was last used, but not which permissions were used",
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
            let _ = writeln!(page, "- **Data**: {}", needs.join("; "));
            let permissions = check.permissions();
            if !permissions.is_empty() {
                let _ = writeln!(page, "- **Permission**: {}", permissions.join("; "));
            }
            let _ = writeln!(page, "- **Limits**: {}", check.unknown);
            let _ = writeln!(page, "- **Remedy**: {}", check.remedy);
            if let Some(command) = check.command {
                let _ = writeln!(page, "- **Command**: `{command}`");
            }
            if let Some(terraform) = check.terraform {
                let _ = writeln!(page, "- **Terraform**: `{terraform}`");
            }
            if !check.frameworks.is_empty() {
                let _ = writeln!(page, "- **Controls**: {}", check.frameworks.join(", "));
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
