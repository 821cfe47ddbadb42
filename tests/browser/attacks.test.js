// What another site, or somebody with a hand on the browser, tries against the pages, in a real browser.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { PASSWORD, address, signUp } from "./pages.js";
import { browser as launch, house as start } from "./support.js";

describe("attacks on the pages", { timeout: 300_000 }, () => {
  let browser, house, evil, html;
  before(async () => {
    [browser, house] = await Promise.all([launch(), start()]);
    // Another port of the same host is another origin of the same site, to which cookies do go; 127.0.0.1 is another
    // site than localhost.
    evil = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(html));
    await new Promise((resolve) => evil.listen(0, resolve));
  });
  after(async () => {
    await browser?.close();
    evil?.close();
    await house?.close();
  });
  const from = (host) => `http://${host}:${evil.address().port}/`;

  async function member() {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const email = address();
    await signUp(page, house.url, email);
    return { context, page, email };
  }

  for (const host of ["localhost", "127.0.0.1"]) {
    test(`a form that ${host} on another port sends changes nothing`, async () => {
      const { context, page, email } = await member();
      for (const [action, fields] of [
        ["/account/sign-out", {}],
        ["/account/delete", { password: PASSWORD }],
        ["/account/password", { current_password: PASSWORD, new_password: "the attacker's own" }],
        ["/account/devices/end-others", {}],
        ["/account/profile", { "profile.name": "Eve" }],
        ["/account/language", { language: "de" }],
      ]) {
        html = `<form method="post" action="${house.url}${action}">${Object.entries(fields)
          .map(([name, value]) => `<input name="${name}" value="${value}">`).join("")}</form><script>document.forms[0].submit()</script>`;
        const refused = page.waitForResponse((response) => response.url() === `${house.url}${action}`);
        await page.goto(from(host));
        const status = (await refused).status();
        // From another site the cookie does not even come along, and nobody is signed in.
        assert.ok([303, 403].includes(status), `${action}: ${status}`);
        await page.waitForLoadState();
      }
      await page.goto(`${house.url}/account`);
      assert.equal(page.url(), `${house.url}/account`, "still signed in");
      assert.match(await page.locator("main").innerText(), new RegExp(email));
      assert.equal(await page.locator("html").getAttribute("lang"), "en");
      await context.close();
    });

    test(`a script of ${host} on another port neither reads nor writes`, async () => {
      const { context, page } = await member();
      html = "<p>evil</p>";
      await page.goto(from(host));
      const outcomes = await page.evaluate(async (url) => {
        const attempt = (path, init) => fetch(`${url}${path}`, { credentials: "include", ...init })
          .then((response) => response.status, () => "refused");
        return [
          await attempt("/account"),
          await attempt("/account/data.json"),
          await attempt("/users/me"),
          await attempt("/users/me", { method: "PATCH", headers: { "content-type": "application/json" }, body: '{"profile":{}}' }),
          await attempt("/users/me", { method: "DELETE", body: "{}" }),
        ];
      }, house.url);
      assert.deepEqual(outcomes, Array(5).fill("refused"));
      await context.close();
    });

    test(`${host} on another port does not sign anybody in to an account of its own`, async () => {
      const eve = await member();
      await eve.context.close();
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(`${house.url}/account/sign-in`);
      html = `<form method="post" action="${house.url}/account/sign-in"><input name="identifier" value="${eve.email}">
        <input name="password" value="${PASSWORD}"></form><script>document.forms[0].submit()</script>`;
      const refused = page.waitForResponse((response) => response.url() === `${house.url}/account/sign-in`);
      await page.goto(from(host));
      assert.equal((await refused).status(), 403);
      await page.goto(`${house.url}/account`);
      assert.equal(page.url(), `${house.url}/account/sign-in`);
      await context.close();
    });

    test(`the pages are not shown in a frame of ${host} on another port`, async () => {
      const { context, page } = await member();
      html = `<iframe src="${house.url}/account" width="600" height="600"></iframe><iframe src="${house.url}/account/delete"></iframe>`;
      const refusals = [];
      page.on("console", (message) => refusals.push(message.text()));
      await page.goto(from(host), { waitUntil: "load" });
      for (const frame of page.frames().slice(1)) {
        const text = await frame.evaluate(() => document.body?.innerText ?? "").catch(() => "");
        assert.ok(!text.includes("Your account") && !text.includes("Delete"), text);
      }
      assert.ok(refusals.filter((text) => /frame-ancestors|X-Frame-Options/.test(text)).length >= 2, refusals.join("\n"));
      await context.close();
    });
  }

  test("a cookie planted before is not the one that counts after", async () => {
    const { context: attackers, email } = await member();
    const planted = (await attackers.cookies()).find((cookie) => cookie.name === "tokenhouse");
    const victim = await browser.newContext();
    await victim.addCookies([planted]);
    const page = await victim.newPage();
    const own = address();
    // Whoever notices nothing and signs in as themselves is themselves, in a session that the attacker does not have.
    await page.goto(`${house.url}/account/sign-out`);
    await page.locator("main").getByRole("button", { name: "Sign out", exact: true }).click();
    await signUp(page, house.url, own);
    const after = (await victim.cookies()).find((cookie) => cookie.name === "tokenhouse");
    assert.notEqual(after.value, planted.value);
    assert.match(await page.locator("main").innerText(), new RegExp(own));
    const theirs = await attackers.newPage();
    await theirs.goto(`${house.url}/account`);
    assert.equal(theirs.url(), `${house.url}/account/sign-in`, "the planted session is over");
    assert.notEqual(email, own);
    await victim.close();
    await attackers.close();
  });

  test("no script reads the cookies, and other sites do not send them", async () => {
    const { context, page } = await member();
    assert.equal(await page.evaluate(() => document.cookie), "");
    for (const cookie of await context.cookies()) {
      assert.ok(cookie.httpOnly && cookie.sameSite === "Lax" && cookie.path === "/" && cookie.domain === "localhost", JSON.stringify(cookie));
    }
    assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage)]), [[], []]);
    await context.close();
  });

  test("signing in leads nowhere else", async () => {
    const { context, email } = await member();
    await context.close();
    for (const there of [
      "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/..//evil.example",
      "/.//evil.example", "https://evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x",
      `${house.url}@evil.example`, `//${"localhost"}@evil.example`, `http://localhost:1/`, "/%09/evil.example",
    ]) {
      const victim = await browser.newContext();
      const page = await victim.newPage();
      await page.goto(`${house.url}/account/sign-in?return_to=${encodeURIComponent(there)}`);
      await page.getByLabel("E-mail address").fill(email);
      await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in", exact: true }).click();
      await page.waitForURL((url) => !url.pathname.endsWith("/sign-in"));
      assert.equal(new URL(page.url()).origin, house.url, there);
      await victim.close();
    }
  });

  test("what a person calls themselves is a text, never markup", async () => {
    const { context, page } = await member();
    const name = `"><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    await page.goto(`${house.url}/account/profile`);
    await page.getByLabel("Name", { exact: true }).fill(name);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("status").waitFor();
    assert.equal(await page.locator(".lead").first().innerText(), name);
    assert.notEqual(await page.title(), "owned");
    assert.equal(await page.locator("main img").count(), 0);
    await page.goto(`${house.url}/account/profile`);
    assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), name);
    await context.close();
  });
});

