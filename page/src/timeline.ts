// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One recording: heat maps, features and score, alerts, single records, and ways out (PNG, SVG, CSV, link).
import { type BootState, getJson, Problem, type State, type Stream, type StreamFacts, whole } from "./api";
import { address, changedFrom, lastHeard, rememberAddress, type Screen, type Server, streamOf } from "./app";
import { Details } from "./details";
import { h, save, say } from "./dom";
import * as format from "./format";
import type { View } from "./frame";
import { readSettings, readView, written } from "./link";
import { Plot, type Settings } from "./plot";
import { Toolbar } from "./toolbar";

const MOST_VIEWS = 50; // remembered

class Timeline implements Screen {
  readonly element = h("section", { class: "timeline", "aria-label": "Timeline" });
  private readonly tools: Toolbar;
  private readonly plot: Plot;
  private readonly details = new Details(() => this.plot);
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
  private state: State | null = null;
  private readonly themed = (): void => this.plot.invalidate();
  private readonly keys = (event: KeyboardEvent): void => this.key(event);

  constructor(private readonly server: Server) {
    this.plot = new Plot(readSettings(new URLSearchParams()), { viewed: (view, final) => this.viewed(view, final), hovered: (cell, time) => this.details.hovered(cell, time), picked: (alert) => (location.hash = address("evidence", { alert: alert.undercroft.id })) },
      "Heat maps of accesses over time and address. Arrow keys move, plus and minus zoom in time, square brackets in address, 0 shows everything.");
    this.tools = new Toolbar({ go: (parameters) => this.go(parameters), change: (settings) => this.change(settings), fix: (on) => this.change({ max: on ? this.highest() : null }), all: () => this.plot.setView(this.plot.whole(), true), back: () => this.back(),
      follow: (on) => this.setFollow(on), save: (kind) => this.save(kind), link: () => void this.copyLink() });
    this.element.append(this.tools.element, h("div", { class: "body" }, h("div", { class: "drawing" }, this.plot.canvas, this.over), this.details.element));
    window.addEventListener("theme", this.themed);
    this.element.addEventListener("keydown", this.keys);
  }

  destroy(): void {
    this.plot.destroy();
    this.details.destroy();
    window.removeEventListener("theme", this.themed);
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
    this.tools.forget();
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
    this.details.moved(this.revision);
  }

  private remember(view: View): void {
    if (!this.facts) return;
    const last = this.history[this.history.length - 1];
    if (!last || last.t0 !== view.t0 || last.t1 !== view.t1 || last.b0 !== view.b0 || last.b1 !== view.b1) this.history.push(view);
    if (this.history.length > MOST_VIEWS) this.history.shift();
    rememberAddress("timeline", { machine: this.machine, boot: this.boot, stream: this.stream === "memory" ? "memory" : null, source: this.source, ...written(this.plot.settings, view), follow: this.follow ? 1 : null });
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
    this.drawTools();
  }

  private change(settings: Partial<Settings>): void {
    this.plot.settings = { ...this.plot.settings, ...settings };
    this.plot.invalidate();
    this.remember(this.plot.view);
    this.drawTools();
  }

  private go(parameters: Record<string, string | number | null>): void {
    location.hash = address("timeline", { machine: this.machine, boot: this.boot, stream: this.stream === "memory" ? "memory" : null, ...parameters });
  }

  private drawTools(): void {
    const { machine, boot, stream, source, follow } = this;
    if (this.state) this.tools.draw({ boots: this.state.boots, machine, boot, stream, source, sources: this.facts?.sources ?? [], settings: this.plot.settings, follow });
  }

  private highest(): number {
    let highest = 1;
    for (const cell of this.plot.cells()) highest = Math.max(highest, cell.reads, cell.writes, cell.executes);
    return Math.ceil(highest);
  }

  private name(extension: string): string {
    return `undercroft-${format.short(this.machine)}-${format.short(this.boot)}-${this.stream}-${format.time(this.plot.view.t0, 0).replace(/[: ]/g, "")}.${extension}`;
  }

  private save(kind: "png" | "svg" | "csv"): void {
    if (kind === "svg") save(this.name(kind), new Blob([this.plot.svg()], { type: "image/svg+xml" }));
    else if (kind === "csv") save(this.name(kind), new Blob([this.csv()], { type: "text/csv" }));
    else this.savePng();
  }

  /** Twice as fine as on the screen. */
  private savePng(): void {
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
