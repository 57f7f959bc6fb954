// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One recording: heat maps, features and score, alerts, single records, and ways out (PNG, SVG, CSV, link).
import { type BootState, getColumns, getJson, Problem, type State, type Stream, type StreamFacts, whole } from "./api";
import { address, bootName, changedFrom, lastHeard, rememberAddress, type Screen, type Server, streamOf } from "./app";
import type { Palette, Scale } from "./colour";
import { h, replace, save, say, select, toggle } from "./dom";
import * as format from "./format";
import { type Cell, LAYER_NAMES, Plot, type RecordMark, type Settings, type Strip, type View } from "./plot";
import type { Layer } from "./tiles";

/** So few records in view are listed one by one. */
const MOST_LISTED = 1500;
const STRIPS: Strip[] = ["rate", "variance", "entropy", "score"];

export function readSettings(parameters: URLSearchParams): Settings {
  const list = (name: string, all: string[]): string[] | null => parameters.get(name)?.split(".").filter((x) => all.includes(x)) ?? null;
  const max = Number(parameters.get("max"));
  return {
    layers: (list("layers", ["reads", "writes", "executes", "entropy"]) as Layer[] | null) ?? ["reads", "writes", "executes", "entropy"],
    strips: (list("strips", STRIPS) as Strip[] | null) ?? STRIPS,
    scale: parameters.get("scale") === "linear" ? "linear" : "log",
    palette: (["heat", "viridis", "grey"].find((p) => p === parameters.get("palette")) ?? "heat") as Palette,
    max: max > 0 ? max : null,
  };
}

export function readView(parameters: URLSearchParams): View | null {
  const values = ["t0", "t1", "b0", "b1"].map((name) => (parameters.has(name) ? Number(parameters.get(name)) : NaN));
  if (values.some((v) => !Number.isFinite(v) || v < 0) || values[1]! <= values[0]! || values[3]! <= values[2]!) return null;
  return { t0: values[0]!, t1: values[1]!, b0: values[2]!, b1: values[3]! };
}

class Timeline implements Screen {
  readonly element = h("section", { class: "timeline", "aria-label": "Timeline" });
  private readonly tools = h("div", { class: "tools", role: "toolbar", "aria-label": "What is drawn" });
  private readonly plot: Plot;
  private readonly inspector = h("div");
  private readonly list = h("div");
  private readonly over = h("div", { class: "over", hidden: true });
  private machine = "";
  private boot = "";
  private stream: Stream = "storage";
  private source: number | null = null;
  private facts: StreamFacts | null = null;
  private revision = -1;
  private loading = "";
  private follow = false;
  private wanted: View | null = null;
  private history: View[] = [];
  private toolsKey = "";
  private listTimer = 0;
  private listKey = "";
  private state: State | null = null;
  private readonly themed = (): void => this.plot.invalidate();
  private readonly keys = (event: KeyboardEvent): void => this.key(event);

  constructor(private readonly server: Server) {
    this.plot = new Plot(readSettings(new URLSearchParams()), { viewed: (view, final) => this.viewed(view, final), hovered: (cell, time) => this.hovered(cell, time), picked: (alert) => (location.hash = address("evidence", { alert: alert.undercroft.id })) },
      "Heat maps of accesses over time and address. Arrow keys move, plus and minus zoom in time, square brackets in address, 0 shows everything.");
    this.element.append(this.tools, h("div", { class: "body" }, h("div", { class: "drawing" }, this.plot.canvas, this.over), h("aside", { class: "side", "aria-label": "Details" }, this.inspector, this.list, this.legend())));
    window.addEventListener("theme", this.themed);
    this.element.addEventListener("keydown", this.keys);
  }

  destroy(): void {
    this.plot.destroy();
    clearTimeout(this.listTimer);
    window.removeEventListener("theme", this.themed);
  }

  private legend(): HTMLElement {
    const entry = (kind: string, text: string): HTMLElement => h("span", {}, h("i", { class: `swatch ${kind}` }), text);
    return h("div", {}, h("h2", {}, "Reading it"), h("div", { class: "legend" }, entry("ground", "nothing happened"), entry("unlooked", "not looked at"), entry("gap", "records missing ▼"), entry("off", "capture switched off"), entry("mark", "partition, file system"), entry("alert", "alert")),
      h("h2", {}, "Keys"), h("div", { class: "legend" }, h("span", {}, h("kbd", {}, "← → ↑ ↓"), "move"), h("span", {}, h("kbd", {}, "+ −"), "zoom in time"), h("span", {}, h("kbd", {}, "[ ]"), "zoom in address"), h("span", {}, h("kbd", {}, "0"), "everything"), h("span", {}, h("kbd", {}, "Backspace"), "view before"), h("span", {}, h("kbd", {}, "f"), "follow"),
        h("span", {}, "Drag: brush. Shift+drag: move. Wheel: zoom; with Shift: addresses.")));
  }

