"""The official Python SDK, driven against a running sandbox.

`FLAREWARD_SANDBOX` holds the sandbox's information as one line of JSON, as `flareward sandbox -o json` prints it. The
sandbox must have more members than fit on one page (start it with `--members 60`). Run with `python -m unittest`.
"""

import json
import os
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer

import cloudflare
from cloudflare import Cloudflare

INFO = json.loads(os.environ["FLAREWARD_SANDBOX"])
ACCOUNT = INFO["account_id"]


def client(**credentials):
    return Cloudflare(base_url=INFO["base_url"], max_retries=0, **credentials)


API = client(api_token=INFO["token"])


class Accounts(unittest.TestCase):
    def test_the_account_is_listed_and_read(self):
        listed = list(API.accounts.list())
        self.assertEqual([account.id for account in listed], [ACCOUNT])
        self.assertEqual(API.accounts.get(account_id=ACCOUNT).name, INFO["account_name"])

    def test_tokens_are_verified_each_at_its_own_path(self):
        self.assertEqual(API.user.tokens.verify().status, "active")
        of_account = client(api_token=INFO["account_token"])
        self.assertEqual(of_account.accounts.tokens.verify(account_id=ACCOUNT).status, "active")
        with self.assertRaises(cloudflare.AuthenticationError):
            of_account.user.tokens.verify()
        with self.assertRaises(cloudflare.BadRequestError) as refused:
            list(of_account.accounts.list())
        self.assertEqual(refused.exception.errors[0].code, 1001)

    def test_the_global_key_works(self):
        with_key = client(api_email=INFO["email"], api_key=INFO["api_key"])
        self.assertTrue(with_key.user.get().id)

    def test_a_wrong_token_is_refused(self):
        with self.assertRaises(cloudflare.PermissionDeniedError) as refused:
            client(api_token="cfut_" + "0" * 40).accounts.get(account_id=ACCOUNT)
        self.assertEqual(refused.exception.errors[0].code, 9109)


class Members(unittest.TestCase):
    def test_all_pages_are_read(self):
        members = list(API.accounts.members.list(account_id=ACCOUNT))
        self.assertGreater(len(members), 50)
        self.assertEqual(len({member.id for member in members}), len(members))
        first = API.accounts.members.list(account_id=ACCOUNT, per_page=5)
        self.assertEqual(first.result_info.total_count, len(members))
        owner = next(member for member in members if member.email == INFO["email"])
        self.assertTrue(owner.user.two_factor_authentication_enabled)
        self.assertIn("Super Administrator", [role.name for role in owner.roles])

    def test_someone_is_invited_changed_and_removed(self):
        roles = list(API.accounts.roles.list(account_id=ACCOUNT))
        invited = API.accounts.members.create(
            account_id=ACCOUNT, email="py@tidewater.example", roles=[roles[0].id]
        )
        self.assertEqual((invited.status, invited.roles), ("pending", None))
        self.assertIsNone(invited.user.id)
        changed = API.accounts.members.update(
            invited.id, account_id=ACCOUNT, roles=[{"id": roles[0].id}, {"id": roles[1].id}]
        )
        self.assertEqual({role.id for role in changed.roles}, {roles[0].id, roles[1].id})
        with self.assertRaises(cloudflare.BadRequestError) as refused:
            API.accounts.members.create(account_id=ACCOUNT, email="PY@tidewater.example", roles=[roles[0].id])
        self.assertEqual(refused.exception.errors[0].code, 1008)
        self.assertEqual(API.accounts.members.delete(invited.id, account_id=ACCOUNT).id, invited.id)
        with self.assertRaises(cloudflare.NotFoundError):
            API.accounts.members.get(invited.id, account_id=ACCOUNT)

    def test_the_highest_role_is_not_listed(self):
        names = [role.name for role in API.accounts.roles.list(account_id=ACCOUNT)]
        self.assertNotIn("Super Administrator", names)
        highest = API.accounts.roles.get("33666b9c79b9a5273fc7344ff42f953d", account_id=ACCOUNT)
        self.assertEqual(highest.name, "Super Administrator")


