// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One recording drawn: heat maps of reads, writes and entropy over time and address, features and score below them, all
// under one time axis. Used by the timeline and, twice, by the comparison of runs.
import type { Alert, SourceFacts, StreamFacts } from "./api";
import { type Cell, cellAt, cellsIn, type PlacedCounts } from "./cells";
import { bounded, Frame, type Strip, type View, wholeOf } from "./frame";
import { Hands } from "./hands";
import { drawAlerts, drawTimeAxis } from "./overlays";
import { drawPanel, type Look } from "./panel";
import { coloursNow, type RecordMark, type Sheet } from "./sheet";
import { Strips } from "./strips";
import { type Layer, type Level, type Recording, TileStore } from "./tiles";
import { svgOf } from "./vector";

export interface Settings extends Look {
  layers: Layer[];
  strips: Strip[];
}
export interface PlotEvents {
  viewed(view: View, final: boolean): void;
  hovered(cell: Cell | null, time: number | null): void;
  picked(alert: Alert): void;
}

export class Plot {
  readonly canvas: HTMLCanvasElement;
  readonly frame = new Frame();
  readonly tiles: TileStore;
  recording: Recording | null = null;
  facts: StreamFacts | null = null;
  settings: Settings;
  alerts: Alert[] = [];
  records: RecordMark[] = [];
  /** Nothing later is drawn: replay. */
  until: number | null = null;
  private readonly strips: Strips;
  private readonly hands: Hands;
  private readonly context: CanvasRenderingContext2D;
  private readonly observer: ResizeObserver;
  private ratio = 1;
  private dirty = true;
  private animation = 0;
  private running = true;

  constructor(settings: Settings, private readonly events: PlotEvents, label: string) {
    this.settings = settings;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.className = "plot";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.context = this.canvas.getContext("2d", { alpha: false })!;
    this.tiles = new TileStore(() => this.invalidate());
    this.strips = new Strips(this.frame, (problem) => {
      if (problem) this.tiles.error = problem;
      this.invalidate();
    });
    this.hands = new Hands(this);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
    this.loop();
  }

  destroy(): void {
    this.running = false;
    cancelAnimationFrame(this.animation);
    this.observer.disconnect();
  }

  get view(): View {
    return this.frame.view;
  }
  get source(): SourceFacts | null {
    const all = this.facts?.sources ?? [];
    return all.find((s) => s.source === this.recording?.source) ?? all[0] ?? null;
  }
  private get memory(): boolean {
    return this.recording?.stream === "memory";
  }

  show(recording: Recording, facts: StreamFacts, view: View | null): void {
    const other = this.recording?.boot !== recording.boot || this.recording.machine !== recording.machine || this.recording.stream !== recording.stream || this.recording.source !== recording.source;
    this.recording = recording;
    this.facts = facts;
    if (other) {
      this.strips.forget();
      this.records = [];
    }
    if (view) this.setView(view, true);
    else if (other) this.setView(this.whole(), true);
    this.invalidate();
  }

  whole(): View {
    return wholeOf(this.facts, this.source, this.memory);
  }

  setView(view: View, final: boolean): void {
    this.frame.view = bounded(view);
    this.events.viewed(this.frame.view, final);
    this.invalidate();
  }

  invalidate(): void {
    this.dirty = true;
  }

  /** What lies behind this time may be new. */
  outdate(fromNs: number): void {
    if (!this.recording) return;
    this.tiles.outdate(this.recording.boot, this.recording.stream, fromNs);
    if (fromNs < this.view.t1) this.strips.outdate();
    this.invalidate();
  }

  hover(x: number, y: number): void {
    this.events.hovered(this.recording ? cellAt(this.frame, this.tiles, this.recording, x, y) : null, this.frame.t(x));
  }
  leave(): void {
    this.events.hovered(null, null);
  }
  pick(alert: Alert): void {
    this.events.picked(alert);
  }

  level(): Level {
    return this.frame.level();
  }
  cells(): Iterable<PlacedCounts> {
    return this.recording ? cellsIn(this.frame, this.tiles, this.recording) : [];
  }
  /** The same picture as vectors. */
  svg(): string {
    return svgOf(this.sheet(this.context), [...this.cells()], this.settings);
  }

  private get ready(): boolean {
    return this.recording !== null && !this.dirty && !this.tiles.busy && this.strips.ready(this.recording, this.source?.source ?? 0, this.settings.strips);
  }

  private resize(): void {
    const box = this.canvas.getBoundingClientRect();
    this.ratio = window.devicePixelRatio || 1;
    this.frame.width = Math.max(200, Math.floor(box.width));
    this.frame.height = Math.max(160, Math.floor(box.height));
    this.canvas.width = Math.round(this.frame.width * this.ratio);
    this.canvas.height = Math.round(this.frame.height * this.ratio);
    this.invalidate();
  }

  private loop(): void {
    this.animation = requestAnimationFrame(() => {
      if (!this.running) return;
      if (this.dirty && this.frame.width > 0) {
        this.dirty = false;
        this.draw(this.context, this.ratio);
        this.strips.ask(this.recording, this.source?.source ?? 0, this.settings.strips);
      }
      this.canvas.dataset["state"] = this.ready ? "ready" : "loading";
      this.loop();
    });
  }

  private sheet(c: CanvasRenderingContext2D): Sheet {
    return { c, frame: this.frame, colours: coloursNow(), facts: this.facts, marks: this.source?.marks ?? [], memory: this.memory, until: this.until, records: this.records, alerts: this.alerts };
  }

  draw(c: CanvasRenderingContext2D, ratio: number): void {
    this.frame.layout(this.settings.layers.filter((layer) => layer !== "executes" || this.memory), this.memory ? [] : this.settings.strips);
    const sheet = this.sheet(c);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = sheet.colours.page;
    c.fillRect(0, 0, this.frame.width, this.frame.height);
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    const level = this.level();
    const geometry = this.frame.panels.map((panel) => drawPanel(sheet, panel, level, this.tiles, this.recording, this.settings));
    for (const strip of this.frame.strips) this.strips.draw(sheet, strip);
    this.tiles.fetchWanted();
    drawTimeAxis(sheet);
    drawAlerts(sheet);
    this.hands.drawBrush(c, sheet.colours.text);
    this.canvas.dataset["geometry"] = JSON.stringify(geometry);
  }
}
