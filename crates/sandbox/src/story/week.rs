//! The week at Tidewater: everyone's activity on an ordinary day, and the nine incidents.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::json;

use crate::catalog::{
    AI_SITE, CONTROL_SITE, MAILED_LINK, MALWARE_SITE, ORDINARY, PHISHING_PARCEL, PHISHING_SITE, TOR_SITE,
};
use crate::logpush::record::Item;
use crate::story::account::{Change, Mail};
use crate::story::gateway::Request;
use crate::story::script::{Actor, Script};
use crate::world::people::{NON_IDENTITY, Part, STRANGER};
use crate::world::role::SUPER_ADMINISTRATOR;

pub(crate) const ALLOWED: &str = "allowedOnNoPolicyMatch";
pub(crate) const BLOCKED: &str = "blockedByCategory";

/// The number of days in the story; the last one is yesterday.
const DAYS: i64 = 6;

/// Writes the week that ends at `now`.
pub(crate) fn write(script: &mut Script, now: DateTime<Utc>) {
    let day = |days_ago: i64, hour: i64, minute: i64| {
        let midnight = (now - TimeDelta::days(days_ago))
            .date_naive()
            .and_time(NaiveTime::MIN)
            .and_utc();
        midnight + TimeDelta::minutes(hour * 60 + minute)
    };
    for days_ago in (1..=DAYS).rev() {
        for actor in script.actors.clone() {
            // Her two logins of yesterday are the story; others would blur it.
            if actor.part != Part::Traveller || days_ago > 1 {
                ordinary_day(script, &actor, day(days_ago, 8, 0));
            }
        }
    }
    travels_impossibly(script, day(1, 9, 10));
    uploads_customers_to_ai(script, day(3, 14, 5));
    keeps_meeting_phishing(
        script,
        &[day(6, 9, 30), day(5, 11, 2), day(3, 15, 40), day(2, 10, 12)],
    );
    switches_the_client_off(script, day(4, 9, 45));
    clicks_a_mailed_link(script, day(2, 8, 31));
    downloads_a_bad_file(script, day(5, 13, 20));
    an_administrator_removes_the_log_export(script, day(1, 16, 2));
    hides_behind_tor_and_calls_home(script, day(4, 17, 15));
    is_locked_out(script, day(2, 7, 55));
    nobody_in_particular(script, day(3, 12, 0));
    ordinary_mail_and_changes(script, &[day(6, 8, 0), day(4, 8, 0), day(2, 16, 0)]);
    script.items.push(Item::Malformed {
        dataset: "gateway_http",
        text: "{\"AccountID\":\"cut off in the mid".to_owned(),
    });
}

/// A morning login, and ordinary pages.
pub(crate) fn ordinary_day(script: &mut Script, actor: &Actor, morning: DateTime<Utc>) {
    let arrives = morning + TimeDelta::minutes(script.ids.between(0, 55));
    script.login(actor, arrives, true, actor.connection);
    let back = arrives + TimeDelta::minutes(script.ids.between(200, 300));
    script.login(actor, back, true, actor.connection);
    for _ in 0..4 {
        let at = arrives + TimeDelta::minutes(script.ids.between(1, 480));
        ordinary_visit(script, actor, at);
    }
}

/// One page of an ordinary site.
pub(crate) fn ordinary_visit(script: &mut Script, actor: &Actor, at: DateTime<Utc>) {
    let site = *script.ids.pick(ORDINARY);
    script.lookups(actor, at, &site, ALLOWED);
    script.http(
        actor,
        at + TimeDelta::seconds(1),
        &site,
        &Request {
            path: "/today",
            ..Request::default()
        },
    );
}

/// Paris, and forty minutes later Singapore.
pub(crate) fn travels_impossibly(script: &mut Script, at: DateTime<Utc>) {
    let home = script.actor(Part::Traveller);
    let far = Actor {
        country: "SG",
        ip: "203.0.113.140".to_owned(),
        ..home.clone()
    };
    script.login(&home, at, true, "okta");
    script.login(&far, at + TimeDelta::minutes(40), true, "okta");
}

