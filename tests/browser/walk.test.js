// One person's whole walk through the house, mail and second factors included, against the real `tokenhouse dev`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  address, codeOf, mailTo, PASSWORD, showsMail, signIn, signInByMail, signUp, virtualAuthenticator,
} from "./pages.js";
import { browser as launch, house as start, watchedPage } from "./support.js";

const OTHER = "another long password";

describe("the whole walk", { timeout: 300_000 }, () => {
  let browser, house;
  before(async () => { [browser, house] = await Promise.all([launch(), start()]); });
  after(async () => {
    await browser?.close();
    await house?.close();
  });

  test("from signing up to the end of the account", async (t) => {
    const { url } = house;
    if (!await showsMail(url)) return t.skip("this house shows no mail: it is not `tokenhouse dev`");
    const { page, complaints } = await watchedPage(browser);
    page.setDefaultTimeout(20_000);
    const email = address();
    const seen = [];
    const mail = async (to, wanted) => {
      const found = await mailTo(url, to ?? email, seen, wanted);
      seen.push(found.id);
      return found;
    };
    const signOut = async () => {
      await page.goto(`${url}/account`);
      await page.getByRole("button", { name: "Sign out", exact: true }).first().click();
      await page.waitForURL(/done=signed_out/);
    };
    const password = async (text) => {
      await page.goto(`${url}/account/sign-in`);
      await page.getByLabel("E-mail address").fill(email);
      await page.getByLabel("Password", { exact: true }).fill(text);
      await page.getByRole("button", { name: "Sign in", exact: true }).click();
    };
    const told = async () => page.getByRole("status").first().innerText();

    // Verify by mail. Opening the link changes nothing, and is good any number of times; the button is, once.
    await signUp(page, url, email);
    const verify = await mail();
    await page.goto(verify.link);
    await page.goto(verify.link);
    await page.goto(`${url}/account`);
    assert.match(await page.locator("main").innerText(), /not confirmed/);
    await page.goto(verify.link);
    await page.getByRole("button", { name: "Confirm the address" }).click();
    await page.waitForURL(/done=/);
    await page.goto(`${url}/account`);
    assert.doesNotMatch(await page.locator("main").innerText(), /not confirmed/);
    await page.goto(verify.link);
    assert.match(await page.locator("main").innerText(), /used before/);

    // Reset the password.
    await signOut();
    await page.getByRole("link", { name: "Forgotten your password?" }).click();
    await page.getByLabel("E-mail address").fill(email);
    await page.getByRole("button", { name: "Send the mail" }).click();
    await page.getByRole("status").waitFor();
    const reset = await mail();
    // A link of one kind is nothing at the door of another.
    await page.goto(`${url}/account/verify${new URL(reset.link).search}`);
    assert.match(await page.locator("main").innerText(), /used before/);
    await page.goto(reset.link);
    await page.getByLabel("New password").fill(OTHER);
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.waitForURL(/done=/);
    await password(PASSWORD);
    await page.getByRole("alert").waitFor();
    await signIn(page, url, email, OTHER);

    // An authenticator app.
    await page.getByRole("link", { name: "Set up an authenticator app" }).click();
    const secret = await page.locator(".secret").innerText();
    const began = Date.now() / 1000;
    await page.getByRole("textbox", { name: "Code", exact: true }).fill(codeOf(secret, began));
    await page.getByRole("button", { name: "Begin to use it" }).click();
    const codes = await page.locator("#codes li").allInnerTexts();
    await signOut();
    await password(OTHER);
    // The second step is not skipped by walking past it.
    await page.getByRole("textbox", { name: "Code", exact: true }).waitFor();
    await page.goto(`${url}/account`);
    assert.equal(page.url(), `${url}/account/sign-in`);
    await password(OTHER);
    await page.getByRole("textbox", { name: "Code", exact: true }).fill(codeOf(secret, began + 30));
    await page.getByRole("button", { name: "Continue" }).first().click();
    await page.waitForURL(`${url}/account`);
    await signOut();
    await password(OTHER);
    await page.getByText("Use a recovery code").click();
    await page.getByLabel("Recovery code").fill(codes[3]);
    await page.getByRole("button", { name: "Continue" }).last().click();
    await page.waitForURL(`${url}/account`);

    // A passkey, and with it alone.
    await virtualAuthenticator(page);
    await page.getByRole("link", { name: "Add a passkey" }).click();
    await page.getByLabel("Name").fill("My laptop");
    await page.getByRole("button", { name: "Make a passkey" }).click();
    await page.getByText("My laptop").waitFor();
    await signOut();
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByRole("button", { name: "Choose a passkey" }).click();
    await page.waitForURL(`${url}/account`);

    // Another device.
    const recovered = await fetch(`${url}/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email, password: OTHER }),
    });
    const { mfa_token } = await recovered.json();
    const second = await fetch(`${url}/auth/mfa`, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "curl/8.5.0" },
      body: JSON.stringify({ mfa_token, recovery_code: codes[4] }),
    });
    assert.equal(second.status, 200);
    const { access_token } = await second.json();
    const me = () => fetch(`${url}/users/me`, { headers: { authorization: `Bearer ${access_token}` } });
    assert.equal((await me()).status, 200);
    await page.goto(`${url}/account`);
    await page.getByRole("button", { name: "Sign out curl" }).click();
    assert.match(await told(), /device is signed out/);
    assert.equal((await me()).status, 401, "at once");

    // Another address, confirmed from it and told to the old one.
    const other = address();
    const told_before = (await (await fetch(`${url}/dev/mail.json`)).json()).map((one) => one.id);
    seen.push(...told_before);
    await page.goto(`${url}/account/email`);
    await page.getByLabel(/new e-mail address|New address/i).fill(other);
    const asked = page.getByLabel("Password", { exact: true });
    if (await asked.count()) await asked.fill(OTHER);
    await page.getByRole("button", { name: "Send the mail" }).click();
    await page.waitForLoadState();
    const change = await mail(other);
    await page.goto(change.link);
    await page.getByRole("button", { name: "Use this address" }).click();
    await page.waitForURL(/done=/);
    await mail(email);
    await page.goto(`${url}/account`);
    assert.match(await page.locator("main").innerText(), new RegExp(other));

    // The second step was taken a moment ago: that confirms it, and no password does.
    await page.getByRole("link", { name: "Delete my account" }).click();
    await page.getByRole("button", { name: "Delete for good" }).waitFor();
    assert.equal(await page.getByLabel("Password", { exact: true }).count(), 0);
    await page.getByRole("button", { name: "Delete for good" }).click();
    assert.match(await told(), /was deleted/);
    await mailTo(url, other, [], (one) => /was deleted/.test(one.subject));
    // A refusal is an answer like any other, and who goes on quickly leaves a picture behind.
    assert.deepEqual(complaints.filter((text) => !/status of (401|403|404|422)/.test(text)), []);
    await page.close();
  });

  for (const javaScriptEnabled of [true, false]) {
    test(`a person without a password, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async (t) => {
      const { url } = house;
      if (!await showsMail(url)) return t.skip("this house shows no mail: it is not `tokenhouse dev`");
      const context = await browser.newContext({ javaScriptEnabled });
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      const email = await signInByMail(page, url);

      // Proves by a mail that it is still they.
      await page.goto(`${url}/account/prove?return_to=/account/password`);
      assert.equal(await page.getByLabel("Password", { exact: true }).count(), 0);
      await page.getByRole("button", { name: "Send me a code by e-mail" }).click();
      const { text } = await mailTo(url, email, [], (one) => /Your code/.test(one.subject));
      await page.getByRole("textbox", { name: "Code", exact: true }).fill(text.match(/\d{4} \d{4}/)[0]);
      await page.getByRole("button", { name: "Continue" }).click();
      await page.waitForURL(`${url}/account/password`);

      // Sets a first password, and signs in with it.
      assert.equal(await page.getByRole("heading", { level: 1 }).innerText(), "Set a password");
      await page.getByLabel("New password").fill(OTHER);
      await page.getByRole("button", { name: "Set password" }).click();
      assert.match(await page.getByRole("status").innerText(), /Your password is set/);
      const other = await (await browser.newContext()).newPage();
      await signIn(other, url, email, OTHER);
      await other.context().close();
      await context.close();
    });
  }

  test("an account without a password ends by its page", async (t) => {
    const { url } = house;
    if (!await showsMail(url)) return t.skip("this house shows no mail: it is not `tokenhouse dev`");
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const email = await signInByMail(page, url);
    await page.getByRole("link", { name: "Delete my account" }).click();
    await page.getByRole("button", { name: "Delete for good" }).click();
    assert.match(await page.getByRole("status").innerText(), /was deleted/);
    await mailTo(url, email, [], (one) => /was deleted/.test(one.subject));
    await context.close();
  });
});
