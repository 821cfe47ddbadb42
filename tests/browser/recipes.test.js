// The recipes example: its own API on the documentation page, and its own page.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { browser as launch, example, watchedPage } from "./support.js";

const PASSWORD = "chicken vesuvio";
const pictures = process.env.TOKENHOUSE_TEST_PICTURES;

describe("the recipes example", { timeout: 600_000 }, () => {
  let browser, recipes;
  before(async () => {
    recipes = await example("recipes", { JWT_SECRET: "a secret of 32 bytes, or of more than that" });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await recipes?.close();
  });

  async function picture(page, name) {
    if (!pictures) return;
    await mkdir(pictures, { recursive: true });
    await page.screenshot({ path: `${pictures}/recipes-${name}.png` });
  }

  test("authorizes through the form with the e-mail address, submits a recipe and shows it", async () => {
    const email = `ada-${crypto.randomUUID()}@example.org`;
    const signup = await fetch(`${recipes.url}/api/v1/auth/signup`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email, password: PASSWORD, first_name: "Ada" }),
    });
    assert.equal(signup.status, 201);

    const { page, complaints } = await watchedPage(browser);
    page.setDefaultTimeout(20_000);
    await page.goto(`${recipes.url}/docs`);
    const operation = (method, path) =>
      page.locator(".opblock", { has: page.locator(`[data-path="${path}"]`) })
        .filter({ has: page.getByText(method, { exact: true }) });
    const status = (of) => of.locator(".live-responses-table .response-col_status").last();

    const me = operation("GET", "/api/v1/auth/me");
    await me.locator(".opblock-summary-control").click();
    await me.getByRole("button", { name: "Try it out" }).click();
    await me.getByRole("button", { name: "Execute" }).click();
    await me.getByText("Not authenticated").first().waitFor();
    assert.match(await status(me).innerText(), /^401/);
    complaints.length = 0; // The browser's console mentions every 401.

    await page.getByRole("button", { name: "Authorize", exact: true }).first().click();
    const dialog = page.locator(".modal-ux");
    await dialog.getByLabel("username:").fill(email);
    await dialog.getByLabel("password:", { exact: true }).fill(PASSWORD);
    await dialog.getByRole("button", { name: "Apply given OAuth2 credentials" }).click();
    await dialog.getByRole("heading", { name: "Authorized" }).waitFor();
    await picture(page, "authorized");
    await dialog.getByRole("button", { name: "Close", exact: true }).click();

    await me.getByRole("button", { name: "Execute" }).click();
    await me.locator(".live-responses-table").getByText(email).first().waitFor();
    assert.match(await status(me).innerText(), /^200/);
    await picture(page, "me");

    const submit = operation("POST", "/api/v1/recipes/");
    await submit.locator(".opblock-summary-control").click();
    await submit.getByRole("button", { name: "Try it out" }).click();
    await submit.locator("textarea").fill(JSON.stringify({
      label: "<b>Chicken</b> Vesuvio", source: "Serious Eats", url: "https://example.org/vesuvio",
    }));
    await submit.getByRole("button", { name: "Execute" }).click();
    await submit.locator(".live-responses-table").getByText("submitter_id").first().waitFor();
    assert.match(await status(submit).innerText(), /^201/);

    await page.goto(`${recipes.url}/`);
    assert.equal(await page.title(), "Recipes");
    assert.equal(await page.getByRole("link", { name: "<b>Chicken</b> Vesuvio" }).getAttribute("href"),
      "https://example.org/vesuvio");
    await picture(page, "page");
    assert.deepEqual(complaints, []);
  });
});
