// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One recording drawn: heat maps of reads, writes and entropy over time and address, features and score below them, all
// under one time axis. Used by the timeline and, twice, by the comparison of runs.
import { type Alert, type Columns, getColumns, type Mark, Problem, type SourceFacts, type StreamFacts } from "./api";
import { colourTable, css, isDark, type Palette, type Scale, share } from "./colour";
import * as format from "./format";
import { type Colouring, COLUMNS, type Layer, type Level, type Recording, ROWS, type Tile, TileStore } from "./tiles";

export interface View {
  t0: number;
  t1: number;
  b0: number;
  b1: number;
}
export interface Settings {
  layers: Layer[];
  strips: Strip[];
  scale: Scale;
  palette: Palette;
  max: number | null;
}
export type Strip = "rate" | "variance" | "entropy" | "score";

export interface Cell {
  layer: Layer;
  t0: number;
  t1: number;
  b0: number;
  b1: number;
  reads: number;
  writes: number;
  executes: number;
  entropy: number | null;
  looked: number | null;
}
export interface PlotEvents {
  viewed(view: View, final: boolean): void;
  hovered(cell: Cell | null, time: number | null): void;
  picked(alert: Alert): void;
}
export interface RecordMark {
  time: number;
  b0: number;
  b1: number;
  layer: Layer;
}

interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}
interface Panel extends Box {
  layer: Layer;
}
interface StripBox extends Box {
  strip: Strip;
}

const LEFT = 92;
const RIGHT = 10;
const AXIS = 26;
const STRIP_HEIGHT: Record<Strip, number> = { rate: 46, variance: 40, entropy: 34, score: 40 };
export const LAYER_NAMES: Record<Layer, string> = { reads: "Reads", writes: "Writes", executes: "Executions", entropy: "Entropy of writes" };
const STRIP_NAMES: Record<Strip, string> = { rate: "bytes/s", variance: "σ of LBA", entropy: "entropy", score: "score" };
const LEAST_SPAN_NS = 20_000;
/** More frames would hide the colours within. */
const MOST_OUTLINED = 60;
/** Finer cells than this are counted from records, and only for as short a time. */
const BASE_TIME = 28;
const BASE_BLOCK = 4;

export class Plot {
  readonly canvas: HTMLCanvasElement;
  readonly tiles: TileStore;
  recording: Recording | null = null;
  facts: StreamFacts | null = null;
  settings: Settings;
  view: View = { t0: 0, t1: 1e9, b0: 0, b1: 1024 };
  alerts: Alert[] = [];
  records: RecordMark[] = [];
  /** Nothing later is drawn: replay. */
  until: number | null = null;
  brushing = true;
  private readonly context: CanvasRenderingContext2D;
  private readonly observer: ResizeObserver;
  private width = 0;
  private height = 0;
  private ratio = 1;
  private dirty = true;
  private drawn: Panel[] = [];
  private drawnStrips: StripBox[] = [];
  private features: { key: string; t0: number; step: number; columns: Columns } | null = null;
  private scores: { key: string; columns: Columns } | null = null;
  private asked = "";
  private timer = 0;
  private drag: { x: number; y: number; box: Box; view: View; pan: boolean; now: [number, number] } | null = null;
  private frame = 0;
  private running = true;
  drawMs: number[] = [];

  constructor(settings: Settings, private readonly events: PlotEvents, label: string) {
    this.settings = settings;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.className = "plot";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.context = this.canvas.getContext("2d", { alpha: false })!;
    this.tiles = new TileStore(() => this.invalidate());
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
    this.listen();
    this.loop();
  }

  destroy(): void {
    this.running = false;
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
  }

  get source(): SourceFacts | null {
    const all = this.facts?.sources ?? [];
    return all.find((s) => s.source === this.recording?.source) ?? all[0] ?? null;
  }
  /** Bytes of one address unit of the axis' labels. */
  private get unit(): number {
    return 4096;
  }

  show(recording: Recording, facts: StreamFacts, view: View | null): void {
    const other = this.recording?.boot !== recording.boot || this.recording.machine !== recording.machine || this.recording.stream !== recording.stream || this.recording.source !== recording.source;
    this.recording = recording;
    this.facts = facts;
    if (other) {
      this.features = null;
      this.scores = null;
      this.asked = "";
      this.records = [];
    }
    if (view) this.setView(view, true);
    else if (other) this.setView(this.whole(), true);
    this.invalidate();
  }

  /** Everything of the recording: all its time, the addresses in which most of it happens. */
  whole(): View {
    const from = this.facts?.from_ns ?? 0;
    const to = Math.max(this.facts?.to_ns ?? 1e9, from + 1e9);
    const source = this.source;
    if (!source) return { t0: from, t1: to, b0: 0, b1: 1024 };
    const ram = this.recording?.stream === "memory" && this.facts!.ram.length > 0;
    const first = ram ? 0 : source.dense_first_block;
    const end = ram ? Math.max(...this.facts!.ram.map((r) => r[1])) / 4096 : Math.max(source.dense_end_block, first + 64);
    const margin = ram ? 0 : (end - first) / 48;
    return { t0: from - (to - from) / 100, t1: to + (to - from) / 100, b0: Math.max(0, first - margin), b1: end + margin };
  }