class Access(unittest.TestCase):
    def test_users_are_found_made_and_removed(self):
        found = list(API.zero_trust.access.users.list(account_id=ACCOUNT, email="ines.moreau@tidewater.example"))
        self.assertEqual([user.name for user in found], ["Ines Moreau"])
        all_users = list(API.zero_trust.access.users.list(account_id=ACCOUNT, per_page=5))
        self.assertGreaterEqual(len(all_users), 16)
        made = API.zero_trust.access.users.create(account_id=ACCOUNT, email="py.user@tidewater.example", name="Py")
        renamed = API.zero_trust.access.users.update(
            made.id, account_id=ACCOUNT, email="py.user@tidewater.example", name="Py User"
        )
        self.assertEqual(renamed.name, "Py User")
        API.zero_trust.access.users.delete(made.id, account_id=ACCOUNT)
        with self.assertRaises(cloudflare.NotFoundError):
            API.zero_trust.access.users.get(made.id, account_id=ACCOUNT)
        sessions = list(API.zero_trust.access.users.active_sessions.list(found[0].id, account_id=ACCOUNT))
        self.assertEqual(len(sessions), 1)
        identity = API.zero_trust.access.users.last_seen_identity.get(found[0].id, account_id=ACCOUNT)
        self.assertEqual((identity.email, identity.geo.country), ("ines.moreau@tidewater.example", "FR"))

    def test_groups_are_made_replaced_and_removed(self):
        groups = API.zero_trust.access.groups
        rule = {"email": {"email": "a@tidewater.example"}}
        made = groups.create(account_id=ACCOUNT, name="Py crew", include=[rule], require=[{"everyone": {}}])
        self.assertEqual(made.include[0].email.email, "a@tidewater.example")
        replaced = groups.update(made.id, account_id=ACCOUNT, name="Py crew", include=[rule])
        self.assertEqual(replaced.require, [])
        listed = list(groups.list(account_id=ACCOUNT, name="Py crew"))
        self.assertEqual([group.id for group in listed], [made.id])
        self.assertEqual(groups.delete(made.id, account_id=ACCOUNT).id, made.id)


class Risk(unittest.TestCase):
    def test_integrations_are_made_overwritten_and_removed(self):
        integrations = API.zero_trust.risk_scoring.integrations
        made = integrations.create(
            account_id=ACCOUNT, integration_type="Okta", tenant_url=INFO["okta_url"], reference_id="py-idp"
        )
        self.assertTrue(made.active)
        self.assertEqual(integrations.references.get("py-idp", account_id=ACCOUNT).id, made.id)
        changed = integrations.update(made.id, account_id=ACCOUNT, active=False, tenant_url=INFO["okta_url"])
        self.assertEqual((changed.active, changed.reference_id), (False, ""))
        self.assertIn(made.id, [one.id for one in integrations.list(account_id=ACCOUNT)])
        integrations.delete(made.id, account_id=ACCOUNT)
        with self.assertRaises(cloudflare.NotFoundError):
            integrations.get(made.id, account_id=ACCOUNT)

    def test_the_summary_names_who_is_at_risk(self):
        users = API.zero_trust.risk_scoring.summary.get(account_id=ACCOUNT).users
        self.assertEqual((users[0].email, users[0].max_risk_level), ("ines.moreau@tidewater.example", "high"))
        user = API.zero_trust.risk_scoring.get(users[0].user_id, account_id=ACCOUNT)
        self.assertEqual((user.risk_level, user.events[0].name), ("high", "imp_travel"))
        behaviours = API.zero_trust.risk_scoring.behaviours.get(account_id=ACCOUNT).behaviors
        self.assertIn("high_dlp", behaviours)


class Intelligence(unittest.TestCase):
    def test_addresses_and_domains_are_described(self):
        ip = API.intel.ips.get(account_id=ACCOUNT, ipv4="203.0.113.31")[0]
        self.assertEqual([risk.id for risk in ip.risk_types], [131])
        domain = API.intel.domains.get(account_id=ACCOUNT, domain="chat.promptharbour.example")
        self.assertEqual(domain.content_categories[0].id, 184)
        bulk = API.intel.domains.bulks.get(account_id=ACCOUNT, domain=["a.example", "parcel-redelivery.example"])
        self.assertEqual(bulk[1].risk_types[0].name, "Phishing")
        whois = API.intel.whois.get(account_id=ACCOUNT, domain="a.example")
        self.assertTrue(whois.found)


class TakesLogs(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Logpush(unittest.TestCase):
    def test_jobs_are_made_changed_and_removed(self):
        server = HTTPServer(("127.0.0.1", 0), TakesLogs)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        destination = f"http://127.0.0.1:{server.server_port}/logs?header_X-Key=abc"
        jobs = API.logpush.jobs
        made = jobs.create(
            account_id=ACCOUNT,
            destination_conf=destination,
            dataset="audit_logs_v2",
            enabled=True,
            output_options={"timestamp_format": "rfc3339"},
        )
        self.assertEqual((made.dataset, made.enabled, made.destination_conf), ("audit_logs_v2", True, destination))
        self.assertEqual(made.output_options.timestamp_format, "rfc3339")
        self.assertFalse(jobs.update(made.id, account_id=ACCOUNT, enabled=False).enabled)
        self.assertIn(made.id, [job.id for job in jobs.list(account_id=ACCOUNT)])
        fields = API.logpush.datasets.fields.get("audit_logs_v2", account_id=ACCOUNT)
        self.assertIn("ActorEmail", fields)
        jobs.delete(made.id, account_id=ACCOUNT)
        with self.assertRaises(cloudflare.NotFoundError):
            jobs.get(made.id, account_id=ACCOUNT)
        with self.assertRaises(cloudflare.BadRequestError):
            jobs.create(account_id=ACCOUNT, destination_conf="http://127.0.0.1:9/none", enabled=True)


if __name__ == "__main__":
    unittest.main()
