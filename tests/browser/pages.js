// Every page there is, each in the states that a person can see it in. Whoever adds a page adds it here, and it has its
// screenshots, its look by axe-core, its weight and its manners tested.

import { createHmac } from "node:crypto";

export const PASSWORD = "correct horse battery staple";

export const address = () => `ada-${crypto.randomUUID().slice(0, 8)}@example.org`;

export async function signUp(page, url, email, password = PASSWORD) {
  await page.goto(`${url}/account/sign-up`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.waitForURL(`${url}/account`);
}

export async function signIn(page, url, email, password = PASSWORD) {
  await page.goto(`${url}/account/sign-in`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(`${url}/account`);
}

// RFC 6238, as an app does it.
export function codeOf(secret, seconds) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replace(/\s/g, "")].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(seconds / 30)));
  const mac = createHmac("sha1", key).update(step).digest();
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

export async function virtualAuthenticator(page, options = {}) {
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true, ...options,
    },
  });
  return { session, authenticatorId };
}

// The last mail to this address that is wanted and none of `seen`: one with a link, where nothing else is said. Only
// `tokenhouse dev` shows it.
export async function mailTo(url, email, seen = [], wanted = (mail) => mail.link) {
  const until = Date.now() + 20_000;
  while (Date.now() < until) {
    const mails = await (await fetch(`${url}/dev/mail.json`)).json();
    const found = mails.find((mail) => mail.to === email && !seen.includes(mail.id) && wanted(mail));
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no mail for ${email}`);
}

// Somebody who has no password: whoever shows to read the mail of an address that was never confirmed takes the account,
// and what its opener knew is gone.
export async function signInByMail(page, url, look = async () => {}) {
  const email = address();
  await signUp(page, url, email);
  await page.context().clearCookies();
  const { id } = await mailTo(url, email);
  await page.goto(`${url}/account/magic`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByRole("button", { name: "Send the mail" }).click();
  await page.getByRole("status").waitFor();
  const { link } = await mailTo(url, email, [id]);
  await page.goto(link);
  await look("claim");
  await page.getByRole("button", { name: "Confirm and sign in" }).click();
  await page.waitForURL(`${url}/account`);
  return email;
}

export const showsMail = async (url) => (await fetch(`${url}/dev/mail.json`)).ok;

// Walks through all pages; `look(name)` is called at each.
export async function everyPage(page, url, look) {
  const email = address();
  await page.goto(`${url}/account/sign-in`);
  await look("sign-in");
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill("a wrong password");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").waitFor();
  await look("sign-in-wrong");

  await page.goto(`${url}/account/sign-up`);
  await look("sign-up");
  await page.getByLabel("E-mail address").fill("ada@localhost");
  await page.getByLabel("Password", { exact: true }).fill("12345");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.locator(".error").first().waitFor();
  await look("sign-up-faults");

  await signUp(page, url, email);
  await look("account-new");
  // Another device, and something that happened.
  for (const agent of ["curl/8.5.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"]) {
    const login = await fetch(`${url}/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": agent },
      body: JSON.stringify({ email, password: PASSWORD }),
    });
    if (login.status !== 200) throw new Error(await login.text());
  }
  await page.goto(`${url}/account/profile`);
  await look("profile");
  await page.getByLabel("Name", { exact: true }).fill("Ada Lovelace");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("status").waitFor();
  await look("account");

  await page.goto(`${url}/account/password`);
  await look("password");
  await page.getByLabel("Current password").fill("a wrong password");
  await page.getByLabel("New password").fill("another long password");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.locator(".error").first().waitFor();
  await look("password-wrong");

  await page.goto(`${url}/account/totp`);
  await look("totp");
  const secret = await page.locator(".secret").innerText();
  await page.getByRole("textbox", { name: "Code", exact: true }).fill("000000");
  await page.getByRole("button", { name: "Begin to use it" }).click();
  await page.locator(".error, [role=alert]").first().waitFor();
  await look("totp-wrong");
  await page.getByRole("textbox", { name: "Code", exact: true }).fill(codeOf(secret, Date.now() / 1000));
  await page.getByRole("button", { name: "Begin to use it" }).click();
  await page.locator("#codes li").first().waitFor();
  await look("recovery-codes");
  const { session } = await virtualAuthenticator(page);
  await page.goto(`${url}/account/passkeys/new`);
  await look("passkey-new");
  await page.getByLabel("Name").fill("My laptop");
  await page.getByRole("button", { name: "Make a passkey" }).click();
  await page.getByText("My laptop").waitFor();
  await look("account-with-factors");
  await page.getByRole("link", { name: "Edit the passkey My laptop" }).click();
  await page.getByRole("button", { name: "Remove this passkey" }).waitFor();
  await look("passkey");
  await session.detach();
  await page.goto(`${url}/account/prove?return_to=/account/password`);
  await look("prove");

  await page.goto(`${url}/account/activity`);
  await look("activity");
  await page.goto(`${url}/account/delete`);
  await look("delete");
  await page.goto(`${url}/account/sign-out`);
  await look("sign-out");
  await page.goto(`${url}/account/nowhere`);
  await look("problem-not-found");
  await page.context().clearCookies();
  await page.goto(`${url}/users/me`);
  await look("problem-sign-in");

  await page.goto(`${url}/account/sign-in`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("textbox", { name: "Code", exact: true }).waitFor();
  await look("second-step");
  await page.goto(`${url}/account/sign-in`);
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await look("passkey-sign-in");

  if (!await showsMail(url)) return;
  await page.goto(`${url}/account/forgot`);
  await look("forgot");
  await page.getByLabel("E-mail address").fill(email);
  const seen = [(await mailTo(url, email)).id];
  await page.getByRole("button", { name: "Send the mail" }).click();
  await page.getByRole("status").waitFor();
  await look("reset-by-code");
  const { link } = await mailTo(url, email, seen);
  await page.goto(link);
  await look("reset-by-link");
  await page.goto(`${url}/account/reset?token=nonsense`);
  await look("link-over");
  await page.goto(`${url}/account/magic`);
  await look("magic");
  await page.goto(`${url}/account/verify`);
  await look("verify");

  const other = await signInByMail(page, url, look);
  await look("account-without-password");
  await page.goto(`${url}/account/password`);
  await look("password-first");
  await page.goto(`${url}/account/email`);
  await look("email-without-password");
  await page.goto(`${url}/account/prove`);
  await look("prove-by-mail");
  await page.getByRole("button", { name: "Send me a code by e-mail" }).click();
  await mailTo(url, other, [], (one) => /Your code/.test(one.subject));
  await look("prove-by-mail-sent");
  await page.goto(`${url}/account/delete`);
  await look("delete-without-password");
}