  setView(view: View, final: boolean): void {
    let { t0, t1, b0, b1 } = view;
    if (t1 - t0 < LEAST_SPAN_NS) {
      const middle = (t0 + t1) / 2;
      t0 = middle - LEAST_SPAN_NS / 2;
      t1 = middle + LEAST_SPAN_NS / 2;
    }
    if (b1 - b0 < 8) {
      const middle = (b0 + b1) / 2;
      b0 = middle - 4;
      b1 = middle + 4;
    }
    const longest = 400 * 86400e9;
    if (t1 - t0 > longest) t1 = t0 + longest;
    b1 = Math.min(b1, 2 ** 43);
    if (b0 < 0) {
      b1 -= b0;
      b0 = 0;
    }
    if (t0 < 0) t0 = 0;
    this.view = { t0, t1, b0, b1 };
    this.events.viewed(this.view, final);
    this.invalidate();
  }

  invalidate(): void {
    this.dirty = true;
  }

  outdate(fromNs: number): void {
    if (!this.recording) return;
    this.tiles.outdate(this.recording.boot, this.recording.stream, fromNs);
    if (fromNs < this.view.t1) this.asked = "";
    this.invalidate();
  }

  /** Zooms around a point; factors above 1 show more. */
  zoom(time: number, address: number, at: { t: number; b: number } = { t: (this.view.t0 + this.view.t1) / 2, b: (this.view.b0 + this.view.b1) / 2 }): void {
    const v = this.view;
    this.setView({ t0: at.t - (at.t - v.t0) * time, t1: at.t + (v.t1 - at.t) * time, b0: at.b - (at.b - v.b0) * address, b1: at.b + (v.b1 - at.b) * address }, true);
  }
  pan(time: number, address: number): void {
    const v = this.view;
    const dt = (v.t1 - v.t0) * time;
    const db = Math.max((v.b1 - v.b0) * address, -v.b0);
    this.setView({ t0: v.t0 + dt, t1: v.t1 + dt, b0: v.b0 + db, b1: v.b1 + db }, true);
  }

  get ready(): boolean {
    return this.recording !== null && !this.dirty && !this.tiles.busy && this.asked === this.wish();
  }

  private resize(): void {
    const box = this.canvas.getBoundingClientRect();
    this.ratio = window.devicePixelRatio || 1;
    this.width = Math.max(200, Math.floor(box.width));
    this.height = Math.max(160, Math.floor(box.height));
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.invalidate();
  }

  private loop(): void {
    this.frame = requestAnimationFrame(() => {
      if (!this.running) return;
      if (this.dirty && this.width > 0) {
        this.dirty = false;
        const begun = performance.now();
        this.draw(this.context, this.ratio);
        this.drawMs.push(performance.now() - begun);
        if (this.drawMs.length > 600) this.drawMs.shift();
        this.askForFeatures();
      }
      this.canvas.dataset["state"] = this.ready ? "ready" : "loading";
      this.loop();
    });
  }

  // Geometry

  private layout(): void {
    const strips = this.recording?.stream === "memory" ? [] : this.settings.strips;
    const stripsHeight = strips.reduce((sum, s) => sum + STRIP_HEIGHT[s] + 4, 0);
    const layers = this.layers();
    const room = this.height - AXIS - stripsHeight - 4;
    const each = Math.floor(room / Math.max(layers.length, 1));
    const w = this.width - LEFT - RIGHT;
    let y = 2;
    this.drawn = layers.map((layer) => {
      const panel = { layer, x: LEFT, y: y + 15, w, h: each - 19 };
      y += each;
      return panel;
    });
    this.drawnStrips = strips.map((strip) => {
      const box = { strip, x: LEFT, y: y + 2, w, h: STRIP_HEIGHT[strip] - 2 };
      y += STRIP_HEIGHT[strip] + 4;
      return box;
    });
  }

  private layers(): Layer[] {
    return this.settings.layers.filter((layer) => layer !== "executes" || this.recording?.stream === "memory");
  }

