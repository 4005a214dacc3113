// The console in a real browser, driven against a running hub that has people and detections.
//
// FLAREWARD_URL is the hub's address, FLAREWARD_TOKEN a token with every permission. CHROMIUM is the browser's
// path; FLAREWARD_SCREENSHOT, if set, is where a picture of the overview is written.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

const url = process.env.FLAREWARD_URL?.replace(/\/$/, "");
const token = process.env.FLAREWARD_TOKEN;
const skip = url && token ? false : "FLAREWARD_URL and FLAREWARD_TOKEN are not set";

let browser;
let page;
const complaints = [];

/** The story is still being played when the demo prints its address. */
async function someoneAtHighRisk() {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const answer = await fetch(`${url}/api/v1/people?risk_level=high`, { headers: { authorization: `Bearer ${token}` } });
    if (answer.ok && (await answer.json()).items.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("nobody stood at high risk within a minute");
}

before(async () => {
  if (skip) return;
  await someoneAtHighRisk();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"],
  });
  const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
  // What the content security policy refuses is told to the page that it happens on.
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI}`);
    });
  });
  page = await context.newPage();
  page.on("console", (message) => {
    // A refused login is meant to be one: the browser still reports its status.
    const meant = message.location().url.endsWith("/login") && message.text().includes("401");
    if (message.type() === "error" && !meant) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
});

after(async () => browser?.close());

const heading = () => page.locator("h1").innerText();

test("a wrong token is refused on the form, a good one opens the page that was asked for", { skip }, async () => {
  await page.goto(`${url}/people?level=high`);
  assert.match(page.url(), /\/login\?next=/);
  await page.fill("#token", "fw_wrong");
  await page.click("button[type=submit]");
  assert.match(await page.locator("[role=alert]").innerText(), /Unknown or revoked token/);
  await page.fill("#token", token);
  await page.click("button[type=submit]");
  assert.equal(page.url(), `${url}/people?level=high`);
});

test("the overview draws the chart and follows the journal", { skip }, async () => {
  await page.goto(`${url}/`);
  assert.equal(await heading(), "Overview");
  await page.locator("[data-chart=risk] canvas").waitFor();
  await page.locator("#feed-state[data-live=live]").waitFor();
  assert.ok((await page.locator(".feed-row").count()) > 0);
  const people = await page.locator(".fw-tile").first().locator("strong").innerText();
  assert.ok(Number(people.replace(/\D/g, "")) > 0, people);
  if (process.env.FLAREWARD_SCREENSHOT) {
    await page.screenshot({ path: process.env.FLAREWARD_SCREENSHOT });
  }
});

test("from people to a person to a detection, with its reasons", { skip }, async () => {
  await page.locator("nav[aria-label=Main]").getByRole("link", { name: "People" }).click();
  assert.equal(await heading(), "People");
  await page.selectOption("#level", "high");
  await page.waitForURL(/level=high/);
  const first = page.locator("tbody tr").first();
  const address = await first.locator(".fw-sub").innerText();
  assert.match(address, /@/);
  assert.equal(await first.locator("[data-level=high]").innerText(), "high");
  await first.locator("a.fw-strong").click();
  assert.ok((await page.locator("main").innerText()).includes(address));
  for (const part of ["Flareward risk level", "Detections", "Groups and roles", "Recent events", "Accounts", "Messages", "Signals"]) {
    assert.ok(await page.getByRole("heading", { name: part, exact: true }).isVisible(), part);
  }
  await page.locator("section[aria-labelledby=detections-title] tbody a").first().click();
  assert.match(page.url(), /\/detections\//);
  assert.ok(await page.getByRole("heading", { name: "Explanation" }).isVisible());
  assert.ok((await page.locator(".fw-value[data-holds=true]").count()) > 0);
  assert.match(await page.locator(".fw-record").innerText(), /^\{/);
});

test("a connection says where it stands, and a sync asked for here ends", { skip }, async () => {
  await page.locator("nav[aria-label=Main]").getByRole("link", { name: "Connections" }).click();
  assert.equal(await heading(), "Connections");
  await page.locator("article h2 a").first().click();
  const syncs = page.locator("section[aria-labelledby=runs-title] tbody tr");
  const before = await syncs.count();
  await page.getByRole("button", { name: "Sync now" }).click();
  await page.getByRole("button", { name: "Sync now" }).waitFor({ timeout: 60_000 });
  const afterwards = await syncs.count();
  assert.ok(afterwards > before || afterwards === 15, `${before} syncs, then ${afterwards}`);
});

test("every page opens from the menu, in the dark too", { skip }, async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  for (const name of ["Overview", "People", "Detections", "Events", "Connections", "Signals & messages", "Rules"]) {
    await page.locator("nav[aria-label=Main]").getByRole("link", { name, exact: true }).click();
    assert.equal(await page.locator("nav[aria-label=Main] [aria-current=page]").innerText(), name);
  }
  assert.equal(await page.locator("html").getAttribute("data-bs-theme"), "dark");
});

test("logging out ends the session", { skip }, async () => {
  await page.locator("details.fw-user summary").click();
  await page.getByRole("button", { name: "Log out" }).click();
  assert.equal(page.url(), `${url}/login`);
  await page.goto(`${url}/people`);
  assert.match(page.url(), /\/login/);
});

test("nothing was refused by the policy, and no script failed", { skip }, () => {
  assert.deepEqual(complaints, []);
});
