// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The page in a real Chromium, without a screen: what page_test.py has set up (argument: its JSON) is looked at, clicked
// through and read back pixel by pixel. Each test leaves pictures in the folder `out`.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { drawnColumns, launch, settled, signIn } from "./chromium.mjs";

const setup = JSON.parse(readFileSync(process.env.UNDERCROFT_PAGE_SETUP, "utf8"));
let browser;
const complaints = [];

before(async () => {
  browser = await launch(setup.modules, setup.chromium);
});
after(async () => browser?.close());

/** A page of its own; whatever the browser complains of is a failure. */
async function open(url, { theme = "light", signedIn = true, width = 1280, height = 720 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce", acceptDownloads: true });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  page.on("request", (request) => { if (!request.url().startsWith(new URL(url).origin) && !/^(data|blob):/.test(request.url())) complaints.push(`asked ${request.url()}`); });
  await page.goto(url.split("#")[0]);
  if (signedIn) await signIn(page, setup.token, url.includes("#") ? `#${url.split("#")[1]}` : "");
  return page;
}

const picture = (page, name) => page.screenshot({ path: `${setup.out}/${name}.png` });
const geometry = (page) => page.$eval("canvas.plot", (c) => JSON.parse(c.dataset.geometry));
const who = (r) => `machine=${r.machine}&boot=${r.boot}`;

function noComplaints() {
  assert.deepEqual(complaints.splice(0), []);
}

/** The picture of the first canvas as numbers. */
async function pixels(page) {
  const shot = await page.$eval("canvas.plot", (c) => {
    const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    let text = "";
    for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
    return { width: c.width, data: btoa(text) };
  });
  return { width: shot.width, data: Buffer.from(shot.data, "base64") };
}

test("strangers see a form, a wrong token nothing, the right one the page", async () => {
  const page = await open(setup.disk.url, { signedIn: false });
  await page.getByLabel("Token").fill("wrong-wrong-wrong-wrong-wrong-wrong-wrong");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("That is not the token.").waitFor();
  assert.equal(await page.locator("#tabs").count(), 0);
  await picture(page, "sign-in");
  complaints.splice(0); // the browser reports the 401
  const inside = await open(setup.disk.url);
  assert.equal(await inside.title(), "Machines · Undercroft");
  assert.ok(!inside.url().includes(setup.token));
  assert.equal(await inside.evaluate(() => document.cookie), "");
  await inside.getByRole("button", { name: "Sign out" }).click();
  await inside.getByLabel("Token").waitFor();
  noComplaints();
  await page.context().close();
  await inside.context().close();
});

for (const theme of ["light", "dark"])
  test(`timeline, ${theme}: drawn, with everything named`, async () => {
    const page = await open(`${setup.disk.url}#/timeline?${who(setup.disk)}`, { theme });
    await settled(page);
    await picture(page, `timeline-${theme}`);
    const panels = await geometry(page);
    assert.deepEqual(panels.map((p) => p.layer), ["reads", "writes", "entropy"]);
    assert.ok((await page.locator("canvas.plot").getAttribute("aria-label")).length > 20);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight), true);
    assert.ok((await page.locator(".timeline > .tools").boundingBox()).height < 40, "switches fit into one row");
    const unnamed = await page.$$eval("button, select, input, a", (all) => all.filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML));
    assert.deepEqual(unnamed, []);
    noComplaints();
    await page.context().close();
  });

