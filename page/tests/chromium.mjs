// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A Chromium without a screen, and the page opened in it.
import { createRequire } from "node:module";

/** `modules`: a node_modules with playwright-core. Nothing but the pages asked for is fetched. */
export function launch(modules, executablePath) {
  const { chromium } = createRequire(`${modules}/`)("playwright-core");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"] });
}

/** Through the form to the view behind '#'. */
export async function signIn(page, token, hash = "") {
  await page.getByLabel("Token").fill(token);
  await Promise.all([page.waitForURL((u) => u.pathname === "/"), page.getByRole("button", { name: "Open" }).click()]);
  await page.waitForSelector("#tabs a");
  if (hash) await show(page, hash);
}

export function show(page, hash) {
  return page.evaluate((to) => { location.hash = to; }, hash);
}

/** All drawings are complete. */
export function settled(page, timeout = 60_000) {
  return page.waitForFunction(() => [...document.querySelectorAll("canvas.plot")].every((c) => c.dataset.state === "ready" && c.dataset.geometry !== "[]") && document.querySelectorAll("canvas.plot").length > 0, null, { timeout });
}

/** Of the panel with this number: how many columns of its pixels have accesses, and the time at the left of the newest cell. */
export function drawnColumns(page, panel) {
  return page.evaluate((number) => {
    const canvas = document.querySelector("canvas.plot");
    const box = JSON.parse(canvas.dataset.geometry)[number];
    const data = canvas.getContext("2d").getImageData(box.x, box.y, box.w, box.h).data;
    const ground = box.ground.match(/[0-9a-f]{2}/g).map((x) => parseInt(x, 16));
    const table = new Set(box.table);
    let [columns, newest] = [0, -1];
    for (let x = 0; x < box.w; x++)
      for (let y = 0; y < box.h; y++) {
        const at = (y * box.w + x) * 4;
        if (data[at] === ground[0] || !table.has(`rgb(${data[at]} ${data[at + 1]} ${data[at + 2]})`)) continue;
        columns++;
        newest = x;
        break;
      }
    const nsPerPixel = (box.t1 - box.t0) / box.w;
    return { now_ms: Date.now(), columns, newest_ms: newest < 0 ? null : (box.t0 + (newest + 1) * nsPerPixel - 2 ** box.time) / 1e6 };
  }, panel);
}
