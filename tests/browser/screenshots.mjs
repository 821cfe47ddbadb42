// Every page as a picture, in both schemes, on a phone and on a desktop; and as people see it who have asked their system
// for its own colours, for more contrast or for less motion, and on paper:
//   node screenshots.mjs FOLDER [URL]
// The folder must lie outside the repository. Without a URL a house is started. ONLY=phone-dark,desktop-print takes some.

import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { everyPage } from "./pages.js";
import { browser as launch, house as start } from "./support.js";

const [folder, url] = process.argv.slice(2);
const repository = fileURLToPath(new URL("../..", import.meta.url));
if (!folder || resolve(folder).startsWith(repository)) {
  console.error("usage: node screenshots.mjs FOLDER [URL], with a folder outside the repository");
  process.exit(2);
}
const phone = { viewport: { width: 390, height: 844 } };
const desktop = { viewport: { width: 1280, height: 900 } };
const looks = {
  "phone-light": { ...phone, colorScheme: "light" },
  "phone-dark": { ...phone, colorScheme: "dark" },
  "desktop-light": { ...desktop, colorScheme: "light" },
  "desktop-dark": { ...desktop, colorScheme: "dark" },
  "phone-forced-light": { ...phone, colorScheme: "light", forcedColors: "active", reducedMotion: "reduce" },
  "desktop-forced-dark": { ...desktop, colorScheme: "dark", forcedColors: "active", reducedMotion: "reduce" },
  "phone-contrast-light": { ...phone, colorScheme: "light", contrast: "more" },
  "phone-contrast-dark": { ...phone, colorScheme: "dark", contrast: "more" },
  // A dark page, too, is printed on white paper.
  "desktop-print": { viewport: { width: 800, height: 1100 }, colorScheme: "dark" },
};
await mkdir(folder, { recursive: true });
const house = url ? { url, close() {} } : await start();
const browser = await launch();
const only = process.env.ONLY?.split(",");
for (const [name, options] of Object.entries(looks)) {
  if (only && !only.includes(name)) continue;
  const context = await browser.newContext({ ...options, locale: process.env.LOCALE ?? "en-GB" });
  const page = await context.newPage();
  await everyPage(page, house.url, async (what) => {
    // Only while it is taken: on paper there is nothing to click.
    if (name.endsWith("-print")) await page.emulateMedia({ media: "print" });
    await page.screenshot({ path: `${folder}/${what}-${name}.png`, fullPage: true });
    if (name.endsWith("-print")) await page.emulateMedia({ media: "screen" });
  });
  await context.close();
}
await browser.close();
await house.close();
