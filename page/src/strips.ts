// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Features and the model's score below the heat maps: fetched for the view and a margin, drawn as lines.
import { type Columns, getColumns, Problem } from "./api";
import * as format from "./format";
import { type Box, Frame, type Strip, type StripBox } from "./frame";
import { drawGaps, drawOutside } from "./overlays";
import type { Sheet } from "./sheet";
import type { Recording } from "./tiles";

const NAMES: Record<Strip, string> = { rate: "bytes/s", variance: "σ of LBA", entropy: "entropy", score: "score" };
const QUANTUM = 128; // steps by which what is fetched moves
const MOST_COLUMNS = 4096;
const PATIENCE_MS = 60;

const same = (x: number): number => x;

/** What is to be fetched, and its name. */
interface Wish {
  key: string;
  time: number;
  first: number;
  columns: number;
}

export class Strips {
  private features: { t0: number; step: number; columns: Columns } | null = null;
  private scores: Columns | null = null;
  private asked = "";
  private timer = 0;

  constructor(private readonly frame: Frame, private readonly arrived: (problem: string | null) => void) {}

  forget(): void {
    this.features = null;
    this.scores = null;
    this.asked = "";
  }
  outdate(): void {
    this.asked = "";
  }
  ready(recording: Recording | null, source: number, strips: Strip[]): boolean {
    return this.asked === (this.wish(recording, source, strips)?.key ?? "");
  }

  private wish(recording: Recording | null, source: number, strips: Strip[]): Wish | null {
    if (!recording || recording.stream === "memory" || strips.length === 0) return null;
    const { view } = this.frame;
    const { time } = this.frame.level();
    const quantum = 2 ** time * QUANTUM;
    const margin = (view.t1 - view.t0) / 2;
    const begin = Math.max(0, Math.floor((view.t0 - margin) / quantum));
    const end = Math.ceil((view.t1 + margin) / quantum);
    return { key: `${recording.machine}/${recording.boot}/${source}/${time}/${begin}/${end}/${strips.includes("score")}`, time, first: begin * QUANTUM, columns: Math.min(MOST_COLUMNS, (end - begin) * QUANTUM) };
  }

  /** Fetches what the view wants, once it has stood still for a moment. */
  ask(recording: Recording | null, source: number, strips: Strip[]): void {
    const wish = this.wish(recording, source, strips);
    if (!wish) this.asked = "";
    if (!wish || wish.key === this.asked) return;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      const now = this.wish(recording, source, strips);
      if (now) void this.fetch(recording!, source, now, strips.includes("score"));
    }, PATIENCE_MS);
  }

  private async fetch(r: Recording, source: number, wish: Wish, withScore: boolean): Promise<void> {
    const step = 2 ** wish.time;
    let problem: string | null = null;
    try {
      const columns = await getColumns("features", { machine: r.machine, boot: r.boot, time_shift: wish.time, column: wish.first, columns: wish.columns });
      this.features = { t0: wish.first * step, step, columns };
      if (withScore) this.scores = await getColumns("scores", { machine: r.machine, boot: r.boot, source, from_ns: wish.first * step, to_ns: (wish.first + wish.columns) * step });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem = error.message;
    }
    this.asked = wish.key;
    this.arrived(problem);
  }

  draw(sheet: Sheet, box: StripBox): void {
    const { c, colours } = sheet;
    c.fillStyle = colours.ground;
    c.fillRect(box.x, box.y, box.w, box.h);
    c.save();
    c.beginPath();
    c.rect(box.x, box.y, box.w, box.h);
    c.clip();
    const top =
      box.strip === "score" ? this.drawScore(sheet, box)
      : box.strip === "entropy" ? this.series(sheet, box, "write_entropy", colours.write, 1)
      : box.strip === "rate" ? this.pair(sheet, box, "read_bytes_per_s", "write_bytes_per_s", same)
      : this.pair(sheet, box, "read_lba_variance", "write_lba_variance", Math.sqrt);
    drawOutside(sheet, box);
    drawGaps(sheet, box);
    c.restore();
    c.strokeStyle = colours.line;
    c.strokeRect(box.x - 0.5, box.y - 0.5, box.w + 1, box.h + 1);
    c.fillStyle = colours.faint;
    c.textAlign = "right";
    c.fillText(NAMES[box.strip], box.x - 7, box.y + box.h / 2 + 7);
    c.fillText(box.strip === "rate" ? `${format.bytes(top)}/s` : box.strip === "variance" ? format.bytes(top * 512) : "1", box.x - 7, box.y + 7);
  }

  private pair(sheet: Sheet, box: Box, reads: string, writes: string, map: (x: number) => number): number {
    const top = Math.max(1, this.peak(reads, map), this.peak(writes, map));
    this.series(sheet, box, reads, sheet.colours.read, top, map);
    this.series(sheet, box, writes, sheet.colours.write, top, map);
    return top;
  }

  private visible(name: string): { values: ArrayLike<number>; first: number; end: number } {
    const f = this.features;
    const values = f?.columns.numbers(name) ?? [];
    if (!f) return { values, first: 0, end: 0 };
    const { view } = this.frame;
    return { values, first: Math.max(0, Math.floor((view.t0 - f.t0) / f.step)), end: Math.min(values.length, Math.ceil((view.t1 - f.t0) / f.step)) };
  }

  private peak(name: string, map: (x: number) => number): number {
    const { values, first, end } = this.visible(name);
    let peak = 0;
    for (let i = first; i < end; i++) peak = Math.max(peak, map(values[i]!) || 0);
    return peak;
  }

  private series({ c, frame }: Sheet, box: Box, name: string, colour: string, top: number, map: (x: number) => number = same): number {
    const { values, first, end } = this.visible(name);
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
      const x0 = frame.x(f.t0 + i * f.step);
      if (pen) c.lineTo(x0, y);
      else c.moveTo(x0, y);
      c.lineTo(frame.x(f.t0 + (i + 1) * f.step), y);
      pen = true;
    }
    c.stroke();
    return top;
  }

  private drawScore({ c, frame, colours }: Sheet, box: Box): number {
    const ends = this.scores?.wide("end");
    const p = this.scores?.numbers("p");
    if (!ends || !p || ends.length === 0) {
      c.fillStyle = colours.faint;
      c.textAlign = "left";
      c.fillText("no model has judged this time", box.x + 8, box.y + box.h / 2);
      return 1;
    }
    const height = (share: number): number => box.y + box.h - 1 - share * (box.h - 4);
    const made = this.scores?.about["made_by"] as { threshold?: number } | null | undefined;
    if (made?.threshold !== undefined) {
      const y = Math.round(height(made.threshold)) + 0.5;
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
      if (i === 0) c.moveTo(frame.x(Number(ends[i])), height(p[i]!));
      else c.lineTo(frame.x(Number(ends[i])), height(p[i]!));
    }
    c.stroke();
    return 1;
  }
}
