// Cloudflare's official TypeScript SDK on the risk score integrations that Flareward itself serves.
// FLAREWARD_DEMO is the first line of `flareward demo --output json`.

import assert from "node:assert/strict";
import { test } from "node:test";
import Cloudflare from "cloudflare";

const demo = JSON.parse(process.env.FLAREWARD_DEMO);
const api = new Cloudflare({ apiToken: demo.token, baseURL: `${demo.url}/client/v4`, maxRetries: 0 });
const account_id = demo.account_id;
const integrations = api.zeroTrust.riskScoring.integrations;

test("an integration is made, found, changed and removed", async () => {
  const reference_id = "0f6b0b9e-5d1d-4b6e-9d5e-0a4b7f1c2d3e";
  const tenant_url = `${demo.sandbox.okta_url}/second`;
  const made = await integrations.create({ account_id, integration_type: "Okta", tenant_url, reference_id });
  assert.equal(made.tenant_url, tenant_url);
  assert.equal(made.active, true);
  assert.match(made.well_known_url, /\/\.well-known\/sse-configuration\//);

  const listed = [];
  for await (const one of integrations.list({ account_id })) listed.push(one.id);
  assert.ok(listed.includes(made.id));
  assert.equal((await integrations.get(made.id, { account_id })).id, made.id);
  assert.equal((await integrations.references.get(reference_id, { account_id })).id, made.id);

  const paused = await integrations.update(made.id, { account_id, tenant_url, active: false });
  assert.equal(paused.active, false);
  await integrations.delete(made.id, { account_id });
  await assert.rejects(integrations.get(made.id, { account_id }), (error) => {
    assert.equal(error.status, 404);
    assert.ok(error.errors.length > 0);
    return true;
  });
});

test("a tenant that is not at Okta is refused with the field named", async () => {
  const attempt = integrations.create({ account_id, integration_type: "Okta", tenant_url: "https://okta.evil.example" });
  await assert.rejects(attempt, (error) => {
    assert.equal(error.status, 400);
    assert.match(JSON.stringify(error.errors), /tenant_url/);
    return true;
  });
});

test("a wrong token is refused in Cloudflare's envelope", async () => {
  const stranger = new Cloudflare({ apiToken: "wrong", baseURL: `${demo.url}/client/v4`, maxRetries: 0 });
  await assert.rejects(stranger.zeroTrust.riskScoring.integrations.get("x", { account_id }), (error) => {
    assert.ok([401, 403].includes(error.status), `${error.status}`);
    assert.equal(error.errors[0].code, 10000);
    return true;
  });
});