  navigated(parameters: URLSearchParams): void {
    this.machine = parameters.get("machine") ?? this.machine;
    this.boot = parameters.get("boot") ?? this.boot;
    this.stream = parameters.get("stream") === "memory" ? "memory" : "storage";
    const source = parameters.get("source");
    this.source = source === null ? null : Number(source);
    this.plot.settings = readSettings(parameters);
    this.wanted = readView(parameters);
    this.follow = parameters.get("follow") === "1";
    this.revision = -1;
    this.toolsKey = "";
  }

  private current(): BootState | undefined {
    return this.state?.boots.find((b) => b.machine === this.machine && b.boot === this.boot);
  }

  update(state: State): void {
    this.state = state;
    if (!this.current()) {
      const newest = [...state.boots].sort((a, b) => lastHeard(state, b) - lastHeard(state, a))[0];
      if (this.boot !== "" && state.boots.length > 0) {
        this.message(`The store has no recording ${format.short(this.boot)} of machine ${format.short(this.machine)} (any more).`, true);
        this.drawTools();
        return;
      }
      if (!newest) {
        this.message("The store has no recording yet. One appears with a sensor's first greeting.", false);
        return;
      }
      this.machine = newest.machine;
      this.boot = newest.boot;
    }
    const boot = this.current()!;
    if (!streamOf(boot, this.stream) && streamOf(boot, this.stream === "memory" ? "storage" : "memory") && this.wanted === null) this.stream = this.stream === "memory" ? "storage" : "memory";
    this.plot.alerts = this.server.alerts.filter((a) => a.undercroft.boot === this.boot && a.undercroft.machine === this.machine);
    this.drawTools();
    const now = streamOf(boot, this.stream);
    if (!now) {
      this.message(this.stream === "memory" ? "This recording has no memory accesses: the memory monitor was not started." : "This recording has no disk accesses yet.", false);
      return;
    }
    if (now.revision !== this.revision) void this.load(now.revision);
    else if (this.plot.tiles.error) this.message(this.plot.tiles.error, true);
  }

  private async load(revision: number): Promise<void> {
    const key = `${this.machine}/${this.boot}/${this.stream}`;
    if (this.loading === key) return;
    this.loading = key;
    try {
      const facts = await getJson<StreamFacts>("stream", { machine: this.machine, boot: this.boot, stream: this.stream });
      if (key !== `${this.machine}/${this.boot}/${this.stream}`) return;
      this.take(facts, key);
      this.revision = facts.revision;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.message(error.message, true);
      this.revision = revision;
    } finally {
      this.loading = "";
    }
  }

  private take(facts: StreamFacts, key: string): void {
    const before = this.facts;
    const since = this.revision;
    this.facts = facts;
    const now = streamOf(this.current()!, this.stream)!;
    if (this.source === null || !facts.sources.some((s) => s.source === this.source)) {
      const busiest = [...facts.sources].sort((a, b) => b.weight - a.weight)[0];
      this.source = this.stream === "memory" ? null : busiest?.source ?? null;
    }
    const first = this.plot.recording === null || `${this.plot.recording.machine}/${this.plot.recording.boot}/${this.plot.recording.stream}` !== key || this.plot.recording.source !== this.source;
    this.plot.show({ machine: this.machine, boot: this.boot, stream: this.stream, source: this.source }, facts, this.wanted);
    this.wanted = null;
    if (!first && before && since >= 0) {
      const from = changedFrom(now, since);
      if (from !== null) this.plot.outdate(from);
    } else if (since === -1) this.plot.outdate(0);
    if (this.follow && facts.to_ns) {
      const width = this.plot.view.t1 - this.plot.view.t0;
      this.plot.setView({ ...this.plot.view, t0: facts.to_ns - width * 0.97, t1: facts.to_ns + width * 0.03 }, false);
    }
    if (facts.rows === 0) this.message(facts.waiting_files > 0 ? "The files of this recording are being counted; what is ready appears by and by." : "This recording has no records yet.", false);
    else this.over.hidden = true;
    this.toolsKey = "";
    this.drawTools();
  }