test("each cell has the colour of its count in `undercroft heatmap`", async () => {
  const { grid } = setup.disk;
  const map = JSON.parse(readFileSync(grid.file, "utf8"));
  const page = await open(`${setup.disk.url}#/timeline?${who(grid)}&source=${setup.disk.source}&t0=${grid.from}&t1=${grid.to}&b0=${grid.first_block}&b1=${grid.end_block}&max=${grid.max}&strips=&layers=reads.writes.entropy`);
  await settled(page);
  await picture(page, "pixels");
  const shot = await pixels(page);
  const at = (x, y) => { const i = (Math.floor(y) * shot.width + Math.floor(x)) * 4; return `rgb(${shot.data[i]} ${shot.data[i + 1]} ${shot.data[i + 2]})`; };
  let looked = 0;
  for (const panel of await geometry(page)) {
    assert.equal(2 ** panel.time, map.time.cell_ns, "the page's cells are the map's");
    assert.equal(2 ** panel.block * 8, map.lba.cell_sectors);
    const rows = panel.layer === "entropy" ? map.grids.write_entropy : map.grids[panel.layer === "reads" ? "read" : "write"];
    const ground = panel.ground.replace(/^#(..)(..)(..)$/, (_, r, g, b) => `rgb(${parseInt(r, 16)} ${parseInt(g, 16)} ${parseInt(b, 16)})`);
    const wrong = [];
    for (let row = 0; row < map.lba.rows; row++)
      for (let column = 0; column < map.time.columns; column++) {
        const value = rows[row][column];
        const x = panel.x + ((grid.from + (column + 0.5) * map.time.cell_ns - panel.t0) / (panel.t1 - panel.t0)) * panel.w;
        const y = panel.y + panel.h - ((grid.first_block + (row + 0.5) * (map.lba.cell_sectors / 8) - panel.b0) / (panel.b1 - panel.b0)) * panel.h;
        let place = null;
        if (panel.layer === "entropy") place = value;
        else if (value > 0) place = value >= grid.max ? 1 : Math.log(value) / Math.log(grid.max);
        const entries = place === null ? [ground] : [0, -1, 1].map((d) => panel.table[Math.min(255, Math.max(0, Math.round(place * 255) + (panel.layer === "entropy" ? d : 0)))]);
        const unknown = panel.layer === "entropy" && value === null;
        if (!entries.includes(at(x, y)) && !unknown) wrong.push([column, row, value, at(x, y), entries[0]]);
        looked += value > 0 ? 1 : 0;
      }
    assert.deepEqual(wrong.slice(0, 5), [], `${panel.layer}: ${wrong.length} cells of another colour`);
  }
  assert.ok(looked > 300, `${looked} cells with accesses`);
  noComplaints();
  await page.context().close();
});

test("brush, wheel and keys zoom down to single records, and back", async () => {
  const page = await open(`${setup.disk.url}#/timeline?${who(setup.disk)}&source=${setup.disk.source}`);
  await settled(page);
  const whole = (await geometry(page))[0];
  const box = await page.locator("canvas.plot").boundingBox();
  const drag = async (x0, y0, x1, y1) => {
    await page.mouse.move(box.x + x0, box.y + y0);
    await page.mouse.down();
    await page.mouse.move(box.x + x1, box.y + y1, { steps: 4 });
    await page.mouse.up();
    await settled(page);
  };
  await drag(whole.x + whole.w * 0.3, whole.y + whole.h * 0.2, whole.x + whole.w * 0.5, whole.y + whole.h * 0.8);
  const brushed = (await geometry(page))[0];
  assert.ok(Math.abs((brushed.t1 - brushed.t0) / (whole.t1 - whole.t0) - 0.2) < 0.01);
  assert.ok(Math.abs((brushed.b1 - brushed.b0) / (whole.b1 - whole.b0) - 0.6) < 0.03);
  await page.mouse.move(box.x + whole.x + 200, box.y + whole.y + 20);
  await page.mouse.wheel(0, -240);
  await settled(page);
  const wheeled = (await geometry(page))[0];
  assert.ok(wheeled.t1 - wheeled.t0 < (brushed.t1 - brushed.t0) * 0.7);
  await page.locator("canvas.plot").focus();
  await page.keyboard.press("Backspace");
  await settled(page);
  assert.ok(Math.abs((await geometry(page))[0].t0 - brushed.t0) < 1e6);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("]");
  await settled(page);
  const moved = (await geometry(page))[0];
  assert.ok(moved.t0 > brushed.t0 && moved.b1 - moved.b0 < brushed.b1 - brushed.b0);
  // One burst of the store, known by its sequence numbers.
  const { burst } = setup.disk;
  await page.evaluate((hash) => { location.hash = hash; }, `#/timeline?${who(setup.disk)}&source=${setup.disk.source}&t0=${burst.from}&t1=${burst.to}&b0=${burst.first_block}&b1=${burst.end_block}`);
  await page.waitForFunction((n) => document.querySelectorAll(".records tbody tr").length === n, burst.records, { timeout: 20_000 });
  const first = await page.locator(".records tbody tr").first().getAttribute("title");
  assert.equal(first, `sequence number ${burst.first_sequence}`);
  await settled(page);
  await picture(page, "records");
  noComplaints();
  await page.context().close();
});

test("gaps, switched-off capture and time outside of the recording look different from nothing", async () => {
  const { gap, off } = setup.disk;
  const page = await open(`${setup.disk.url}#/timeline?${who(setup.disk)}&source=${setup.disk.source}&strips=`);
  await settled(page);
  const [panel] = await geometry(page);
  const shot = await pixels(page);
  const colours = (t) => {
    const found = new Set();
    const x = panel.x + ((t - panel.t0) / (panel.t1 - panel.t0)) * panel.w;
    for (let dx = -1; dx <= 1; dx++)
      for (let y = panel.y + 1; y < panel.y + panel.h - 1; y++) {
        const i = (Math.floor(y) * shot.width + Math.floor(x + dx)) * 4;
        found.add(`${shot.data[i]},${shot.data[i + 1]},${shot.data[i + 2]}`);
      }
    return found;
  };
  const quiet = colours(setup.disk.quiet);
  const [lost, switchedOff, outside] = [colours((gap[0] + gap[1]) / 2), colours((off[0] + off[1]) / 2), colours(panel.t0 + (panel.t1 - panel.t0) * 0.002)];
  assert.equal(quiet.size, 1, "nothing happened: plain ground");
  assert.ok(lost.size > 3 && switchedOff.size > 3, "hatched");
  const reddish = (set) => [...set].some((c) => { const [r, g, b] = c.split(",").map(Number); return r > g + 60 && r > b + 60; });
  assert.ok(reddish(lost) && !reddish(switchedOff));
  assert.ok(![...outside].every((c) => quiet.has(c)));
  assert.ok((await page.locator(".legend").first().textContent()).includes("not looked at"));
  noComplaints();
  await page.context().close();
});

test("scales, palettes and layers change the picture and the link brings it back", async () => {
  const page = await open(`${setup.disk.url}#/timeline?${who(setup.disk)}&source=${setup.disk.source}`);
  await settled(page);
  const log = (await pixels(page)).data;
  await page.getByRole("button", { name: "Linear" }).click();
  await settled(page);
  assert.ok(!(await pixels(page)).data.equals(log));
  await page.getByLabel("Colour", { exact: true }).selectOption("viridis");
  await page.getByRole("button", { name: "Entropy", exact: true }).click();
  await page.getByRole("button", { name: "Fix" }).click();
  await settled(page);
  const before = await pixels(page);
  await page.getByRole("button", { name: "Link" }).click();
  const link = page.url();
  assert.ok(/scale=linear/.test(link) && /palette=viridis/.test(link) && /max=/.test(link) && !link.includes(setup.token));
  const again = await open(link);
  await settled(again);
  await again.waitForTimeout(400);
  await settled(again);
  assert.deepEqual((await geometry(again)).map((p) => [p.layer, p.max, p.scale]), (await geometry(page)).map((p) => [p.layer, p.max, p.scale]));
  const after = await pixels(again);
  let other = 0;
  for (let i = 0; i < before.data.length; i += 4) if (before.data[i] !== after.data[i] || before.data[i + 1] !== after.data[i + 1]) other++;
  assert.ok(other < before.data.length / 4 / 500, `${other} pixels differ`);
  noComplaints();
  await page.context().close();
  await again.context().close();
});

test("exports: PNG, SVG and CSV hold what is shown", async () => {
  const { grid } = setup.disk;
  const map = JSON.parse(readFileSync(grid.file, "utf8"));
  const page = await open(`${setup.disk.url}#/timeline?${who(grid)}&source=${setup.disk.source}&t0=${grid.from}&t1=${grid.to}&b0=${grid.first_block}&b1=${grid.end_block}&strips=`);
  await settled(page);
  const files = {};
  for (const kind of ["PNG", "SVG", "CSV"]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: kind, exact: true }).click()]);
    files[kind] = `${setup.out}/export.${kind.toLowerCase()}`;
    await download.saveAs(files[kind]);
  }
  const png = readFileSync(files.PNG);
  assert.equal(png.subarray(1, 4).toString(), "PNG");
  assert.ok(png.readUInt32BE(16) > 1500);
  const svg = readFileSync(files.SVG, "utf8");
  assert.ok(svg.startsWith("<svg") && svg.includes("Reads") && (svg.match(/<rect/g) ?? []).length > 300);
  const [head, ...lines] = readFileSync(files.CSV, "utf8").trim().split("\n");
  assert.equal(head, "time_ns,cell_ns,lba,cell_sectors,reads,writes,executes,write_entropy");
  let [reads, writes] = [0, 0];
  for (const line of lines.map((l) => l.split(","))) {
    const column = Number((BigInt(line[0]) - BigInt(map.time.from_ns)) / BigInt(map.time.cell_ns));
    const row = (Number(line[2]) - map.lba.first) / map.lba.cell_sectors;
    if (column < 0 || column >= map.time.columns || row < 0 || row >= map.lba.rows) continue;
    assert.equal(Number(line[4]), map.grids.read[row][column]);
    assert.equal(Number(line[5]), map.grids.write[row][column]);
    reads += Number(line[4]);
    writes += Number(line[5]);
  }
  assert.equal(reads, map.grids.read.flat().reduce((a, b) => a + b));
  assert.equal(writes, map.grids.write.flat().reduce((a, b) => a + b));
  noComplaints();
  await page.context().close();
});

