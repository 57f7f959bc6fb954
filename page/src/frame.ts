// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Where things stand: the range of time and addresses in view, and the boxes of a drawing in which it is shown.
import type { SourceFacts, StreamFacts } from "./api";
import type { Layer, Level } from "./tiles";

/** Nanoseconds since 1970 and blocks of 4 KiB. */
export interface View {
  t0: number;
  t1: number;
  b0: number;
  b1: number;
}
export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}
export interface Panel extends Box {
  layer: Layer;
}
export type Strip = "rate" | "variance" | "entropy" | "score";
export interface StripBox extends Box {
  strip: Strip;
}

export const LEFT = 92;
export const RIGHT = 10;
export const AXIS = 26;
const HEADING = 15;
const STRIP_HEIGHT: Record<Strip, number> = { rate: 46, variance: 40, entropy: 34, score: 40 };
const LEAST_SPAN_NS = 20_000;
const LEAST_BLOCKS = 8;
const LONGEST_NS = 400 * 86400e9;
const HIGHEST_BLOCK = 2 ** 43;
/** Finer cells than this are counted from records, and only for as short a time. */
export const BASE_TIME = 28;
const BASE_BLOCK = 4;

/** The view, within what can be shown. */
export function bounded({ t0, t1, b0, b1 }: View): View {
  if (t1 - t0 < LEAST_SPAN_NS) {
    const middle = (t0 + t1) / 2;
    t0 = middle - LEAST_SPAN_NS / 2;
    t1 = middle + LEAST_SPAN_NS / 2;
  }
  if (b1 - b0 < LEAST_BLOCKS) {
    const middle = (b0 + b1) / 2;
    b0 = middle - LEAST_BLOCKS / 2;
    b1 = middle + LEAST_BLOCKS / 2;
  }
  t1 = Math.min(t1, t0 + LONGEST_NS);
  b1 = Math.min(b1, HIGHEST_BLOCK);
  if (b0 < 0) {
    b1 -= b0;
    b0 = 0;
  }
  return { t0: Math.max(t0, 0), t1, b0, b1 };
}

/** Everything of a recording: all its time, the addresses in which most of it happens. */
export function wholeOf(facts: StreamFacts | null, source: SourceFacts | null, memory: boolean): View {
  const from = facts?.from_ns ?? 0;
  const to = Math.max(facts?.to_ns ?? 1e9, from + 1e9);
  if (!source) return { t0: from, t1: to, b0: 0, b1: 1024 };
  const ram = memory && facts!.ram.length > 0;
  const first = ram ? 0 : source.dense_first_block;
  const end = ram ? Math.max(...facts!.ram.map((r) => r[1])) / 4096 : Math.max(source.dense_end_block, first + 64);
  const margin = ram ? 0 : (end - first) / 48;
  return { t0: from - (to - from) / 100, t1: to + (to - from) / 100, b0: Math.max(0, first - margin), b1: end + margin };
}

export class Frame {
  view: View = { t0: 0, t1: 1e9, b0: 0, b1: 1024 };
  width = 0;
  height = 0;
  panels: Panel[] = [];
  strips: StripBox[] = [];

  /** Panels of equal height for the layers, one above the other, strips below. */
  layout(layers: Layer[], strips: Strip[]): void {
    const stripsHeight = strips.reduce((sum, s) => sum + STRIP_HEIGHT[s] + 4, 0);
    const each = Math.floor((this.height - AXIS - stripsHeight - 4) / Math.max(layers.length, 1));
    const w = this.width - LEFT - RIGHT;
    let y = 2;
    this.panels = layers.map((layer) => {
      const panel = { layer, x: LEFT, y: y + HEADING, w, h: each - HEADING - 4 };
      y += each;
      return panel;
    });
    this.strips = strips.map((strip) => {
      const box = { strip, x: LEFT, y: y + 2, w, h: STRIP_HEIGHT[strip] - 2 };
      y += STRIP_HEIGHT[strip] + 4;
      return box;
    });
  }

  x(t: number): number {
    return LEFT + ((t - this.view.t0) / (this.view.t1 - this.view.t0)) * (this.width - LEFT - RIGHT);
  }
  t(x: number): number {
    return this.view.t0 + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.view.t1 - this.view.t0);
  }
  y(panel: Box, block: number): number {
    return panel.y + panel.h - ((block - this.view.b0) / (this.view.b1 - this.view.b0)) * panel.h;
  }
  block(panel: Box, y: number): number {
    return this.view.b0 + ((panel.y + panel.h - y) / panel.h) * (this.view.b1 - this.view.b0);
  }

  panelAt(x: number, y: number): Panel | undefined {
    return this.panels.find((p) => x >= p.x && x <= p.x + p.w && y >= p.y && y <= p.y + p.h);
  }
  stripAt(x: number, y: number): StripBox | undefined {
    return this.strips.find((s) => y >= s.y && y <= s.y + s.h && x >= s.x);
  }

  /** Cells of two to four pixels. */
  level(): Level {
    const nsPerPixel = (this.view.t1 - this.view.t0) / Math.max(this.width - LEFT - RIGHT, 1);
    const blocksPerPixel = (this.view.b1 - this.view.b0) / Math.max(this.panels[0]?.h ?? 100, 1);
    const time = Math.min(46, Math.max(10, Math.ceil(Math.log2(nsPerPixel * 2))));
    const least = time >= BASE_TIME ? BASE_BLOCK : 0;
    return { time, block: Math.min(40, Math.max(least, Math.ceil(Math.log2(blocksPerPixel * 2)))) };
  }
}
