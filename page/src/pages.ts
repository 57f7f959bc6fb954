// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The pages of memory that were written while an alert lasted.
import { type Alert, type BootState, getJson, Problem, type WrittenPage, type WrittenPages } from "./api";
import { address } from "./app";
import { type Moment, showContent } from "./content";
import { h, replace } from "./dom";
import * as format from "./format";

const MOST_LISTED = 200;
const HIGHEST_PAGE = 2 ** 40;

type Fields = Alert["undercroft"];

function empty(title: string, ...text: (Node | string)[]): HTMLElement {
  return h("div", { class: "empty" }, h("strong", {}, title), h("p", {}, text));
}

function howToWatch(u: Fields): HTMLElement {
  return h("code", {}, `undercroft control --collector SOCKET --machine ${u.machine} memory written`);
}

async function show(u: Fields, into: HTMLElement, page: number, moment: Moment): Promise<void> {
  await showContent(into, { machine: u.machine, boot: u.boot, stream: "memory", source: null, block: page, last: HIGHEST_PAGE }, moment);
}

function table(u: Fields, found: WrittenPages, shown: HTMLElement): HTMLElement {
  const rows = found.pages.map((page) => row(u, page, shown));
  const heads = ["address", "time", "entropy", "writes", ""];
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "pages written" },
    h("table", {}, h("thead", {}, h("tr", {}, heads.map((text, i) => h("th", { scope: "col", class: i === 1 || i === 4 ? null : "number" }, text)))), h("tbody", {}, rows)));
}

function row(u: Fields, page: WrittenPage, shown: HTMLElement): HTMLElement {
  const bytes = h("button", { type: "button", "aria-label": `bytes of the page at 0x${page.address.toString(16)}`, onclick: () => void show(u, shown, page.address / 4096, { time_ns: page.time_ns, seq: page.seq }) }, "Bytes");
  return h("tr", {}, h("td", { class: "number" }, `0x${page.address.toString(16)}`), h("td", {}, format.time(page.time_ns, 6)), h("td", { class: "number" }, page.entropy?.toFixed(3) ?? "not known"),
    h("td", { class: "number" }, format.count(page.writes)), h("td", {}, page.captured ? bytes : h("span", { class: "faint" }, "not captured")));
}

function summary(found: WrittenPages): string {
  const listed = found.page_count > found.pages.length ? `the ${format.count(found.pages.length)} of the highest entropy` : "that of the highest entropy first";
  return `${format.count(found.page_count)} ${found.page_count === 1 ? "page was" : "pages were"} recorded written, ${format.count(found.writes)} ${found.writes === 1 ? "time" : "times"}; ${listed}, each with its write of the highest entropy.${found.cut ? " There were more than are looked through here: zoom into the time in the timeline." : ""}`;
}

function lookUp(u: Fields, shown: HTMLElement): HTMLElement {
  const input = h("input", { type: "text", size: 16, placeholder: "0x1234000" });
  const look = (event: Event): void => {
    event.preventDefault();
    const at = Number(input.value);
    const valid = input.value.trim() !== "" && Number.isFinite(at) && at >= 0 && at / 4096 <= HIGHEST_PAGE;
    input.setAttribute("aria-invalid", String(!valid));
    if (valid) void show(u, shown, Math.floor(at / 4096), { time_ns: u.first_evidence_ns, until_ns: u.until_ns });
  };
  return h("form", { onsubmit: look }, h("label", { class: "field" }, "Any address", input), " ", h("button", { type: "submit" }, "Show page"), " ",
    h("a", { href: address("timeline", { machine: u.machine, boot: u.boot, stream: "memory", t0: u.first_evidence_ns - 1e9, t1: u.until_ns + 1e9, b0: 0, b1: 2 ** 18 }) }, "Memory in the timeline"));
}

export async function showPages(alert: Alert, boot: BootState | undefined, into: HTMLElement): Promise<void> {
  const u = alert.undercroft;
  if (!boot?.memory) {
    replace(into, empty("The memory monitor was not running.", "With it, pages that are written stand here with their bytes: keys and buffers of an encryptor among them. Start it while the machine runs: ", howToWatch(u)));
    return;
  }
  const waiting = h("p", { class: "faint" }, "Looking for pages …");
  replace(into, waiting);
  try {
    const found = await getJson<WrittenPages>("pages", { machine: u.machine, boot: u.boot, from_ns: u.first_evidence_ns, to_ns: u.until_ns + 1, limit: MOST_LISTED });
    if (!into.contains(waiting)) return;
    const shown = h("div", {});
    const nothing = found.looked
      ? empty("No page's bytes were recorded while this lasted.", "The monitor looked for writes, and either found none or did not look into pages: mode ", h("code", {}, "access"), " does not, mode ", h("code", {}, "written"), " does.")
      : empty("The memory monitor did not look for writes while this lasted.", "To have pages with their bytes next time: ", howToWatch(u));
    replace(into, found.pages.length === 0 ? nothing : [h("p", {}, summary(found)), table(u, found, shown)], lookUp(u, shown), shown);
    const first = found.pages.find((page) => page.captured);
    if (first) await show(u, shown, first.address / 4096, { time_ns: first.time_ns, seq: first.seq });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    replace(into, h("p", { class: "bad" }, error.message));
  }
}