/// Blocked twice, then allowed twice.
pub(crate) fn uploads_customers_to_ai(script: &mut Script, at: DateTime<Utc>) {
    let actor = script.actor(Part::AiUploader);
    script.lookups(&actor, at, &AI_SITE, ALLOWED);
    for (minute, action) in [(1, "block"), (3, "block"), (9, "allow"), (14, "allow")] {
        let request = Request {
            method: "POST",
            path: "/api/conversation",
            action,
            referer: "https://chat.promptharbour.example/",
            upload_profiles: &["Customer records"],
            uploaded_files: &["customers-q3.csv"],
            ..Request::default()
        };
        script.http(&actor, at + TimeDelta::minutes(minute), &AI_SITE, &request);
    }
}

/// Lookups on several days, the first two blocked; at the end, a form is submitted.
pub(crate) fn keeps_meeting_phishing(script: &mut Script, times: &[DateTime<Utc>]) {
    let actor = script.actor(Part::PhishingMeeter);
    for (nth, at) in times.iter().enumerate() {
        let site = if nth % 2 == 0 {
            PHISHING_PARCEL
        } else {
            PHISHING_SITE
        };
        script.lookups(&actor, *at, &site, if nth < 2 { BLOCKED } else { ALLOWED });
    }
    if let Some(last) = times.last() {
        let form = Request {
            method: "POST",
            path: "/session",
            referer: "https://tidewater-sso-login.example/",
            ..Request::default()
        };
        script.http(&actor, *last + TimeDelta::seconds(40), &PHISHING_SITE, &form);
    }
}

/// Off and on, four times in a day.
pub(crate) fn switches_the_client_off(script: &mut Script, at: DateTime<Utc>) {
    let actor = script.actor(Part::ClientSwitcher);
    for nth in 0..4 {
        let off = at + TimeDelta::minutes(nth * 95);
        script.toggle(&actor, off, false);
        script.toggle(&actor, off + TimeDelta::minutes(25), true);
    }
}

/// A message with a link, and half an hour later a visit to the link's destination.
pub(crate) fn clicks_a_mailed_link(script: &mut Script, at: DateTime<Utc>) {
    let actor = script.actor(Part::LinkClicker);
    let mail = Mail {
        from: "billing@invoice-review.example",
        from_name: "Accounts Payable",
        subject: "Overdue: invoice 20417 needs your review",
        disposition: "malicious",
        links: &[
            "https://invoice-review.example/view?id=20417",
            "https://www.tidewater.example/",
        ],
        threats: &["CredentialHarvester"],
    };
    script.mail(&actor, at, &mail);
    let click = at + TimeDelta::minutes(34);
    script.lookups(&actor, click, &MAILED_LINK, ALLOWED);
    let visit = Request {
        path: "/view?id=20417",
        referer: "https://outlook.office.com/mail/inbox",
        ..Request::default()
    };
    script.http(&actor, click + TimeDelta::seconds(1), &MAILED_LINK, &visit);
}

/// The virus scanner blocks and quarantines the file.
pub(crate) fn downloads_a_bad_file(script: &mut Script, at: DateTime<Utc>) {
    let actor = script.actor(Part::FileDownloader);
    script.lookups(&actor, at, &MALWARE_SITE, ALLOWED);
    let download = Request {
        path: "/download/pdf-merge-setup.exe",
        action: "block",
        referer: "https://search.lookup.example/",
        blocked_file: Some(("pdf-merge-setup.exe", "exe", "malware")),
        ..Request::default()
    };
    script.http(&actor, at + TimeDelta::seconds(3), &MALWARE_SITE, &download);
}