  private message(text: string, bad: boolean): void {
    this.over.hidden = false;
    this.over.className = bad ? "over bad" : "over";
    if (this.over.textContent !== text) {
      this.over.textContent = text;
      say(text);
    }
  }

  private viewed(view: View, final: boolean): void {
    if (!this.plot) return; // of the constructor
    if (final) this.remember(view);
    clearTimeout(this.listTimer);
    this.listTimer = window.setTimeout(() => void this.listRecords(), 250);
  }

  private remember(view: View): void {
    if (!this.facts) return;
    const last = this.history[this.history.length - 1];
    if (!last || last.t0 !== view.t0 || last.t1 !== view.t1 || last.b0 !== view.b0 || last.b1 !== view.b1) this.history.push(view);
    if (this.history.length > 50) this.history.shift();
    const s = this.plot.settings;
    rememberAddress("timeline", { machine: this.machine, boot: this.boot, stream: this.stream === "memory" ? "memory" : null, source: this.source, t0: whole(view.t0), t1: whole(view.t1), b0: whole(view.b0), b1: whole(view.b1),
      scale: s.scale === "log" ? null : s.scale, palette: s.palette === "heat" ? null : s.palette, max: s.max, layers: s.layers.length === 4 ? null : s.layers.join("."), strips: s.strips.length === 4 ? null : s.strips.join("."), follow: this.follow ? 1 : null });
    say(`${format.time(view.t0)} to ${format.time(view.t1)}, ${format.bytes(view.b0 * 4096)} to ${format.bytes(view.b1 * 4096)}`);
  }

  private back(): void {
    this.history.pop();
    const before = this.history.pop();
    if (before) this.plot.setView(before, true);
  }