for (const theme of ["light", "dark"])
  test(`memory, ${theme}: guest-physical addresses, and what was not looked at`, async () => {
    const page = await open(`${setup.memory.url}#/timeline?${who(setup.memory)}&stream=memory`, { theme });
    await settled(page);
    await picture(page, `memory-${theme}`);
    const panels = await geometry(page);
    assert.deepEqual(panels.map((p) => p.layer), ["reads", "writes", "executes", "entropy"]);
    const shot = await pixels(page);
    const at = (panel, t, page_) => { const x = Math.floor(panel.x + ((t - panel.t0) / (panel.t1 - panel.t0)) * panel.w); const y = Math.floor(panel.y + panel.h - ((page_ - panel.b0) / (panel.b1 - panel.b0)) * panel.h); const i = (y * shot.width + x) * 4; return [...shot.data.subarray(i, i + 3)].join(); };
    const [panel] = panels;
    const { looked, unlooked, time } = setup.memory;
    assert.notEqual(at(panel, time, looked), at(panel, time, unlooked), "looked at and not looked at");
    noComplaints();
    await page.context().close();
  });

for (const theme of ["light", "dark"])
  test(`evidence, ${theme}: reasons, places, bytes before and after, replay`, async () => {
    const page = await open(`${setup.evidence.url}#/evidence`, { theme });
    await page.getByRole("heading", { name: "Content before and after" }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll(".blocks .hex").length === 2, null, { timeout: 20_000 });
    const [was, is] = await page.$$eval(".blocks .hex", (all) => all.map((e) => e.textContent));
    assert.ok(was.includes("The quick brown"), "plain text before");
    assert.ok(!is.includes("The quick brown"), "something else after");
    const heads = await page.$$eval(".blocks section", (all) => all.map((e) => Number(/entropy ([\d.]+)/.exec(e.textContent)[1])));
    assert.ok(heads[0] < 0.6 && heads[1] > 0.98, `entropies ${heads}`);
    const replay = await page.locator("#replay").textContent();
    assert.ok(replay.includes("undercroft replay") && replay.includes(`--until ${setup.evidence.until}`), replay);
    writeFileSync(`${setup.out}/replay.txt`, replay);
    assert.ok((await page.locator("article").textContent()).includes("write_entropy"));
    await picture(page, `evidence-${theme}`);
    await page.getByRole("link", { name: "Show in the timeline" }).click();
    await settled(page);
    await picture(page, `alert-${theme}`);
    const box = await page.locator("canvas.plot").boundingBox();
    const [panel] = await geometry(page);
    await page.mouse.click(box.x + panel.x + ((setup.evidence.alert - panel.t0) / (panel.t1 - panel.t0)) * panel.w, box.y + panel.y + 20);
    await page.getByRole("heading", { name: "Reasons" }).waitFor();
    noComplaints();
    await page.context().close();
  });

