// Every page as a picture, in both schemes, on a phone and on a desktop:
//   node screenshots.mjs FOLDER [URL]
// The folder must lie outside the repository. Without a URL a house is started.

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
await mkdir(folder, { recursive: true });
const house = url ? { url, close() {} } : await start();
const browser = await launch();
const only = process.env.ONLY?.split(",");
for (const [device, viewport] of [["phone", { width: 390, height: 844 }], ["desktop", { width: 1280, height: 900 }]]) {
  for (const colorScheme of ["light", "dark"]) {
    if (only && !only.includes(`${device}-${colorScheme}`)) continue;
    const context = await browser.newContext({ viewport, colorScheme, locale: process.env.LOCALE ?? "en-GB" });
    const page = await context.newPage();
    await everyPage(page, house.url, (name) =>
      page.screenshot({ path: `${folder}/${name}-${device}-${colorScheme}.png`, fullPage: true }));
    await context.close();
  }
}
await browser.close();
await house.close();
