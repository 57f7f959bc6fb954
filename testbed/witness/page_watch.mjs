// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Looks at the page while a guest works beneath the sensor. Argument: JSON with url, token, modules, chromium, source, disk_blocks,
// out. Prints what it saw as JSON, after the line "end" on standard input and a last look.
import { createInterface } from "node:readline";
import { drawnColumns, launch, settled, show, signIn } from "../../page/tests/chromium.mjs";

const GROWTH_MS = 5000;
const FOLLOW_LOOKS = 40;
const PATIENCE_MS = 240_000; // a guest on a busy host
const WRITES = 1; // the panel

const setup = JSON.parse(process.argv[2]);
const ended = new Promise((resume) => createInterface({ input: process.stdin }).on("line", (line) => line === "end" && resume()));
const browser = await launch(setup.modules, setup.chromium);
const page = await (await browser.newContext({ viewport: { width: 1280, height: 720 }, acceptDownloads: true })).newPage();
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
await page.goto(setup.url);
await signIn(page, setup.token);
const empty = await page.getByText("No machine has reported yet").isVisible();

await page.waitForFunction(() => document.querySelector("article.machine .state")?.textContent === "reports", null, { timeout: PATIENCE_MS });
const reported_ms = Date.now();
const machine = await page.getAttribute("article.machine h2", "title");
const link = new URLSearchParams((await page.getAttribute("article.machine header a", "href")).split("?")[1]);
await page.screenshot({ path: `${setup.out}/page-machines.png` });

const where = `machine=${link.get("machine")}&boot=${link.get("boot")}&source=${setup.source}&b0=0&b1=${setup.disk_blocks}&layers=reads.writes&strips=`;
const span = (from_ms, to_ms) => `t0=${Math.round(from_ms)}000000&t1=${Math.round(to_ms)}000000`;
const wait = (ms) => new Promise((resume) => setTimeout(resume, ms));
const look = async () => ((await page.$eval("canvas.plot", (c) => c.dataset.geometry ?? "[]")) === "[]" ? { now_ms: Date.now(), columns: 0, newest_ms: null } : drawnColumns(page, WRITES));

// Asked for again and again: until the disk has been touched, the page shows another.
for (const begun = Date.now(); ; ) {
  await show(page, `#/timeline?${where}&${span(Date.now() - 5000, Date.now() + 10_000)}`);
  await wait(1000);
  if (page.url().includes(`source=${setup.source}&`) && (await look()).columns >= 3) break;
  if (Date.now() - begun > PATIENCE_MS) throw new Error("the guest's writes did not appear");
}

// A view that stands still: more and more of it has accesses.
await show(page, `#/timeline?${where}&${span(Date.now() - 1000, Date.now() + 2 * GROWTH_MS)}`);
const growth = [];
for (const begun = Date.now(); Date.now() - begun < GROWTH_MS; await wait(400)) growth.push(await look());
await page.screenshot({ path: `${setup.out}/page-growing.png` });

// A view that follows: how old is the newest cell that is drawn?
await show(page, `#/timeline?${where}&${span(Date.now() - 9000, Date.now())}&follow=1`);
await wait(1000);
const follow = [];
for (let i = 0; i < FOLLOW_LOOKS; i++) {
  await wait(110);
  follow.push(await look());
}
await page.screenshot({ path: `${setup.out}/page-following.png` });

await ended;
await show(page, "#/machines");
const rows = () => page.$$eval("article.machine dt", (names) => Object.fromEntries(names.map((n) => [n.textContent, n.nextElementSibling.textContent])));
let facts = await rows();
for (let before = ""; before !== facts["records of disks"]; facts = await rows()) {
  before = facts["records of disks"];
  await wait(1500);
}
await show(page, `#/timeline?${where}&${span(setup.begun_ms - 3_600_000, Date.now() + 60_000)}`);
await wait(1000);
await settled(page);
const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV", exact: true }).click()]);
await download.saveAs(`${setup.out}/page.csv`);
await page.screenshot({ path: `${setup.out}/page-end.png` });
await browser.close();
process.stdout.write(JSON.stringify({ empty, reported_ms, machine, growth, follow, facts, complaints }));
