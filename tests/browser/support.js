// A house to visit and a browser to visit it with.

import { execFileSync, spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../..", import.meta.url));

// TOKENHOUSE_TEST_URL names a house that is running. Else one is started: by the command in
// TOKENHOUSE_TEST_COMMAND, or the example `serve`. It prints its address somewhere in a line, and ends at the
// latest when its standard input does.
export async function house(mount = "") {
  if (process.env.TOKENHOUSE_TEST_URL && !mount) {
    return { url: process.env.TOKENHOUSE_TEST_URL.replace(/\/$/, ""), close() {} };
  }
  const command = (!mount && process.env.TOKENHOUSE_TEST_COMMAND) ||
    `cargo build --quiet --workspace --features tokenhouse/testing --example serve &&
     exec "\${CARGO_TARGET_DIR:-target}/debug/examples/serve" ${mount}`;
  // All tests come from one address, and quicker than any person.
  return start(command, { cwd: root, env: { ...process.env, TOKENHOUSE_RATE_LIMIT__ENABLED: "false" } });
}

// One of the programs under examples/, in a folder of its own, on a port of its own.
export async function example(name, environment) {
  const cwd = await mkdtemp(join(tmpdir(), `tokenhouse-${name}-`));
  const command = `cd "${root}" && cargo build --quiet --workspace --features tokenhouse/testing --bin ${name} &&
     target=$(realpath "\${CARGO_TARGET_DIR:-target}") && cd "${cwd}" && exec "$target/debug/${name}"`;
  return start(command, { env: { ...process.env, ...environment, BIND: "127.0.0.1:0", NO_COLOR: "1" } });
}

async function start(command, options) {
  const server = spawn("bash", ["-c", command], { ...options, stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  const lines = createInterface({ input: server.stdout });
  const url = await new Promise((resolve, reject) => {
    ended.then((code) => reject(new Error(`${command} ended with ${code} before it named its address`)));
    lines.on("line", (line) => {
      const found = line.match(/https?:\/\/[^\s"'`)]+/);
      if (found) resolve(found[0].replace(/\/$/, ""));
    });
  });
  return {
    url,
    async close() {
      server.stdin.end();
      server.kill("SIGTERM");
      await ended;
    },
  };
}

export async function browser() {
  const executablePath = execFileSync("bash", ["-c", "command -v chromium || command -v chromium-browser || command -v google-chrome"])
    .toString().trim();
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", "--no-first-run",
    ],
  });
}

// A page that notes every request it makes and everything that goes wrong on it.
export async function watchedPage(browser) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const requests = [];
  const complaints = [];
  page.on("request", (request) => requests.push(request.url()));
  // What is still loading when a page is left is given up.
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") complaints.push(`${request.url()}: ${why}`);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  return { page, requests, complaints };
}
