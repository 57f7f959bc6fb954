// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What of a timeline stands in the address, so that a link reopens it.
import { whole } from "./api";
import type { Palette } from "./colour";
import type { Strip, View } from "./frame";
import type { Settings } from "./plot";
import type { Layer } from "./tiles";

export const STRIPS: Strip[] = ["rate", "variance", "entropy", "score"];
export const LAYERS: Layer[] = ["reads", "writes", "executes", "entropy"];

export function readSettings(parameters: URLSearchParams): Settings {
  const list = (name: string, all: string[]): string[] | null => parameters.get(name)?.split(".").filter((x) => all.includes(x)) ?? null;
  const max = Number(parameters.get("max"));
  return {
    layers: (list("layers", LAYERS) as Layer[] | null) ?? LAYERS,
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

export function written(s: Settings, view: View): Record<string, string | number | null> {
  return { t0: whole(view.t0), t1: whole(view.t1), b0: whole(view.b0), b1: whole(view.b1), scale: s.scale === "log" ? null : s.scale, palette: s.palette === "heat" ? null : s.palette, max: s.max,
    layers: s.layers.length === LAYERS.length ? null : s.layers.join("."), strips: s.strips.length === STRIPS.length ? null : s.strips.join(".") };
}
