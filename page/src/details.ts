// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Beside a timeline: the cell under the pointer, the records in view when they are few, and how to read the picture.
import { type Columns, getColumns, Problem } from "./api";
import type { Cell } from "./cells";
import { h, replace } from "./dom";
import * as format from "./format";
import { BASE_TIME } from "./frame";
import type { Plot } from "./plot";
import type { RecordMark } from "./sheet";
import type { Layer } from "./tiles";

/** So few records in view are asked for, and of these so many listed one by one. */
const MOST_ASKED = 1500;
const MOST_LISTED = 400;
/** Of a view this narrow (cells of 0.26 ms) the records are asked for however many they are. */
const NARROW_TIME = 18;
const PATIENCE_MS = 250;

function legend(): HTMLElement {
  const entry = (kind: string, text: string): HTMLElement => h("span", {}, h("i", { class: `swatch ${kind}` }), text);
  const key = (name: string, text: string): HTMLElement => h("span", {}, h("kbd", {}, name), text);
  return h("div", {}, h("h2", {}, "Reading it"), h("div", { class: "legend" }, entry("ground", "nothing happened"), entry("unlooked", "not looked at"), entry("gap", "records missing ▼"), entry("off", "capture switched off"), entry("mark", "partition, file system"), entry("alert", "alert")),
    h("h2", {}, "Keys"), h("div", { class: "legend" }, key("← → ↑ ↓", "move"), key("+ −", "zoom in time"), key("[ ]", "zoom in address"), key("0", "everything"), key("Backspace", "view before"), key("f", "follow"),
      h("span", {}, "Drag: brush. Shift+drag: move. Wheel: zoom; with Shift: addresses.")));
}

/** Records as what the drawing outlines. */
function marksOf(got: Columns, unit: number): RecordMark[] {
  const [times, addresses] = [got.wide("time"), got.wide("address")];
  const [lengths, kinds] = [got.numbers("length"), got.numbers("kind")];
  const names = got.about["kinds"] as string[];
  const marks: RecordMark[] = [];
  for (let i = 0; i < times.length; i++) {
    const kind = names[kinds[i]!] ?? "?";
    if (!/read|write|execute/.test(kind)) continue;
    const layer: Layer = /execute/.test(kind) ? "executes" : /write/.test(kind) ? "writes" : "reads";
    const first = Math.floor(Number(addresses[i]) / unit);
    marks.push({ time: Number(times[i]), b0: first, b1: first + Math.max(1, Math.ceil(lengths[i]! / 4096)), layer });
  }
  return marks;
}

function recordTable(got: Columns, memory: boolean): HTMLElement {
  const [times, addresses, sequences] = [got.wide("time"), got.wide("address"), got.wide("seq")];
  const [lengths, kinds, entropies] = [got.numbers("length"), got.numbers("kind"), got.numbers("entropy")];
  const names = got.about["kinds"] as string[];
  const rows: HTMLElement[] = [];
  for (let i = 0; i < Math.min(times.length, MOST_LISTED); i++)
    rows.push(h("tr", { title: `sequence number ${sequences[i]}` }, h("td", {}, format.time(times[i]!, 6).slice(14)), h("td", {}, (names[kinds[i]!] ?? "?").replace("memory_", "")), h("td", { class: "number" }, memory ? `0x${addresses[i]!.toString(16)}` : String(addresses[i])),
      h("td", { class: "number" }, format.bytes(lengths[i]!)), h("td", { class: "number" }, Number.isNaN(entropies[i]!) ? "" : entropies[i]!.toFixed(2))));
  const heads = ["time", "kind", memory ? "address" : "LBA", "bytes", "H"];
  return h("table", { class: "records mono" }, h("thead", {}, h("tr", {}, heads.map((t, i) => h("th", { class: i > 1 ? "number" : null, scope: "col" }, t)))), h("tbody", {}, rows));
}

export class Details {
  private readonly inspector = h("div");
  private readonly list = h("div");
  readonly element = h("aside", { class: "side", "aria-label": "Details" }, this.inspector, this.list, legend());
  private timer = 0;
  private listed = "";

  constructor(private readonly plot: () => Plot) {
    this.hovered(null, null);
  }

  destroy(): void {
    clearTimeout(this.timer);
  }

  hovered(cell: Cell | null, time: number | null): void {
    const title = h("h2", {}, "Under the pointer");
    if (!cell) {
      replace(this.inspector, title, h("p", { class: "faint" }, time === null ? "Point at a cell to see what it counts." : format.time(time)));
      return;
    }
    const memory = cell.looked !== null;
    const name = memory ? (b: number): string => `0x${(b * 4096).toString(16)}` : (b: number): string => format.count(b * 8);
    const entries = [["from", format.time(cell.t0, 6)], ["for", format.span(cell.t1 - cell.t0)], [memory ? "address" : "LBA", name(cell.b0)], ["to", name(cell.b1)], ["reads", format.count(cell.reads)], ["writes", format.count(cell.writes)]];
    if (cell.looked !== null) entries.push(["executions", format.count(cell.executes)], ["looked at", `${Math.round(cell.looked * 100)} %`]);
    entries.push(["entropy of writes", cell.entropy === null ? (cell.writes > 0 ? "not known" : "–") : cell.entropy.toFixed(3)]);
    replace(this.inspector, title, h("dl", {}, entries.map(([term, value]) => [h("dt", {}, term!), h("dd", {}, value!)])));
  }

  /** The view has moved: lists again when it stands still. */
  moved(revision: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.refresh(revision), PATIENCE_MS);
  }

  /** Few enough records in view: each by itself. */
  private async refresh(revision: number): Promise<void> {
    const plot = this.plot();
    const r = plot.recording;
    if (!r) return;
    const v = plot.view;
    const { time } = plot.level();
    let total = time < BASE_TIME ? 0 : Infinity; // blocks: at least as many as the records that touch them
    if (total === 0) for (const cell of plot.cells()) total += cell.reads + cell.writes + cell.executes;
    const ask = total > 0 && (total <= MOST_ASKED || time <= NARROW_TIME);
    const key = ask ? `${r.boot}/${r.stream}/${r.source}/${v.t0}/${v.t1}/${v.b0}/${v.b1}/${revision}` : `none ${total}`;
    if (key === this.listed) return;
    this.listed = key;
    const title = h("h2", {}, "Records");
    if (!ask) {
      plot.records = [];
      replace(this.list, title, h("p", { class: "faint" }, total === 0 ? "None in view." : "Zoom in until few are in view to see each."));
      return;
    }
    try {
      const got = await getColumns("records", { machine: r.machine, boot: r.boot, stream: r.stream, source: r.source, from_ns: Math.floor(v.t0), to_ns: Math.ceil(v.t1), first_block: Math.floor(v.b0), end_block: Math.ceil(v.b1), limit: MOST_ASKED });
      if (key !== this.listed) return;
      plot.records = marksOf(got, r.stream === "memory" ? 4096 : 8);
      plot.invalidate();
      replace(this.list, h("h2", {}, `Records (${got.wide("time").length}${got.about["more"] ? "+" : ""})`), recordTable(got, r.stream === "memory"));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      replace(this.list, title, h("p", { class: "bad" }, error.message));
    }
  }
}
