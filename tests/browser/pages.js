// Every page there is, each in the states that a person can see it in. Whoever adds a page adds it here, and it has its
// screenshots, its look by axe-core, its weight and its manners tested.

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
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${url}/account`);
}

// Walks through all pages; `look(name)` is called at each.
export async function everyPage(page, url, look) {
  const email = address();
  await page.goto(`${url}/account/sign-in`);
  await look("sign-in");
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill("a wrong password");
  await page.getByRole("button", { name: "Sign in" }).click();
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
}
