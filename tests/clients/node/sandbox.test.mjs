// The official TypeScript SDK, driven against a running sandbox.
//
// FLAREWARD_SANDBOX holds the sandbox's information as one line of JSON, as `flareward sandbox -o json` prints it. The
// sandbox must have more members than fit on one page (start it with `--members 60`).

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import Cloudflare from "cloudflare";

const info = JSON.parse(process.env.FLAREWARD_SANDBOX ?? "null");
const skip = info ? false : "FLAREWARD_SANDBOX is not set";
const account_id = info?.account_id;
const client = (credentials) => new Cloudflare({ baseURL: info.base_url, maxRetries: 0, ...credentials });
const api = info && client({ apiToken: info.token });

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

test("accounts and tokens", { skip }, async () => {
  assert.deepEqual((await all(api.accounts.list())).map((account) => account.id), [account_id]);
  assert.equal((await api.accounts.get({ account_id })).name, info.account_name);
  assert.equal((await api.user.tokens.verify()).status, "active");
  const ofAccount = client({ apiToken: info.account_token });
  assert.equal((await ofAccount.accounts.tokens.verify({ account_id })).status, "active");
  await assert.rejects(ofAccount.user.tokens.verify(), { status: 401 });
  await assert.rejects(all(ofAccount.accounts.list()), (error) => error.status === 400 && error.errors[0].code === 1001);
});

test("members over several pages", { skip }, async () => {
  const members = await all(api.accounts.members.list({ account_id }));
  assert.ok(members.length > 50);
  assert.equal(new Set(members.map((member) => member.id)).size, members.length);
  const pending = await all(api.accounts.members.list({ account_id, status: "pending" }));
  assert.ok(pending.length >= 2 && pending.every((member) => member.user.id === undefined));
});

test("someone is invited, changed and removed", { skip }, async () => {
  const roles = await all(api.accounts.roles.list({ account_id }));
  assert.ok(!roles.some((role) => role.name === "Super Administrator"));
  const email = "node@tidewater.example";
  const invited = await api.accounts.members.create({ account_id, email, roles: [roles[0].id] });
  assert.equal(invited.status, "pending");
  assert.equal(invited.roles, undefined);
  const changed = await api.accounts.members.update(invited.id, { account_id, roles: [{ id: roles[1].id }] });
  assert.deepEqual(changed.roles.map((role) => role.id), [roles[1].id]);
  await api.accounts.members.delete(invited.id, { account_id });
  await assert.rejects(api.accounts.members.get(invited.id, { account_id }), { status: 404 });
});

test("Zero Trust users", { skip }, async () => {
  const users = api.zeroTrust.access.users;
  const [ines] = await all(users.list({ account_id, email: "ines.moreau@tidewater.example" }));
  assert.equal(ines.name, "Ines Moreau");
  const made = await users.create({ account_id, email: "node.user@tidewater.example", name: "Node" });
  await users.update(made.id, { account_id, email: "node.user@tidewater.example", name: "Node User" });
  assert.equal((await users.get(made.id, { account_id })).name, "Node User");
  await users.delete(made.id, { account_id });
  assert.equal((await all(users.failedLogins.list(ines.id, { account_id }))).length, 0);
  assert.equal((await users.lastSeenIdentity.get(ines.id, { account_id })).geo.country, "FR");
});

test("Access groups", { skip }, async () => {
  const groups = api.zeroTrust.access.groups;
  const include = [{ email: { email: "a@tidewater.example" } }];
  const made = await groups.create({ account_id, name: "Node crew", include, exclude: [{ everyone: {} }] });
  assert.deepEqual(made.include, include);
  const replaced = await groups.update(made.id, { account_id, name: "Node crew", include });
  assert.deepEqual(replaced.exclude, []);
  const listed = await all(groups.list({ account_id }));
  assert.ok(listed.some((group) => group.id === made.id));
  assert.equal((await groups.delete(made.id, { account_id })).id, made.id);
});

test("risk scoring", { skip }, async () => {
  const { integrations, summary } = api.zeroTrust.riskScoring;
  const tenant_url = info.okta_url;
  const made = await integrations.create({
    account_id, integration_type: "Okta", tenant_url, reference_id: "node-idp",
  });
  assert.equal((await integrations.references.get("node-idp", { account_id })).id, made.id);
  const changed = await integrations.update(made.id, { account_id, active: false, tenant_url });
  assert.deepEqual([changed.active, changed.reference_id], [false, ""]);
  assert.ok((await all(integrations.list({ account_id }))).some((one) => one.id === made.id));
  await integrations.delete(made.id, { account_id });
  const { users } = await summary.get({ account_id });
  assert.equal(users[0].email, "ines.moreau@tidewater.example");
  const user = await api.zeroTrust.riskScoring.get(users[0].user_id, { account_id });
  assert.equal(user.events[0].name, "imp_travel");
});

test("intelligence", { skip }, async () => {
  const [ip] = await api.intel.ips.get({ account_id, ipv4: "203.0.113.31" });
  assert.equal(ip.risk_types[0].id, 131);
  const domain = await api.intel.domains.get({ account_id, domain: "chat.promptharbour.example" });
  assert.equal(domain.content_categories[0].id, 184);
  const bulk = await api.intel.domains.bulks.get({ account_id, domain: ["a.example", "parcel-redelivery.example"] });
  assert.equal(bulk[1].risk_types[0].name, "Phishing");
});

test("Logpush jobs", { skip }, async (t) => {
  const server = createServer((request, response) => request.resume().on("end", () => response.end()));
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());
  const destination_conf = `http://127.0.0.1:${server.address().port}/logs?header_X-Key=abc`;
  const jobs = api.logpush.jobs;
  const made = await jobs.create({ account_id, destination_conf, dataset: "audit_logs_v2", enabled: true });
  assert.deepEqual([made.dataset, made.enabled], ["audit_logs_v2", true]);
  assert.equal((await jobs.update(made.id, { account_id, enabled: false })).enabled, false);
  assert.ok((await all(jobs.list({ account_id }))).some((job) => job.id === made.id));
  await jobs.delete(made.id, { account_id });
  await assert.rejects(jobs.get(made.id, { account_id }), { status: 404 });
});
