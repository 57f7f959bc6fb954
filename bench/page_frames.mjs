// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Pans and zooms over a recording as a hand would and prints how fluently: URL TOKEN MODULES CHROMIUM MACHINE BOOT PICTURE.
import { launch, settled, signIn } from "../page/tests/chromium.mjs";

const [url, token, modules, executablePath, machine, boot, picture] = process.argv.slice(2);
const browser = await launch(modules, executablePath);
const page = await (await browser.newContext({ viewport: { width: 1280, height: 720 } })).newPage();
await page.goto(url);
await signIn(page, token, `#/timeline?machine=${machine}&boot=${boot}`);
await settled(page, 120_000);
await page.screenshot({ path: picture });
// Wheel events at 60 a second come from inside the page, so that the driver's own pace does not count.
const measured = await page.evaluate(async () => {
  const canvas = document.querySelector("canvas.plot");
  const box = canvas.getBoundingClientRect();
  const gaps = [];
  let before = performance.now();
  for (let frame = 0; frame < 600; frame++) {
    const phase = Math.floor(frame / 60) % 4;
    const common = { bubbles: true, cancelable: true, clientX: box.left + 200 + (frame % 60) * 8, clientY: box.top + 80 };
    if (phase === 0) canvas.dispatchEvent(new WheelEvent("wheel", { ...common, deltaY: -14 }));
    else if (phase === 2) canvas.dispatchEvent(new WheelEvent("wheel", { ...common, deltaY: 12, ctrlKey: frame % 2 === 0 }));
    else canvas.dispatchEvent(new WheelEvent("wheel", { ...common, deltaX: phase === 1 ? 14 : -14 }));
    await new Promise((resume) => requestAnimationFrame(resume));
    const now = performance.now();
    gaps.push(now - before);
    before = now;
  }
  return gaps;
});
const sorted = measured.slice(5).sort((a, b) => a - b);
const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
await settled(page, 120_000);
process.stdout.write(JSON.stringify({ fps_median: 1000 / at(0.5), fps_p5: 1000 / at(0.95), draw_ms_median: at(0.5) }));
await browser.close();
