// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What everything that draws is given.
import type { Alert, Mark, StreamFacts } from "./api";
import { isDark } from "./colour";
import type { Frame } from "./frame";
import type { Layer } from "./tiles";

const NAMES = { ground: "plot-ground", unlooked: "plot-unlooked", text: "text", faint: "text-faint", line: "plot-line", hatch: "plot-hatch", mark: "plot-mark", alert: "alert", read: "series-read", write: "series-write", page: "page",
  unknown: "plot-unknown" } as const;
/** Each as "#rrggbb". */
export type Colours = Record<keyof typeof NAMES, string>;

export const LAYER_NAMES: Record<Layer, string> = { reads: "Reads", writes: "Writes", executes: "Executions", entropy: "Entropy of writes" };

export interface RecordMark {
  time: number;
  b0: number;
  b1: number;
  layer: Layer;
}

export interface Sheet {
  c: CanvasRenderingContext2D;
  frame: Frame;
  colours: Colours;
  facts: StreamFacts | null;
  marks: Mark[];
  memory: boolean;
  /** Nothing later is drawn: replay. */
  until: number | null;
  records: RecordMark[];
  alerts: Alert[];
}

const known = new Map<boolean, Colours>();

/** Those of the style sheet in the theme of now, which only the browser can tell from light-dark(). */
export function coloursNow(): Colours {
  const dark = isDark();
  let colours = known.get(dark);
  if (!colours) {
    const probe = document.createElement("i");
    document.documentElement.append(probe);
    const hex = (name: string): string => {
      probe.style.color = `var(--${name})`;
      const parts = getComputedStyle(probe).color.match(/\d+/g) ?? ["128", "128", "128"];
      return `#${parts.slice(0, 3).map((part) => Number(part).toString(16).padStart(2, "0")).join("")}`;
    };
    colours = Object.fromEntries(Object.entries(NAMES).map(([key, name]) => [key, hex(name)])) as Colours;
    probe.remove();
    known.set(dark, colours);
  }
  return colours;
}

/** As ImageData has it on little-endian machines. */
export function packed(colour: string): number {
  const value = parseInt(colour.slice(1), 16);
  return ((255 << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >>> 16)) >>> 0;
}
