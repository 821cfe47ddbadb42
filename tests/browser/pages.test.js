// The pages in a real browser: what a person walks through, with JavaScript and without, and how the pages behave.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { PASSWORD, address, everyPage, signIn, signUp } from "./pages.js";
import { browser as launch, house as start, watchedPage } from "./support.js";

const OTHER = "another long password";
const MOST_BYTES = 50_000;

describe("the pages", { timeout: 300_000 }, () => {
  let browser, house, axe;
  before(async () => {
    [browser, house] = await Promise.all([launch(), start()]);
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  });
  after(async () => {
    await browser?.close();
    await house?.close();
  });

  for (const javaScriptEnabled of [true, false]) {
    test(`a person's whole walk, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async () => {
      const context = await browser.newContext({ javaScriptEnabled });
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      const email = address();
      const { url } = house;

      await page.goto(`${url}/`);
      assert.equal(page.url(), `${url}/account/sign-in`);
      await page.getByRole("link", { name: "Create one" }).click();
      await signUp(page, url, email);
      assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), "Your account");

      await page.getByRole("link", { name: "Edit the profile" }).click();
      await page.getByLabel("Name", { exact: true }).fill("Ada Lovelace");
      await page.getByRole("button", { name: "Save" }).click();
      assert.equal(await page.getByRole("status").innerText(), "Your profile was saved.");
      assert.equal(await page.locator(".lead").first().innerText(), "Ada Lovelace");

      await page.getByRole("button", { name: "Sign out", exact: true }).click();
      assert.equal(await page.getByRole("status").innerText(), "You are signed out.");
      await page.goto(`${url}/account/password`);
      assert.match(page.url(), /sign-in\?return_to=%2Faccount%2Fpassword$/, "it is remembered where one wanted to");
      await page.getByLabel("E-mail address").fill(email);
      await page.getByLabel("Password", { exact: true }).fill("not this one");
      await page.getByRole("button", { name: "Sign in", exact: true }).click();
      assert.match(await page.getByRole("alert").innerText(), /not right/);
      assert.equal(await page.getByLabel("E-mail address").inputValue(), email, "what was typed stays");
      assert.equal(await page.getByLabel("Password", { exact: true }).inputValue(), "", "the password never");
      await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in", exact: true }).click();
      assert.equal(page.url(), `${url}/account/password`);

      // Another device, which the change of password signs out.
      const elsewhere = await browser.newContext({ javaScriptEnabled });
      const other = await elsewhere.newPage();
      await signIn(other, url, email);
      await page.getByLabel("Current password").fill(PASSWORD);
      await page.getByLabel("New password").fill(OTHER);
      await page.getByRole("button", { name: "Change password" }).click();
      assert.match(await page.getByRole("status").innerText(), /was changed/);
      await other.goto(`${url}/account`);
      assert.equal(other.url(), `${url}/account/sign-in`);

      // One more, which is signed out by its own button.
      await signIn(other, url, email, OTHER);
      await page.goto(`${url}/account`);
      const devices = page.locator("section", { has: page.getByRole("heading", { name: "Where you are signed in" }) });
      assert.equal(await devices.getByRole("listitem").count(), 2);
      await devices.getByRole("button", { name: /^Sign out Chrome on/ }).click();
      assert.match(await page.getByRole("status").innerText(), /device is signed out/);
      await other.goto(`${url}/account`);
      assert.equal(other.url(), `${url}/account/sign-in`);

      // A reload does not do it again, nor does going back.
      await page.reload();
      assert.equal(await devices.getByRole("listitem").count(), 1);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("link", { name: "Download my data" }).click(),
      ]);
      assert.equal(download.suggestedFilename(), "account-data.json");
      assert.equal(JSON.parse(await readFile(await download.path(), "utf8")).user.email, email);

      await page.getByRole("link", { name: "Delete my account" }).click();
      await page.getByLabel("Password", { exact: true }).fill(OTHER);
      await page.getByRole("button", { name: "Delete for good" }).click();
      assert.match(await page.getByRole("status").innerText(), /was deleted/);
      await page.getByLabel("E-mail address").fill(email);
      await page.getByLabel("Password", { exact: true }).fill(OTHER);
      await page.getByRole("button", { name: "Sign in", exact: true }).click();
      await page.getByRole("alert").waitFor();
      await context.close();
      await elsewhere.close();
    });
  }

  for (const colorScheme of ["light", "dark"]) {
    test(`every page, in ${colorScheme}: nothing for axe-core, light, alone, quiet`, async () => {
      const context = await browser.newContext({ colorScheme, viewport: { width: 390, height: 844 } });
      const { page, requests, complaints } = await watchedPage(context);
      page.setDefaultTimeout(20_000);
      const sizes = new Map();
      page.on("response", async (response) => {
        const body = await response.body().catch(() => null);
        if (body) sizes.set(response.url(), body.length);
      });
      await page.addInitScript(() => {
        addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
      });
      const seen = [];
      await everyPage(page, house.url, async (name) => {
        seen.push(name);
        assert.doesNotMatch(await page.title(), /Something went wrong/, name);
        const results = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
        const found = results.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`);
        assert.deepEqual(found, [], name);
        const loaded = await page.evaluate(() => [location.href, ...performance.getEntriesByType("resource").map((one) => one.name)]);
        const weight = (await Promise.all(loaded.map(async (url) => sizes.get(url.split("#")[0])
          ?? (await (await page.request.get(url)).body()).length))).reduce((sum, size) => sum + size, 0);
        assert.ok(weight > 5_000 && weight <= MOST_BYTES, `${name} weighs ${weight} bytes`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
        assert.ok(!wide, `${name} is not wider than a phone`);
      });
      assert.ok(seen.length >= 14, `${seen}`);
      const origin = new URL(house.url).origin;
      assert.deepEqual(requests.filter((url) => new URL(url).origin !== origin), [], "no other host is asked");
      // A refusal is an answer like any other, though the console tells of it.
      assert.deepEqual(complaints.filter((text) => !/status of (401|403|404|422)/.test(text)), []);
      await context.close();
    });
  }

  test("all is reached with the keyboard, in the order it is read", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${house.url}/account/sign-in`);
    const at = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
    assert.equal(await at(), "identifier");
    const order = [];
    while (order.at(-1) !== "Create one" && order.length < 10) {
      await page.keyboard.press("Tab");
      order.push(await at());
      const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.equal(ring, "solid", order.at(-1));
    }
    // Where mail is sent there is one more way.
    const always = order.filter((one) => one !== "Forgotten your password?");
    assert.deepEqual(always, ["password", "Show", "Sign in", "Create one"]);
    await page.getByLabel("Password", { exact: true }).fill("secret words");
    await page.getByRole("button", { name: "Show the password" }).press("Enter");
    assert.equal(await page.locator("#password").getAttribute("type"), "text");
    await context.close();
  });

  test("a fault is tied to its field, which has the focus", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${house.url}/account/sign-up`);
    await page.getByLabel("E-mail address").fill(address());
    await page.getByLabel("Password", { exact: true }).fill("short");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.locator(".error").waitFor();
    assert.match(await page.title(), /^Problem: /);
    const field = page.locator("#password");
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    const told = await field.evaluate((input) => input.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent.trim()));
    assert.match(told[0], /^Use 8 characters/);
    assert.equal(await page.evaluate(() => document.activeElement.id), "password");
    await context.close();
  });

  test("the house speaks German and French", async () => {
    for (const [locale, heading] of [["de-AT", "Bei Tokenhouse anmelden"], ["fr-FR", "Se connecter à Tokenhouse"]]) {
      const context = await browser.newContext({ locale });
      const page = await context.newPage();
      await page.goto(`${house.url}/account/sign-in`);
      assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), heading);
      assert.equal(await page.locator("html").getAttribute("lang"), locale.slice(0, 2));
      await context.close();
    }
  });

  for (const javaScriptEnabled of [true, false]) {
    test(`a language is chosen at the foot of a page, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async () => {
      const context = await browser.newContext({ javaScriptEnabled });
      const page = await context.newPage();
      const heading = () => page.getByRole("heading", { level: 1 }).innerText();
      await page.goto(`${house.url}/account/sign-in?return_to=%2Faccount%2Fprofile`);
      await page.getByRole("form", { name: "Language" }).getByRole("button", { name: "Deutsch" }).click();
      assert.equal(await heading(), "Bei Tokenhouse anmelden");
      assert.match(page.url(), /return_to=%2Faccount%2Fprofile$/, "where one was");
      const current = page.locator(".languages [aria-current=true]");
      assert.equal(await current.innerText(), "Deutsch");
      await page.goto(`${house.url}/account/sign-up`);
      assert.equal(await page.locator("html").getAttribute("lang"), "de", "it is remembered");
      await page.getByRole("button", { name: "English" }).click();
      assert.equal(await page.locator("html").getAttribute("lang"), "en");
      await context.close();
    });
  }

  // ASVS 6.2.6
  test("what is typed as a password is hidden until its owner wants to see it", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    let tried = 0;
    await everyPage(page, house.url, async (name) => {
      const fields = page.locator("input[autocomplete$=-password]");
      for (let number = 0; number < await fields.count(); number += 1) {
        const field = fields.nth(number);
        assert.equal(await field.getAttribute("type"), "password", name);
        assert.equal(await field.inputValue(), "", `${name}: what was typed before is not sent back`);
        tried += 1;
      }
      const shown = await page.evaluate(() => [...document.querySelectorAll("input:not([type=hidden])")]
        .filter((input) => /password/i.test(input.name + input.id + input.autocomplete) && input.type !== "password").map((input) => input.name));
      assert.deepEqual(shown, [], name);
    });
    assert.ok(tried >= 8, `${tried}`);
    await context.clearCookies();
    await page.goto(`${house.url}/account/sign-in`);
    const field = page.locator("#password");
    await field.fill("secret words");
    const button = page.getByRole("button", { name: "Show the password" });
    await button.click();
    assert.equal(await field.getAttribute("type"), "text");
    await button.click();
    assert.equal(await field.getAttribute("type"), "password");
    await context.close();
  });

  test("nested in an application", async () => {
    const nested = await start("/api/v1");
    const context = await browser.newContext();
    const { page, complaints } = await watchedPage(context);
    try {
      await signUp(page, nested.url, address());
      await page.getByRole("button", { name: "Sign out", exact: true }).click();
      await page.getByRole("status").waitFor();
      assert.deepEqual(complaints, []);
    } finally {
      await context.close();
      await nested.close();
    }
  });
});