for (const theme of ["light", "dark"])
  test(`evidence, ${theme}: pages of memory that were written meanwhile, with their bytes`, async () => {
    const expected = setup.evidence.pages;
    const page = await open(`${setup.evidence.url}#/evidence`, { theme });
    const bytes = () => page.$$eval(".pages .hex", (all) => all.map((e) => e.textContent));
    await page.waitForFunction(() => document.querySelectorAll(".pages .hex").length === 2, null, { timeout: 20_000 });
    const text = await page.locator(".pages").textContent();
    assert.ok(text.includes(`${expected.pages} pages were recorded written, ${expected.writes} times`), text);
    const rows = await page.$$eval(".pages tbody tr", (all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
    assert.equal(rows.length, expected.pages);
    assert.deepEqual([rows[0][0], rows[0][2], rows[0][3], rows[0][4]], [expected.highest, "0.994", "1", "Bytes"]);
    assert.ok(/^2023-11-14 22:14:2\d\.\d{6}$/.test(rows[0][1]), rows[0][1]);
    assert.ok(rows.some((row) => row[4] === "not captured"));
    assert.deepEqual(rows.map((row) => Number(row[2])), rows.map((row) => Number(row[2])).sort((a, b) => b - a));
    const [was, is] = await bytes();
    assert.ok(was.includes("a key schedule") && !is.includes("a key schedule"));
    await page.locator(".pages").scrollIntoViewIfNeeded();
    await page.evaluate(() => document.querySelector(".pages").scrollIntoView());
    await picture(page, `evidence-memory-${theme}`);
    await page.getByRole("button", { name: `bytes of the page at ${expected.zeros}` }).click();
    await page.getByText("Not recorded before").waitFor();
    assert.deepEqual((await bytes()).map((dump) => /^0000 {2}(00 {1,2}){16}/.test(dump)), [true]);
    await page.getByLabel("Any address").fill("0x155123");
    await page.getByRole("button", { name: "Show page" }).click();
    await page.getByText("Page at 0x155000").waitFor();
    for (const [alert, words] of [[setup.evidence.unwatched, "did not look for writes"], [setup.evidence.unmonitored, "The memory monitor was not running"]]) {
      await page.evaluate((id) => { location.hash = `#/evidence?alert=${id}`; }, alert);
      await page.locator(".pages .empty").filter({ hasText: words }).waitFor();
      await page.evaluate(() => document.querySelector(".pages").scrollIntoView());
      await picture(page, `evidence-no-memory-${words.includes("not look") ? "looked" : "monitor"}-${theme}`);
    }
    noComplaints();
    await page.context().close();
  });

test("runs: side by side, moving together, played again", async () => {
  const page = await open(`${setup.disk.url}#/runs`, { theme: "dark" });
  await settled(page);
  const views = () => page.$$eval("canvas.plot", (all) => all.map((c) => JSON.parse(c.dataset.geometry)[0]));
  const [a, b] = await views();
  const box = await page.locator("canvas.plot").first().boundingBox();
  await page.mouse.move(box.x + a.x + a.w / 2, box.y + a.y + a.h / 2);
  await page.mouse.wheel(0, -300);
  await settled(page);
  const [a2, b2] = await views();
  assert.ok(a2.t1 - a2.t0 < (a.t1 - a.t0) * 0.7);
  assert.ok(Math.abs(a2.t1 - a2.t0 - (b2.t1 - b2.t0)) < 1e6, "both show as much time");
  assert.ok(b.t0 !== a.t0, "two recordings");
  await page.getByRole("button", { name: "Everything" }).click();
  await page.getByLabel("Speed").selectOption("10");
  await page.getByRole("button", { name: "Play" }).click();
  await page.waitForTimeout(800);
  await picture(page, "runs-playing");
  await page.getByRole("button", { name: "Pause" }).click();
  const shown = Number(/\+([\d.]+) s/.exec(await page.locator(".runs .mono").first().textContent())[1]);
  assert.ok(shown > 3 && shown < 30, `after 0.8 s at 10 times: ${shown} s`);
  for (const view of await views()) assert.ok(view.t1 - view.t0 > 100e9, "everything is in view again");
  // A moment that lies outside of the view comes into it.
  await page.mouse.move(box.x + a.x + a.w - 20, box.y + a.y + a.h / 2);
  for (let i = 0; i < 8; i++) await page.mouse.wheel(0, -300);
  await page.getByLabel("moment of the replay").fill("100");
  await settled(page);
  const moment = Number(/\+([\d.]+) s/.exec(await page.locator(".runs .mono").first().textContent())[1]) * 1e9;
  const begin = a.t0 + (a.t1 - a.t0) / 102; // the whole view has a hundredth on either side
  const [seen] = await views();
  assert.ok(seen.t0 < begin + moment && begin + moment < seen.t1, `${seen.t0} ${begin + moment} ${seen.t1}`);
  noComplaints();
  await page.context().close();
});

test("empty stores and wrong links are explained", async () => {
  const page = await open(setup.empty.url);
  await page.getByText("No machine has reported yet").waitFor();
  await picture(page, "empty-machines");
  await page.getByRole("link", { name: "Timeline" }).click();
  await page.locator(".over").filter({ hasText: "The store has no recording yet" }).waitFor();
  await page.getByRole("link", { name: "Evidence" }).click();
  await page.getByRole("heading", { name: "No alerts" }).waitFor();
  await picture(page, "empty-evidence");
  const wrong = await open(`${setup.disk.url}#/timeline?machine=${"0".repeat(32)}&boot=${"1".repeat(32)}`);
  await wrong.locator(".over").filter({ hasText: "The store has no recording 11111111" }).waitFor();
  await picture(wrong, "wrong-link");
  noComplaints();
  await page.context().close();
  await wrong.context().close();
});

test("a server that is gone is said so, and the page goes on when it is back", async () => {
  const page = await open(setup.disk.url);
  await page.waitForSelector("article.machine");
  await page.route("**/api/**", (route) => route.abort());
  await page.getByText("the server does not answer").waitFor({ timeout: 10_000 });
  await picture(page, "server-gone");
  await page.unroute("**/api/**");
  await page.waitForFunction(() => document.getElementById("health").className === "", null, { timeout: 10_000 });
  complaints.splice(0); // the browser reports the refused requests
  await page.context().close();
});

test("live: machines report, records appear within a second, capture can be switched", async () => {
  const page = await open(setup.live.url, { theme: "dark" });
  await page.locator("article.machine").first().waitFor({ timeout: 20_000 });
  await page.waitForFunction(() => [...document.querySelectorAll(".state")].some((s) => s.textContent === "reports"), null, { timeout: 20_000 });
  await picture(page, "machines-dark");
  const text = await page.locator("article.machine").first().textContent();
  for (const word of ["Lag", "Losses", "Disks", "Last alert", "not acknowledged", "records missing"]) assert.ok(text.includes(word), word);
  await page.getByRole("button", { name: "Stop capture" }).first().click();
  await page.locator("footer [role=status]").first().filter({ hasText: setup.live.answer }).waitFor({ timeout: 20_000 });
  complaints.splice(0); // the browser reports that the command failed: this sensor is the load generator
  await page.evaluate(() => { location.hash = "#/timeline?follow=1"; });
  await settled(page);
  // How old is the newest record that is on the screen? By the page's own clock, which is the collector's too.
  const known = [];
  for (let i = 0; i < 40; i++) {
    await page.waitForTimeout(150);
    const { now_ms, newest_ms } = await drawnColumns(page, 1);
    if (newest_ms !== null) known.push(now_ms - newest_ms);
  }
  known.sort((a, b) => a - b);
  assert.ok(known.length > 30, `${known.length} looks found records`);
  const median = known[Math.floor(known.length / 2)];
  writeFileSync(`${setup.out}/live.json`, JSON.stringify({ live_delay_ms_median: median, live_delay_ms_p95: known[Math.floor(known.length * 0.95)] }));
  await picture(page, "live-timeline-dark");
  assert.ok(median < 1000, `median ${median} ms`);
  noComplaints();
  await page.context().close();
});
