// Second factors in a real browser: the pages, and what Chromium's own WebAuthn sends.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { address, codeOf, PASSWORD, signUp, virtualAuthenticator } from "./pages.js";
import { browser as launch, house as start, watchedPage } from "./support.js";

async function signOut(page) {
  await page.getByRole("button", { name: "Sign out", exact: true }).first().click();
  await page.waitForURL(/done=signed_out/);
}

async function password(page, url, email) {
  await page.goto(`${url}/account/sign-in`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

describe("second factors", { timeout: 300_000 }, () => {
  let house;
  let browser;
  before(async () => {
    house = await start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await house?.close();
  });

  test("an authenticator app, then a recovery code", async () => {
    const { page, complaints } = await watchedPage(browser);
    page.setDefaultTimeout(20_000);
    const email = address();
    await signUp(page, house.url, email);
    await page.getByRole("link", { name: "Set up an authenticator app" }).click();
    const secret = await page.locator(".secret").innerText();
    const confirmed = Date.now() / 1000;
    await page.getByRole("textbox", { name: "Code", exact: true }).fill(codeOf(secret, confirmed));
    await page.getByRole("button", { name: "Begin to use it" }).click();
    const codes = await page.locator("#codes li").allInnerTexts();
    assert.equal(codes.length, 10);
    assert.ok(await page.getByRole("button", { name: "Print" }).isVisible());
    await page.getByRole("link", { name: "I have kept them" }).click();
    await signOut(page);

    await password(page, house.url, email);
    // One step ahead, as that of this half minute is used.
    await page.getByRole("textbox", { name: "Code", exact: true }).fill(codeOf(secret, confirmed + 30));
    await page.getByRole("button", { name: "Continue" }).first().click();
    await page.waitForURL(`${house.url}/account`);
    await signOut(page);

    await password(page, house.url, email);
    await page.getByText("Use a recovery code").click();
    await page.getByLabel("Recovery code").fill(codes[0]);
    await page.getByRole("button", { name: "Continue" }).last().click();
    await page.waitForURL(`${house.url}/account`);
    assert.match(await page.locator("main").innerText(), /Codes you have left: 9/);
    assert.deepEqual(complaints, []);
    await page.close();
  });

  test("a passkey: made, used alone, used as a second step, to prove again, and removed", async () => {
    const { page, complaints } = await watchedPage(browser);
    page.setDefaultTimeout(20_000);
    const email = address();
    const { session, authenticatorId } = await virtualAuthenticator(page);
    await signUp(page, house.url, email);
    await page.getByRole("link", { name: "Add a passkey" }).click();
    await page.getByLabel("Name").fill("My laptop");
    await page.getByRole("button", { name: "Make a passkey" }).click();
    await page.getByRole("heading", { name: "Your recovery codes" }).waitFor();
    await page.getByRole("link", { name: "I have kept them" }).click();
    await page.getByText("My laptop").waitFor();
    const { credentials } = await session.send("WebAuthn.getCredentials", { authenticatorId });
    assert.equal(credentials.length, 1);
    assert.equal(credentials[0].rpId, "localhost");
    assert.ok(!Buffer.from(credentials[0].userHandle, "base64").toString().includes("ada"), "the handle tells nothing");
    await signOut(page);

    await page.goto(`${house.url}/account/sign-in`);
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByRole("button", { name: "Choose a passkey" }).click();
    await page.waitForURL(`${house.url}/account`);
    await signOut(page);

    await password(page, house.url, email);
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await page.getByRole("button", { name: "Use passkey" }).click();
    await page.waitForURL(`${house.url}/account`);

    await page.goto(`${house.url}/account/prove?return_to=/account/password`);
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await page.getByRole("button", { name: "Use passkey" }).click();
    await page.waitForURL(`${house.url}/account/password`);

    // One that was copied, and whose counter stands still.
    await session.send("WebAuthn.clearCredentials", { authenticatorId });
    await session.send("WebAuthn.addCredential", { authenticatorId, credential: { ...credentials[0], signCount: 1 } });
    await page.goto(`${house.url}/account`);
    await signOut(page);
    await page.goto(`${house.url}/account/sign-in`);
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByRole("button", { name: "Choose a passkey" }).click();
    await page.getByText("The passkey did not work").waitFor();
    await session.send("WebAuthn.clearCredentials", { authenticatorId });
    await session.send("WebAuthn.addCredential", { authenticatorId, credential: { ...credentials[0], signCount: 1000 } });
    await page.getByRole("button", { name: "Sign in with a passkey" }).click();
    await page.getByRole("button", { name: "Choose a passkey" }).click();
    await page.waitForURL(`${house.url}/account`);

    await page.getByRole("link", { name: "Edit the passkey My laptop" }).click();
    await page.getByRole("button", { name: "Remove this passkey" }).click();
    await page.getByText("The passkey is removed.").waitFor();
    assert.deepEqual(complaints.filter((one) => !one.includes("422")), []);
    await page.close();
  });

  test("a key that verifies nobody is a second step only", async () => {
    const { page } = await watchedPage(browser);
    page.setDefaultTimeout(20_000);
    const email = address();
    await virtualAuthenticator(page, {
      transport: "usb", hasResidentKey: false, hasUserVerification: false, isUserVerified: false,
    });
    await signUp(page, house.url, email);
    await page.getByRole("link", { name: "Add a passkey" }).click();
    await page.getByRole("button", { name: "Make a passkey" }).click();
    await page.getByRole("heading", { name: "Your recovery codes" }).waitFor();
    await page.getByRole("link", { name: "I have kept them" }).click();
    await page.getByText("Second step only").waitFor();
    await signOut(page);
    await password(page, house.url, email);
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await page.getByRole("button", { name: "Use passkey" }).click();
    await page.waitForURL(`${house.url}/account`);
    await page.close();
  });
});