  private x(t: number): number {
    return LEFT + ((t - this.view.t0) / (this.view.t1 - this.view.t0)) * (this.width - LEFT - RIGHT);
  }
  private t(x: number): number {
    return this.view.t0 + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.view.t1 - this.view.t0);
  }
  private y(panel: Box, block: number): number {
    return panel.y + panel.h - ((block - this.view.b0) / (this.view.b1 - this.view.b0)) * panel.h;
  }
  private block(panel: Box, y: number): number {
    return this.view.b0 + ((panel.y + panel.h - y) / panel.h) * (this.view.b1 - this.view.b0);
  }

  /** Cells of two to four pixels. */
  level(): Level {
    const panel = this.drawn[0];
    const nsPerPixel = (this.view.t1 - this.view.t0) / Math.max(this.width - LEFT - RIGHT, 1);
    const blocksPerPixel = (this.view.b1 - this.view.b0) / Math.max(panel?.h ?? 100, 1);
    const time = Math.min(46, Math.max(10, Math.ceil(Math.log2(nsPerPixel * 2))));
    const least = time >= BASE_TIME ? BASE_BLOCK : 0;
    return { time, block: Math.min(40, Math.max(least, Math.ceil(Math.log2(blocksPerPixel * 2)))) };
  }

  // Drawing

  private colours(): Record<"ground" | "unlooked" | "text" | "faint" | "line" | "hatch" | "mark" | "alert" | "read" | "write" | "page" | "unknown", string> {
    const style = getComputedStyle(document.documentElement);
    const get = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    return { ground: get("plot-ground"), unlooked: get("plot-unlooked"), text: get("text"), faint: get("text-faint"), line: get("plot-line"), hatch: get("plot-hatch"), mark: get("plot-mark"),
      alert: get("alert"), read: get("series-read"), write: get("series-write"), page: get("page"), unknown: get("plot-unknown") };
  }

  draw(c: CanvasRenderingContext2D, ratio: number): void {
    this.layout();
    const colours = this.colours();
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = colours.page;
    c.fillRect(0, 0, this.width, this.height);
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    const level = this.level();
    const geometry: object[] = [];
    for (const panel of this.drawn) geometry.push(this.drawPanel(c, panel, level, colours));
    for (const strip of this.drawnStrips) this.drawStrip(c, strip, colours);
    this.tiles.fetchWanted();
    this.drawTimeAxis(c, colours);
    this.drawAlerts(c, colours);
    this.drawDrag(c, colours);
    this.canvas.dataset["geometry"] = JSON.stringify(geometry);
  }

  private drawPanel(c: CanvasRenderingContext2D, panel: Panel, level: Level, colours: ReturnType<Plot["colours"]>): object {
    const v = this.view;
    const memory = this.recording?.stream === "memory";
    c.save();
    c.beginPath();
    c.rect(panel.x, panel.y, panel.w, panel.h);
    c.clip();
    c.fillStyle = colours.ground;
    c.fillRect(panel.x, panel.y, panel.w, panel.h);
    let colouring: Colouring = { table: colourTable(this.settings.palette, isDark()), max: 1, scale: this.settings.scale, unknown: parse(colours.unknown) };
    let shown: Tile[] = [];
    if (this.recording) {
      const { tiles, complete } = this.tiles.visible(this.recording, level, v.t0, v.t1, v.b0, v.b1);
      shown = tiles;
      const peak = Math.max(1, ...tiles.map((tile) => tile.peak(panel.layer)));
      colouring = { ...colouring, max: this.settings.max ?? peak };
      if (!complete)
        for (const tile of this.tiles.meanwhile(this.recording, level, v.t0, v.t1, v.b0, v.b1))
          this.drawTile(c, panel, tile, tile.paint(panel.layer, { ...colouring, max: this.settings.max ?? Math.max(1, tile.peak(panel.layer)) }));
      for (const tile of tiles) {
        if (!complete) this.clearUnder(c, panel, tile, colours.ground);
        if (memory) this.drawTile(c, panel, tile, tile.veil(panel.layer === "reads" ? "looked_read" : panel.layer === "executes" ? "looked_execute" : "looked_write", parse(colours.unlooked)));
        this.drawTile(c, panel, tile, tile.paint(panel.layer, colouring));
      }
    }
    this.drawRecords(c, panel, colours);
    this.drawOutside(c, panel, colours);
    this.drawGaps(c, panel, colours);
    this.drawMarks(c, panel, colours);
    c.restore();
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    c.strokeRect(panel.x - 0.5, panel.y - 0.5, panel.w + 1, panel.h + 1);
    this.drawAddressAxis(c, panel, colours);
    this.drawHeading(c, panel, level, colouring, colours);
    return { layer: panel.layer, x: panel.x, y: panel.y, w: panel.w, h: panel.h, ...v, time: level.time, block: level.block, max: colouring.max, scale: colouring.scale, tiles: shown.length,
      ground: colours.ground, table: Array.from(colouring.table, css) };
  }

  private clearUnder(c: CanvasRenderingContext2D, panel: Panel, tile: Tile, ground: string): void {
    const x = this.x(tile.t0);
    const y = this.y(panel, tile.b1);
    c.fillStyle = ground;
    c.fillRect(x, y, this.x(tile.t1) - x, this.y(panel, tile.b0) - y);
  }

  private drawTile(c: CanvasRenderingContext2D, panel: Panel, tile: Tile, image: HTMLCanvasElement | null): void {
    if (!image) return;
    c.imageSmoothingEnabled = false;
    // Only the part in view: the rest may lie millions of pixels outside.
    const v = this.view;
    const cellT = 2 ** tile.level.time;
    const cellB = 2 ** tile.level.block;
    const c0 = Math.max(0, Math.floor((v.t0 - tile.t0) / cellT));
    const c1 = Math.min(COLUMNS, Math.ceil((v.t1 - tile.t0) / cellT));
    const r0 = Math.max(0, Math.floor((v.b0 - tile.b0) / cellB));
    const r1 = Math.min(ROWS, Math.ceil((v.b1 - tile.b0) / cellB));
    if (c0 >= c1 || r0 >= r1) return;
    const x0 = this.x(tile.t0 + c0 * cellT);
    const x1 = this.x(tile.t0 + c1 * cellT);
    const y0 = this.y(panel, tile.b0 + r1 * cellB);
    const y1 = this.y(panel, tile.b0 + r0 * cellB);
    c.drawImage(image, c0, ROWS - r1, c1 - c0, r1 - r0, x0, y0, x1 - x0, y1 - y0);
  }

  /** Time before the first and behind the last record, and what replay has not come to. */
  private drawOutside(c: CanvasRenderingContext2D, panel: Box, colours: ReturnType<Plot["colours"]>): void {
    const from = this.facts?.from_ns;
    const to = this.until ?? this.facts?.to_ns;
    if (from === undefined || to === undefined) return;
    c.fillStyle = colours.unlooked;
    if (this.x(from) > panel.x) c.fillRect(panel.x, panel.y, Math.min(this.x(from), panel.x + panel.w) - panel.x, panel.h);
    if (this.x(to) < panel.x + panel.w) {
      const x = Math.max(this.x(to), panel.x);
      c.fillRect(x, panel.y, panel.x + panel.w - x, panel.h);
    }
    if (this.until !== null) this.vertical(c, panel, this.until, colours.text, 1);
  }

  private vertical(c: CanvasRenderingContext2D, panel: Box, t: number, colour: string, width: number): void {
    const x = Math.round(this.x(t)) + 0.5;
    if (x < panel.x || x > panel.x + panel.w) return;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.beginPath();
    c.moveTo(x, panel.y);
    c.lineTo(x, panel.y + panel.h);
    c.stroke();
  }

  private hatch(c: CanvasRenderingContext2D, panel: Box, t0: number, t1: number, colour: string, backwards: boolean): void {
    const x0 = Math.max(panel.x, this.x(t0));
    const x1 = Math.min(panel.x + panel.w, Math.max(this.x(t1), this.x(t0) + 3));
    if (x1 <= panel.x || x0 >= panel.x + panel.w) return;
    c.save();
    c.beginPath();
    c.rect(x0, panel.y, x1 - x0, panel.h);
    c.clip();
    c.strokeStyle = colour;
    c.lineWidth = 1.2;
    c.beginPath();
    for (let x = x0 - panel.h - (x0 % 6); x < x1 + panel.h; x += 6) {
      c.moveTo(x, backwards ? panel.y : panel.y + panel.h);
      c.lineTo(x + panel.h, backwards ? panel.y + panel.h : panel.y);
    }
    c.stroke();
    c.restore();
  }

  private drawGaps(c: CanvasRenderingContext2D, panel: Box, colours: ReturnType<Plot["colours"]>): void {
    const end = Math.min(this.view.t1, this.until ?? Infinity);
    for (const [from, to] of this.facts?.off ?? []) if (from < end && to > this.view.t0) this.hatch(c, panel, from, Math.min(to, end), colours.hatch, true);
    for (const [from, to] of this.facts?.gaps ?? []) {
      if (from >= end || to <= this.view.t0) continue;
      this.hatch(c, panel, from, to, colours.alert, false);
      const x = Math.min(Math.max((this.x(from) + this.x(to)) / 2, panel.x + 5), panel.x + panel.w - 5);
      c.fillStyle = colours.alert;
      c.beginPath();
      c.moveTo(x - 5, panel.y);
      c.lineTo(x + 5, panel.y);
      c.lineTo(x, panel.y + 7);
      c.fill();
    }
  }

  private drawRecords(c: CanvasRenderingContext2D, panel: Panel, colours: ReturnType<Plot["colours"]>): void {
    if (this.records.length > MOST_OUTLINED) return;
    c.strokeStyle = colours.text;
    c.lineWidth = 1;
    const wanted = panel.layer === "entropy" ? "writes" : panel.layer;
    for (const record of this.records) {
      if (record.layer !== wanted) continue;
      const x = this.x(record.time);
      const y = this.y(panel, record.b1);
      c.strokeRect(x - 2.5, y - 0.5, 5, Math.max(3, this.y(panel, record.b0) - y));
    }
  }

  private marks(): Mark[] {
    return this.source?.marks ?? [];
  }

  private drawMarks(c: CanvasRenderingContext2D, panel: Box, colours: ReturnType<Plot["colours"]>): void {
    if (this.recording?.stream === "memory") {
      this.drawHoles(c, panel, colours);
      return;
    }
    c.setLineDash([5, 4]);
    const labels: [number, string][] = [];
    for (const mark of this.marks())
      for (const [lba, what] of [[mark.first_lba, "begins"], [mark.end_lba, "ends"]] as const) {
        const y = Math.round(this.y(panel, lba / 8)) + 0.5;
        if (y < panel.y || y > panel.y + panel.h) continue;
        c.strokeStyle = colours.mark;
        c.lineWidth = 1;
        c.beginPath();
        c.moveTo(panel.x, y);
        c.lineTo(panel.x + panel.w, y);
        c.stroke();
        labels.push([y, `${mark.name} ${what}`]);
      }
    c.setLineDash([]);
    c.textAlign = "right";
    c.fillStyle = colours.mark;
    let last = -100;
    for (const [y, text] of labels.sort((a, b) => a[0] - b[0])) {
      if (y - last < 12) continue;
      c.fillText(text, panel.x + panel.w - 6, y + (y < panel.y + 12 ? 8 : -7));
      last = y;
    }
  }

  /** Addresses that are no RAM. */
  private drawHoles(c: CanvasRenderingContext2D, panel: Box, colours: ReturnType<Plot["colours"]>): void {
    const ram = this.facts?.ram ?? [];
    if (ram.length === 0) return;
    let at = 0;
    c.fillStyle = colours.page;
    for (const [first, end] of [...ram, [Infinity, Infinity] as [number, number]]) {
      const y0 = Math.max(this.y(panel, first / 4096), panel.y);
      const y1 = Math.min(this.y(panel, at / 4096), panel.y + panel.h);
      if (y1 > y0) {
        c.fillRect(panel.x, y0, panel.w, y1 - y0);
        if (y1 - y0 > 14) {
          c.fillStyle = colours.faint;
          c.textAlign = "center";
          c.fillText("no RAM", panel.x + panel.w / 2, (y0 + y1) / 2);
          c.fillStyle = colours.page;
        }
      }
      at = end;
    }
  }

  private drawAddressAxis(c: CanvasRenderingContext2D, panel: Panel, colours: ReturnType<Plot["colours"]>): void {
    c.textAlign = "right";
    c.fillStyle = colours.faint;
    c.strokeStyle = colours.line;
    for (const tick of format.offsetTicks(this.view.b0, this.view.b1, Math.max(2, panel.h / 34), this.unit, this.recording?.stream === "memory")) {
      const y = Math.round(this.y(panel, tick.at)) + 0.5;
      c.beginPath();
      c.moveTo(panel.x - 4, y);
      c.lineTo(panel.x, y);
      c.stroke();
      c.fillText(tick.label, panel.x - 7, y);
    }
  }

  private drawHeading(c: CanvasRenderingContext2D, panel: Panel, level: Level, how: Colouring, colours: ReturnType<Plot["colours"]>): void {
    const y = panel.y - 8;
    c.textAlign = "left";
    c.fillStyle = colours.text;
    c.font = "600 11px system-ui, sans-serif";
    c.fillText(LAYER_NAMES[panel.layer], panel.x, y);
    const name = c.measureText(LAYER_NAMES[panel.layer]).width;
    c.font = "11px system-ui, sans-serif";
    c.fillStyle = colours.faint;
    const unit = this.recording?.stream === "memory" ? "page accesses" : "4 KiB blocks";
    c.fillText(`cell ${format.span(2 ** level.time)} × ${format.bytes(4096 * 2 ** level.block)}${panel.layer === "entropy" ? "" : `, ${unit}`}`, panel.x + name + 10, y);
    const width = 110;
    const x = panel.x + panel.w - width - 46;
    for (let i = 0; i < width; i++) {
      c.fillStyle = css(how.table[Math.round((i / (width - 1)) * 255)]!);
      c.fillRect(x + i, y - 4, 1, 8);
    }
    c.fillStyle = colours.faint;
    c.textAlign = "right";
    c.fillText(panel.layer === "entropy" ? "0" : how.scale === "log" ? "1" : "0", x - 4, y);
    c.textAlign = "left";
    c.fillText(panel.layer === "entropy" ? "1" : `${this.settings.max === null ? "" : "≥ "}${format.count(how.max)}`, x + width + 4, y);
  }

  private drawTimeAxis(c: CanvasRenderingContext2D, colours: ReturnType<Plot["colours"]>): void {
    const y = this.height - AXIS + 2;
    c.fillStyle = colours.faint;
    c.strokeStyle = colours.line;
    c.textAlign = "center";
    for (const tick of format.timeTicks(this.view.t0, this.view.t1, Math.max(2, (this.width - LEFT) / 110))) {
      const x = Math.round(this.x(tick.at)) + 0.5;
      if (x < LEFT || x > this.width - RIGHT) continue;
      c.beginPath();
      c.moveTo(x, y - 2);
      c.lineTo(x, y + 3);
      c.stroke();
      c.fillText(tick.label, Math.min(Math.max(x, LEFT + 20), this.width - 34), y + 11);
    }
    c.textAlign = "left";
    c.fillText(`${format.time(this.view.t0, 0).slice(0, 10)} UTC`, 4, y + 11);
  }

  // Features and score

  private wish(): string {
    if (!this.recording || this.recording.stream === "memory" || this.settings.strips.length === 0) return "";
    const { time } = this.level();
    const step = 2 ** time;
    const margin = (this.view.t1 - this.view.t0) / 2;
    const quantum = step * 128;
    return `${this.recording.boot}/${this.recording.source}/${time}/${Math.floor((this.view.t0 - margin) / quantum)}/${Math.ceil((this.view.t1 + margin) / quantum)}`;
  }

  private askForFeatures(): void {
    const wish = this.wish();
    if (wish === this.asked || !this.recording || wish === "") {
      if (wish === "") this.asked = "";
      return;
    }
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      const at = this.wish();
      const { time } = this.level();
      const quantum = 2 ** time * 128;
      const margin = (this.view.t1 - this.view.t0) / 2;
      const first = Math.max(0, Math.floor((this.view.t0 - margin) / quantum) * 128);
      const columns = Math.min(4096, Math.ceil((this.view.t1 + margin) / quantum) * 128 - first);
      void this.fetchFeatures(at, time, first, columns);
    }, 60);
  }

  private async fetchFeatures(key: string, time: number, first: number, columns: number): Promise<void> {
    const r = this.recording;
    if (!r) return;
    const step = 2 ** time;
    try {
      const got = await getColumns("features", { machine: r.machine, boot: r.boot, time_shift: time, column: first, columns });
      this.features = { key, t0: first * step, step, columns: got };
      if (this.settings.strips.includes("score")) {
        const source = this.source?.source ?? 0;
        this.scores = { key, columns: await getColumns("scores", { machine: r.machine, boot: r.boot, source, from_ns: first * step, to_ns: (first + columns) * step }) };
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.tiles.error = error.message;
    }
    this.asked = key;
    this.invalidate();
  }

  private drawStrip(c: CanvasRenderingContext2D, box: StripBox, colours: ReturnType<Plot["colours"]>): void {
    c.fillStyle = colours.ground;
    c.fillRect(box.x, box.y, box.w, box.h);
    c.save();
    c.beginPath();
    c.rect(box.x, box.y, box.w, box.h);
    c.clip();
    const top =
      box.strip === "score" ? this.drawScore(c, box, colours)
      : box.strip === "entropy" ? this.series(c, box, "write_entropy", colours.write, 1)
      : box.strip === "rate" ? this.pair(c, box, "read_bytes_per_s", "write_bytes_per_s", colours, (x) => x)
      : this.pair(c, box, "read_lba_variance", "write_lba_variance", colours, Math.sqrt);
    this.drawOutside(c, box, colours);
    this.drawGaps(c, box, colours);
    c.restore();
    c.strokeStyle = colours.line;
    c.strokeRect(box.x - 0.5, box.y - 0.5, box.w + 1, box.h + 1);
    c.fillStyle = colours.faint;
    c.textAlign = "right";
    c.fillText(STRIP_NAMES[box.strip], box.x - 7, box.y + box.h / 2 + 7);
    c.fillText(box.strip === "rate" ? `${format.bytes(top)}/s` : box.strip === "variance" ? format.bytes(top * 512) : "1", box.x - 7, box.y + 7);
  }

  private pair(c: CanvasRenderingContext2D, box: Box, reads: string, writes: string, colours: ReturnType<Plot["colours"]>, map: (x: number) => number): number {
    const top = Math.max(1, this.peak(reads, map), this.peak(writes, map));
    this.series(c, box, reads, colours.read, top, map);
    this.series(c, box, writes, colours.write, top, map);
    return top;
  }

  private visibleValues(name: string): { values: ArrayLike<number>; first: number; end: number } {
    const f = this.features;
    const values = f?.columns.numbers(name) ?? [];
    if (!f) return { values, first: 0, end: 0 };
    return { values, first: Math.max(0, Math.floor((this.view.t0 - f.t0) / f.step)), end: Math.min(values.length, Math.ceil((this.view.t1 - f.t0) / f.step)) };
  }

  private peak(name: string, map: (x: number) => number): number {
    const { values, first, end } = this.visibleValues(name);
    let peak = 0;
    for (let i = first; i < end; i++) peak = Math.max(peak, map(values[i]!) || 0);
    return peak;
  }

  private series(c: CanvasRenderingContext2D, box: Box, name: string, colour: string, top: number, map: (x: number) => number = (x) => x): number {
    const { values, first, end } = this.visibleValues(name);
    const f = this.features;
    if (!f) return top;
    c.strokeStyle = colour;
    c.lineWidth = 1.25;
    c.beginPath();
    let pen = false;
    for (let i = first; i < end; i++) {
      const value = map(values[i]!);
      if (Number.isNaN(value)) {
        pen = false;
        continue;
      }
      const y = box.y + box.h - 1 - Math.min(1, value / top) * (box.h - 4);
      const x0 = this.x(f.t0 + i * f.step);
      const x1 = this.x(f.t0 + (i + 1) * f.step);
      if (pen) c.lineTo(x0, y);
      else c.moveTo(x0, y);
      c.lineTo(x1, y);
      pen = true;
    }
    c.stroke();
    return top;
  }

  private drawScore(c: CanvasRenderingContext2D, box: Box, colours: ReturnType<Plot["colours"]>): number {
    const ends = this.scores?.columns.wide("end");
    const p = this.scores?.columns.numbers("p");
    const made = this.scores?.columns.about["made_by"] as { threshold?: number } | null | undefined;
    if (!ends || !p || ends.length === 0) {
      c.fillStyle = colours.faint;
      c.textAlign = "left";
      c.fillText("no model has judged this time", box.x + 8, box.y + box.h / 2);
      return 1;
    }
    if (made?.threshold !== undefined) {
      const y = Math.round(box.y + box.h - 1 - made.threshold * (box.h - 4)) + 0.5;
      c.strokeStyle = colours.alert;
      c.setLineDash([4, 3]);
      c.beginPath();
      c.moveTo(box.x, y);
      c.lineTo(box.x + box.w, y);
      c.stroke();
      c.setLineDash([]);
    }
    c.strokeStyle = colours.text;
    c.lineWidth = 1.25;
    c.beginPath();
    for (let i = 0; i < ends.length; i++) {
      const x = this.x(Number(ends[i]));
      const y = box.y + box.h - 1 - p[i]! * (box.h - 4);
      if (i === 0) c.moveTo(x, y);
      else c.lineTo(x, y);
    }
    c.stroke();
    return 1;
  }

  private drawAlerts(c: CanvasRenderingContext2D, colours: ReturnType<Plot["colours"]>): void {
    const top = this.drawn[0]?.y ?? 20;
    const bottom = this.height - AXIS;
    for (const alert of this.alerts) {
      const { first_evidence_ns: from, alert_ns: at } = alert.undercroft;
      if (at < this.view.t0 || from > this.view.t1) continue;
      const x = Math.round(this.x(at)) + 0.5;
      c.strokeStyle = colours.alert;
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(x, top);
      c.lineTo(x, bottom);
      c.stroke();
      c.fillStyle = colours.alert;
      c.beginPath();
      c.arc(x, bottom - 1, 5, 0, 7);
      c.fill();
      c.globalAlpha = 0.12;
      c.fillRect(this.x(from), top, x - this.x(from), bottom - top);
      c.globalAlpha = 1;
    }
  }

  private drawDrag(c: CanvasRenderingContext2D, colours: ReturnType<Plot["colours"]>): void {
    if (!this.drag || this.drag.pan) return;
    const { x, y, now } = this.drag;
    c.strokeStyle = colours.text;
    c.lineWidth = 1;
    c.setLineDash([3, 3]);
    c.strokeRect(Math.min(x, now[0]) + 0.5, Math.min(y, now[1]) + 0.5, Math.abs(now[0] - x), Math.abs(now[1] - y));
    c.setLineDash([]);
  }

  // Hands

  private place(event: MouseEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  private panelAt(x: number, y: number): Panel | undefined {
    return this.drawn.find((p) => x >= p.x && x <= p.x + p.w && y >= p.y && y <= p.y + p.h);
  }
  private alertAt(x: number, y: number): Alert | undefined {
    if (y < (this.drawn[0]?.y ?? 0)) return undefined;
    return this.alerts.find((a) => Math.abs(this.x(a.undercroft.alert_ns) - x) < 6);
  }

  private listen(): void {
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("pointercancel", () => (this.drag = null));
    this.canvas.addEventListener("pointerleave", () => {
      this.events.hovered(null, null);
    });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const [x, y] = this.place(event);
    const panel = this.panelAt(x, y);
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.pan(event.deltaX / 1200, 0);
      return;
    }
    const factor = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300)));
    const at = { t: this.t(x), b: panel ? this.block(panel, y) : this.view.b0 };
    if (event.shiftKey || event.altKey) this.zoom(1, factor, at);
    else if (event.ctrlKey) this.zoom(factor, panel ? factor : 1, at);
    else this.zoom(factor, 1, at);
  }

  private press(event: PointerEvent): void {
    if (event.button !== 0) return;
    const [x, y] = this.place(event);
    const alert = this.alertAt(x, y);
    if (alert) {
      this.events.picked(alert);
      return;
    }
    const box: Box | undefined = this.panelAt(x, y) ?? this.drawnStrips.find((s) => y >= s.y && y <= s.y + s.h && x >= s.x);
    if (!box) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x, y, box, view: this.view, pan: event.shiftKey || !this.brushing, now: [x, y] };
  }

  private move(event: PointerEvent): void {
    const [x, y] = this.place(event);
    if (this.drag) {
      const { box } = this.drag;
      this.drag.now = [Math.min(Math.max(x, box.x), box.x + box.w), Math.min(Math.max(y, box.y), box.y + box.h)];
      if (this.drag.pan) {
        const v = this.drag.view;
        const dt = ((this.drag.x - x) / box.w) * (v.t1 - v.t0);
        const db = "layer" in box ? ((y - this.drag.y) / box.h) * (v.b1 - v.b0) : 0;
        this.setView({ t0: v.t0 + dt, t1: v.t1 + dt, b0: v.b0 + db, b1: v.b1 + db }, false);
      }
      this.invalidate();
      return;
    }
    this.canvas.style.cursor = this.alertAt(x, y) ? "pointer" : this.panelAt(x, y) ? (this.brushing ? "crosshair" : "grab") : "default";
    this.events.hovered(this.cellAt(x, y), x >= LEFT ? this.t(x) : null);
  }

  private release(_event: PointerEvent): void {
    const drag = this.drag;
    this.drag = null;
    this.invalidate();
    if (!drag) return;
    if (drag.pan) {
      this.setView(this.view, true);
      return;
    }
    const [x, y] = drag.now;
    if (Math.abs(x - drag.x) < 4) return;
    const heat = "layer" in drag.box && Math.abs(y - drag.y) >= 6;
    this.setView({ t0: this.t(Math.min(x, drag.x)), t1: this.t(Math.max(x, drag.x)), b0: heat ? this.block(drag.box, Math.max(y, drag.y)) : this.view.b0, b1: heat ? this.block(drag.box, Math.min(y, drag.y)) : this.view.b1 }, true);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 0.15;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.pan(-step, 0), ArrowRight: () => this.pan(step, 0), ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
      "+": () => this.zoom(0.6, 1), "=": () => this.zoom(0.6, 1), "-": () => this.zoom(1 / 0.6, 1), "]": () => this.zoom(1, 0.6), "[": () => this.zoom(1, 1 / 0.6),
      "0": () => this.setView(this.whole(), true), Home: () => this.setView(this.whole(), true),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  cellAt(x: number, y: number): Cell | null {
    const panel = this.panelAt(x, y);
    if (!panel || !this.recording) return null;
    const level = this.level();
    const [cellT, cellB] = [2 ** level.time, 2 ** level.block];
    const column = Math.floor(this.t(x) / cellT);
    const row = Math.floor(this.block(panel, y) / cellB);
    const { tiles } = this.tiles.visible(this.recording, level, column * cellT, (column + 1) * cellT, row * cellB, (row + 1) * cellB);
    const tile = tiles[0];
    if (!tile) return null;
    const [cx, cy] = [column - tile.column * COLUMNS, row - tile.row * ROWS];
    const known = tile.value("entropy_count", cx, cy);
    const looked = panel.layer === "reads" ? "looked_read" : panel.layer === "executes" ? "looked_execute" : "looked_write";
    return { layer: panel.layer, t0: column * cellT, t1: (column + 1) * cellT, b0: row * cellB, b1: (row + 1) * cellB, reads: tile.value("reads", cx, cy), writes: tile.value("writes", cx, cy),
      executes: tile.value("executes", cx, cy), entropy: known > 0 ? tile.value("entropy_sum", cx, cy) / known : null, looked: this.recording.stream === "memory" ? tile.value(looked, cx, cy) : null };
  }

  /** The cells in view that have something, as far as their tiles are there. */
  *cells(): Generator<{ t: number; b: number; reads: number; writes: number; executes: number; entropy: number | null; cellT: number; cellB: number }> {
    if (!this.recording) return;
    const level = this.level();
    const [cellT, cellB] = [2 ** level.time, 2 ** level.block];
    const v = this.view;
    for (const tile of this.tiles.visible(this.recording, level, v.t0, v.t1, v.b0, v.b1).tiles)
      for (let row = 0; row < ROWS; row++)
        for (let column = 0; column < COLUMNS; column++) {
          const [t, b] = [tile.t0 + column * cellT, tile.b0 + row * cellB];
          if (t + cellT <= v.t0 || t >= v.t1 || b + cellB <= v.b0 || b >= v.b1) continue;
          const [reads, writes, executes] = [tile.value("reads", column, row), tile.value("writes", column, row), tile.value("executes", column, row)];
          if (reads === 0 && writes === 0 && executes === 0) continue;
          const known = tile.value("entropy_count", column, row);
          yield { t, b, reads, writes, executes, entropy: known > 0 ? tile.value("entropy_sum", column, row) / known : null, cellT, cellB };
        }
  }

  /** The same picture as vectors. */
  svg(): string {
    const colours = this.colours();
    const out: string[] = [];
    const text = (x: number, y: number, what: string, anchor: string, colour: string, weight = 400): void => {
      out.push(`<text x="${x}" y="${y}" text-anchor="${anchor}" font-weight="${weight}" fill="${colour}">${what.replace(/[&<>]/g, (s) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[s]!)}</text>`);
    };
    const table = colourTable(this.settings.palette, isDark());
    const cells = [...this.cells()];
    this.drawn.forEach((panel, i) => {
      const of = (cell: (typeof cells)[number]): number => (panel.layer === "entropy" ? cell.writes : cell[panel.layer]);
      const max = this.settings.max ?? cells.reduce((peak, cell) => Math.max(peak, of(cell)), 1);
      out.push(`<clipPath id="p${i}"><rect x="${panel.x}" y="${panel.y}" width="${panel.w}" height="${panel.h}"/></clipPath>`);
      out.push(`<rect x="${panel.x}" y="${panel.y}" width="${panel.w}" height="${panel.h}" fill="${colours.ground}" stroke="${colours.line}"/><g clip-path="url(#p${i})" shape-rendering="crispEdges">`);
      for (const cell of cells) {
        if (of(cell) === 0) continue;
        const place = panel.layer === "entropy" ? cell.entropy : share(of(cell), max, this.settings.scale);
        const [x0, x1, y0, y1] = [this.x(cell.t), this.x(cell.t + cell.cellT), this.y(panel, cell.b + cell.cellB), this.y(panel, cell.b)];
        out.push(`<rect x="${x0.toFixed(2)}" y="${y0.toFixed(2)}" width="${(x1 - x0).toFixed(2)}" height="${(y1 - y0).toFixed(2)}" fill="${place === null ? colours.unknown : css(table[Math.round(place * 255)]!)}"/>`);
      }
      for (const [from, to] of this.facts?.gaps ?? [])
        if (from < this.view.t1 && to > this.view.t0) out.push(`<rect x="${this.x(from).toFixed(2)}" y="${panel.y}" width="${Math.max(2, this.x(to) - this.x(from)).toFixed(2)}" height="${panel.h}" fill="${colours.alert}" fill-opacity="0.25"/>`);
      out.push("</g>");
      text(panel.x, panel.y - 4, LAYER_NAMES[panel.layer], "start", colours.text, 600);
      for (const tick of format.offsetTicks(this.view.b0, this.view.b1, Math.max(2, panel.h / 34), this.unit, this.recording?.stream === "memory"))
        text(panel.x - 6, this.y(panel, tick.at) + 4, tick.label, "end", colours.faint);
    });
    for (const tick of format.timeTicks(this.view.t0, this.view.t1, Math.max(2, (this.width - LEFT) / 110))) text(this.x(tick.at), this.height - 8, tick.label, "middle", colours.faint);
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="${colours.page}"/>${out.join("")}</svg>`;
  }
}

function parse(colour: string): number {
  const digits = /^#([0-9a-f]{6})$/i.exec(colour);
  const value = digits ? parseInt(digits[1]!, 16) : 0x808080;
  return ((255 << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >>> 16)) >>> 0;
}