  private key(event: KeyboardEvent): void {
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey) return;
    if (event.key === "Backspace") this.back();
    else if (event.key === "f") this.setFollow(!this.follow);
    else return;
    event.preventDefault();
  }

  private setFollow(on: boolean): void {
    this.follow = on;
    if (on && this.facts?.to_ns) {
      const width = Math.min(this.plot.view.t1 - this.plot.view.t0, 60e9);
      this.plot.setView({ ...this.plot.view, t0: this.facts.to_ns - width * 0.97, t1: this.facts.to_ns + width * 0.03 }, true);
    } else this.remember(this.plot.view);
    this.toolsKey = "";
    this.drawTools();
  }

  private change(settings: Partial<Settings>): void {
    this.plot.settings = { ...this.plot.settings, ...settings };
    this.plot.invalidate();
    this.remember(this.plot.view);
    this.toolsKey = "";
    this.drawTools();
  }

  private go(parameters: Record<string, string | number | null>): void {
    location.hash = address("timeline", { machine: this.machine, boot: this.boot, stream: this.stream === "memory" ? "memory" : null, ...parameters });
  }

  private drawTools(): void {
    const state = this.state;
    if (!state) return;
    const boot = this.current();
    const key = JSON.stringify([state.boots.map((b) => b.boot), this.machine, this.boot, this.stream, this.source, this.plot.settings, this.follow, boot?.memory !== null, this.facts?.sources.map((s) => s.source), this.plot.brushing]);
    if (key === this.toolsKey || this.tools.contains(document.activeElement) && document.activeElement instanceof HTMLSelectElement && this.toolsKey !== "") return;
    this.toolsKey = key;
    const focused = document.activeElement instanceof HTMLElement && this.tools.contains(document.activeElement) ? document.activeElement.textContent : null;
    const s = this.plot.settings;
    const layers: Layer[] = this.stream === "memory" ? ["reads", "writes", "executes", "entropy"] : ["reads", "writes", "entropy"];
    const flip = <T,>(list: T[], item: T, order: T[]): T[] => (list.includes(item) ? list.filter((x) => x !== item) : order.filter((x) => x === item || list.includes(x)));
    replace(this.tools,
      select("Recording", state.boots.map((b) => [`${b.machine}/${b.boot}`, bootName(b)]), `${this.machine}/${this.boot}`, (value) => this.go({ machine: value.split("/")[0]!, boot: value.split("/")[1]!, stream: null })),
      h("span", { class: "group", role: "group", "aria-label": "Stream" },
        toggle("Disk", this.stream === "storage", () => this.go({ stream: null }), "accesses by LBA"), toggle("Memory", this.stream === "memory", () => this.go({ stream: "memory" }), "accesses by guest-physical address")),
      this.stream === "storage" && (this.facts?.sources.length ?? 0) > 1 ? select("Disk", this.facts!.sources.map((x) => [String(x.source), `${x.source >> 8}:${x.source & 255} ${x.disk?.serial?.trim() ?? ""}`]), String(this.source), (value) => this.go({ source: value })) : null,
      h("span", { class: "group", role: "group", "aria-label": "Layers" }, layers.map((layer) => toggle(layer === "entropy" ? "Entropy" : LAYER_NAMES[layer], s.layers.includes(layer), () => this.change({ layers: flip(s.layers, layer, ["reads", "writes", "executes", "entropy"]) })))),
      this.stream === "storage" ? h("span", { class: "group" }, toggle("Features", s.strips.length > 0, (on) => this.change({ strips: on ? STRIPS : [] }), "rates, variance of LBA, entropy and score below")) : null,
      select("Colour", [["heat", "heat"], ["viridis", "viridis"], ["grey", "grey"]], s.palette, (value) => this.change({ palette: value as Palette })),
      h("span", { class: "group", role: "group", "aria-label": "Colour scale" }, toggle("Log", s.scale === "log", () => this.change({ scale: "log" as Scale })), toggle("Linear", s.scale === "linear", () => this.change({ scale: "linear" as Scale })),
        toggle("Fix", s.max !== null, (on) => this.change({ max: on ? this.highest() : null }), "keep the top of the colour scale, so that views can be compared")),
      h("span", { class: "group" }, h("button", { type: "button", onclick: () => this.plot.setView(this.plot.whole(), true) }, "All"), h("button", { type: "button", onclick: () => this.back() }, "Back"),
        toggle("Follow", this.follow, (on) => this.setFollow(on), "keep the newest records in view")),
      h("span", { class: "group", role: "group", "aria-label": "Export" }, h("button", { type: "button", onclick: () => this.exportPng() }, "PNG"), h("button", { type: "button", onclick: () => save(this.name("svg"), new Blob([this.plot.svg()], { type: "image/svg+xml" })) }, "SVG"),
        h("button", { type: "button", onclick: () => save(this.name("csv"), new Blob([this.csv()], { type: "text/csv" })) }, "CSV"), h("button", { type: "button", onclick: () => void this.copyLink() }, "Link")));
    if (focused) [...this.tools.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
  }

  private highest(): number {
    let highest = 1;
    for (const cell of this.plot.cells()) highest = Math.max(highest, cell.reads, cell.writes, cell.executes);
    return Math.ceil(highest);
  }

  private hovered(cell: Cell | null, time: number | null): void {
    if (!cell) {
      replace(this.inspector, h("h2", {}, "Under the pointer"), h("p", { class: "faint" }, time === null ? "Point at a cell to see what it counts." : format.time(time)));
      return;
    }
    const memory = this.stream === "memory";
    const name = memory ? (b: number): string => `0x${(b * 4096).toString(16)}` : (b: number): string => format.count(b * 8);
    replace(this.inspector, h("h2", {}, "Under the pointer"), h("dl", {},
      [["from", format.time(cell.t0, 6)], ["for", format.span(cell.t1 - cell.t0)], [memory ? "address" : "LBA", name(cell.b0)], ["to", name(cell.b1)], ["reads", format.count(cell.reads)], ["writes", format.count(cell.writes)],
        ...(memory ? [["executions", format.count(cell.executes)], ["looked at", `${Math.round((cell.looked ?? 0) * 100)} %`]] : []), ["entropy of writes", cell.entropy === null ? (cell.writes > 0 ? "not known" : "–") : cell.entropy.toFixed(3)]]
        .map(([term, value]) => [h("dt", {}, term!), h("dd", {}, value!)])));
  }

  /** Few enough records in view: each by itself. */
  private async listRecords(): Promise<void> {
    const v = this.plot.view;
    if (!this.plot.recording) return;
    let total = 0;
    if (this.plot.level().time < 28) for (const cell of this.plot.cells()) total += cell.reads + cell.writes + cell.executes;
    else total = Infinity;
    // Blocks are at least as many as the records that touch them.
    const ask = total > 0 && (total <= MOST_LISTED || this.plot.level().time <= 18);
    const key = ask ? `${this.boot}/${this.stream}/${this.source}/${v.t0}/${v.t1}/${v.b0}/${v.b1}/${this.revision}` : "";
    if (key === this.listKey) return;
    this.listKey = key;
    if (!ask) {
      this.plot.records = [];
      replace(this.list, h("h2", {}, "Records"), h("p", { class: "faint" }, total === 0 ? "None in view." : "Zoom in until few are in view to see each."));
      return;
    }
    try {
      const got = await getColumns("records", { machine: this.machine, boot: this.boot, stream: this.stream, source: this.source, from_ns: Math.floor(v.t0), to_ns: Math.ceil(v.t1), first_block: Math.floor(v.b0), end_block: Math.ceil(v.b1), limit: MOST_LISTED });
      if (key === this.listKey) this.showRecords(got);
    } catch (error) {
      if (error instanceof Problem) replace(this.list, h("h2", {}, "Records"), h("p", { class: "bad" }, error.message));
    }
  }

  private showRecords(got: Awaited<ReturnType<typeof getColumns>>): void {
    const [times, addresses, sequences] = [got.wide("time"), got.wide("address"), got.wide("seq")];
    const [lengths, kinds, entropies] = [got.numbers("length"), got.numbers("kind"), got.numbers("entropy")];
    const names = got.about["kinds"] as string[];
    const unit = this.stream === "memory" ? 4096 : 8;
    const marks: RecordMark[] = [];
    const rows: HTMLElement[] = [];
    for (let i = 0; i < times.length; i++) {
      const kind = names[kinds[i]!] ?? "?";
      const layer: Layer = /execute/.test(kind) ? "executes" : /write/.test(kind) ? "writes" : "reads";
      const first = Math.floor(Number(addresses[i]) / unit);
      if (/read|write|execute/.test(kind)) marks.push({ time: Number(times[i]), b0: first, b1: first + Math.max(1, Math.ceil(lengths[i]! / 4096)), layer });
      if (i < 400)
        rows.push(h("tr", { title: `sequence number ${sequences[i]}` }, h("td", {}, format.time(times[i]!, 6).slice(14)), h("td", {}, kind.replace("memory_", "")), h("td", { class: "number" }, this.stream === "memory" ? `0x${addresses[i]!.toString(16)}` : String(addresses[i])),
          h("td", { class: "number" }, format.bytes(lengths[i]!)), h("td", { class: "number" }, Number.isNaN(entropies[i]!) ? "" : entropies[i]!.toFixed(2))));
    }
    this.plot.records = marks;
    this.plot.invalidate();
    replace(this.list, h("h2", {}, `Records (${times.length}${got.about["more"] ? "+" : ""})`), h("table", { class: "records mono" }, h("thead", {}, h("tr", {}, ["time", "kind", this.stream === "memory" ? "address" : "LBA", "bytes", "H"].map((t, i) => h("th", { class: i > 1 ? "number" : null, scope: "col" }, t)))), h("tbody", {}, rows)));
  }

  private name(extension: string): string {
    return `undercroft-${format.short(this.machine)}-${format.short(this.boot)}-${this.stream}-${format.time(this.plot.view.t0, 0).replace(/[: ]/g, "")}.${extension}`;
  }

  private exportPng(): void {
    const canvas = document.createElement("canvas");
    canvas.width = this.plot.canvas.width * 2;
    canvas.height = this.plot.canvas.height * 2;
    this.plot.draw(canvas.getContext("2d", { alpha: false })!, (window.devicePixelRatio || 1) * 2);
    this.plot.invalidate();
    canvas.toBlob((blob) => blob && save(this.name("png"), blob), "image/png");
  }

  private csv(): string {
    const unit = this.stream === "memory" ? 4096 : 8;
    const lines = [`time_ns,cell_ns,${this.stream === "memory" ? "address,cell_bytes" : "lba,cell_sectors"},reads,writes,executes,write_entropy`];
    for (const cell of this.plot.cells()) lines.push([whole(cell.t), whole(cell.cellT), whole(cell.b * unit), whole(cell.cellB * unit), cell.reads, cell.writes, cell.executes, cell.entropy ?? ""].join(","));
    return `${lines.join("\n")}\n`;
  }

  private async copyLink(): Promise<void> {
    this.remember(this.plot.view);
    try {
      await navigator.clipboard.writeText(location.href);
      this.note("The link is in the clipboard: it reopens this view for whoever may sign in.");
    } catch {
      this.note("The link is in the address bar: it reopens this view for whoever may sign in.");
    }
  }

  private note(text: string): void {
    this.message(text, false);
    setTimeout(() => (this.over.hidden = true), 2500);
  }
}

export function timeline(server: Server): Screen {
  return new Timeline(server);
}