/// The log export is deleted, a colleague becomes Super Administrator and creates a token that can write logs.
fn an_administrator_removes_the_log_export(script: &mut Script, at: DateTime<Utc>) {
    let remover = script.actor(Part::LogpushRemover);
    let maker = script.actor(Part::TokenMaker);
    script.change(
        &remover,
        at,
        &Change {
            action: "delete",
            description: "Delete a Logpush job",
            method: "DELETE",
            path: "logpush/jobs/409811",
            product: "logpush",
            resource_type: "logpush_job",
            request: json!({}),
        },
    );
    script.change(
        &remover,
        at + TimeDelta::minutes(18),
        &Change {
            action: "update",
            description: "Update an account member",
            method: "PUT",
            path: "members/5f1d7a9e",
            product: "members",
            resource_type: "account_member",
            request: json!({
                "email": maker.email, "roles": [{ "id": SUPER_ADMINISTRATOR, "name": "Super Administrator" }],
            }),
        },
    );
    script.change(
        &maker,
        at + TimeDelta::minutes(56),
        &Change {
            action: "create",
            description: "Create an API token",
            method: "POST",
            path: "tokens",
            product: "api_tokens",
            resource_type: "api_token",
            request: json!({
                "name": "weekend-export",
                "policies": [{ "effect": "allow", "permission_groups": [{ "name": "Logs Write" }] }],
            }),
        },
    );
}

/// One lookup of an anonymizer, then repeated requests to the same distant server.
fn hides_behind_tor_and_calls_home(script: &mut Script, at: DateTime<Utc>) {
    let actor = script.actor(Part::Infected);
    script.lookups(&actor, at, &TOR_SITE, ALLOWED);
    for nth in 0..8 {
        let decision = if nth < 2 { ALLOWED } else { BLOCKED };
        script.dns(
            &actor,
            at + TimeDelta::minutes(20 + nth * 10),
            &CONTROL_SITE,
            (1, "A"),
            decision,
        );
    }
}

/// Denied six times within minutes, then allowed with a one-time PIN.
pub(crate) fn is_locked_out(script: &mut Script, at: DateTime<Utc>) {
    let actor = script.actor(Part::LockedOut);
    for nth in 0..6 {
        script.login(&actor, at + TimeDelta::seconds(nth * 70), false, "okta");
    }
    script.login(&actor, at + TimeDelta::minutes(11), true, "onetimepin");
}

/// Traffic without an identity, and with an address that is in no list.
fn nobody_in_particular(script: &mut Script, at: DateTime<Utc>) {
    let kiosk = script.nobody(NON_IDENTITY, "TW-KIOSK-1");
    let stranger = script.nobody(STRANGER, "DW-LAPTOP-7");
    for nth in 0..8 {
        ordinary_visit(script, &kiosk, at + TimeDelta::minutes(nth * 13));
    }
    for nth in 0..3 {
        ordinary_visit(script, &stranger, at + TimeDelta::minutes(nth * 29));
    }
    script.lookups(&stranger, at + TimeDelta::minutes(95), &PHISHING_PARCEL, BLOCKED);
}

/// Newsletters, and small administrative changes.
fn ordinary_mail_and_changes(script: &mut Script, mornings: &[DateTime<Utc>]) {
    let owner = script.actor(Part::Owner);
    for (nth, morning) in mornings.iter().enumerate() {
        let mail = Mail {
            from: "offers@daily.example",
            from_name: "The Daily",
            subject: "This week's reading",
            disposition: if nth == 1 { "spam" } else { "bulk" },
            links: &["https://news.daily.example/week"],
            threats: &[],
        };
        for actor in script.actors.clone().iter().take(5) {
            let at = *morning + TimeDelta::minutes(script.ids.between(0, 40));
            script.mail(actor, at, &mail);
        }
        let change = Change {
            action: "update",
            description: "Update a Gateway rule",
            method: "PUT",
            path: "gateway/rules/2f6a",
            product: "gateway",
            resource_type: "gateway_rule",
            request: json!({ "name": "Block threats", "enabled": true }),
        };
        script.change(&owner, *morning + TimeDelta::minutes(70), &change);
    }
}
