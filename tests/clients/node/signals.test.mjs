// Verifies a pushed signal as a receiver would, with npm's jose: from the well-known document to the
// signature. FLAREWARD_DEMO is the first line of `flareward demo --output json`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";

const demo = JSON.parse(process.env.FLAREWARD_DEMO);
const USER_RISK_CHANGE = "https://schemas.okta.com/secevent/okta/event-type/user-risk-change";

async function firstSignal() {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const answer = await fetch(`${demo.sandbox.control_url}/received/signals`);
    const body = await answer.json();
    const signals = Array.isArray(body) ? body : (body.signals ?? body.items);
    const accepted = signals.find((signal) => signal.accepted);
    if (accepted) return accepted.token;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the receiver accepted no signal within a minute");
}

test("a pushed signal verifies from its well-known document alone", async () => {
  const token = await firstSignal();
  const issuer = new URL(decodeJwt(token).iss);
  const wellKnown = `${issuer.origin}/.well-known/sse-configuration${issuer.pathname}`;
  const metadata = await (await fetch(wellKnown)).json();
  assert.equal(metadata.issuer, issuer.href);

  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  const { payload } = await jwtVerify(token, keys, {
    typ: "secevent+jwt",
    issuer: metadata.issuer,
    audience: demo.sandbox.okta_url,
    algorithms: ["RS256"],
    requiredClaims: ["iat", "jti", "events", "sub_id"],
  });
  assert.deepEqual(Object.keys(payload.events), [USER_RISK_CHANGE]);
  const event = payload.events[USER_RISK_CHANGE];
  assert.match(event.subject.user.email, /@/);
  assert.ok(["low", "medium", "high"].includes(event.current_level));
  assert.equal(payload.exp, undefined);
  assert.ok(decodeProtectedHeader(token).kid);
});

test("the well-known document is served under both names, with and without a slash", async () => {
  const issuer = new URL(decodeJwt(await firstSignal()).iss);
  for (const name of ["sse-configuration", "ssf-configuration"]) {
    for (const slash of ["", "/"]) {
      const answer = await fetch(`${issuer.origin}/.well-known/${name}${issuer.pathname}${slash}`);
      assert.equal(answer.status, 200, `${name}${slash}`);
      assert.equal((await answer.json()).issuer, issuer.href);
    }
  }
});

test("a changed signal does not verify", async () => {
  const token = await firstSignal();
  const issuer = new URL(decodeJwt(token).iss);
  const metadata = await (await fetch(`${issuer.origin}/.well-known/ssf-configuration${issuer.pathname}`)).json();
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  const [header, , signature] = token.split(".");
  const forged = { ...decodeJwt(token), aud: "https://elsewhere.okta.com" };
  const claims = Buffer.from(JSON.stringify(forged)).toString("base64url");
  await assert.rejects(jwtVerify(`${header}.${claims}.${signature}`, keys), /signature verification failed/);
});
