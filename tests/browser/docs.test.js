// The documentation page, used as a person uses it.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { browser as launch, house as start, watchedPage } from "./support.js";

const PASSWORD = "correct horse battery staple";
const pictures = process.env.TOKENHOUSE_TEST_PICTURES;

describe("the documentation page", { timeout: 300_000 }, () => {
  let browser;
  before(async () => { browser = await launch(); });
  after(() => browser?.close());

  test("logs in and tries an operation out, at the root", () => logsInAndTriesOut(""));
  test("logs in and tries an operation out, where the routes are nested", () => logsInAndTriesOut("/api/v1"));

  async function logsInAndTriesOut(mount) {
    const house = await start(mount);
    const { page, requests, complaints } = await watchedPage(browser);
    page.setDefaultTimeout(20_000);
    const picture = async (name) => {
      if (!pictures) return;
      await mkdir(pictures, { recursive: true });
      await page.screenshot({ path: `${pictures}/${mount ? "nested" : "root"}-${name}.png` });
    };
    try {
      const email = `ada-${crypto.randomUUID()}@example.org`;
      const signup = await fetch(`${house.url}/auth/signup`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ email, password: PASSWORD }),
      });
      assert.equal(signup.status, 201);

      // With the slash, to see that it leads to the page.
      await page.goto(`${house.url}/docs/`);
      assert.equal(page.url(), `${house.url}/docs`);
      assert.equal(await page.title(), "Tokenhouse");
      const operation = page.locator(".opblock", { has: page.locator('[data-path="/users/me"]') })
        .filter({ has: page.getByText("GET", { exact: true }) });
      await operation.waitFor();
      await picture("page");

      await page.getByRole("button", { name: "Authorize", exact: true }).first().click();
      const dialog = page.locator(".modal-ux");
      await dialog.getByLabel("username:").fill(email);
      await dialog.getByLabel("password:", { exact: true }).fill(PASSWORD);
      await picture("authorize");
      await dialog.getByRole("button", { name: "Apply given OAuth2 credentials" }).click();
      await dialog.getByRole("heading", { name: "Authorized" }).waitFor();
      await dialog.getByRole("button", { name: "Close", exact: true }).click();

      await operation.locator(".opblock-summary-control").click();
      await operation.getByRole("button", { name: "Try it out" }).click();
      await operation.getByRole("button", { name: "Execute" }).click();
      const live = operation.locator(".live-responses-table");
      await live.getByText(email).first().waitFor();
      assert.match(await live.locator(".response-col_status").last().innerText(), /^200/);
      assert.equal(await live.locator(".request-url pre").or(operation.locator(".request-url pre")).first().innerText(),
        `${house.url}/users/me`);
      await live.scrollIntoViewIfNeeded();
      await picture("answer");

      const origin = new URL(house.url).origin;
      const strangers = requests.filter((url) => !url.startsWith("data:") && new URL(url).origin !== origin);
      assert.deepEqual(strangers, [], "no other host is asked for anything");
      assert.ok(requests.includes(`${house.url}/auth/login`));
      assert.deepEqual(complaints, []);
      assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), [], "no token is kept");
    } catch (error) {
      await picture("failure");
      console.error(complaints, requests);
      throw error;
    } finally {
      await page.close();
      await house.close();
    }
  }
});
