// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The row of switches above a timeline.
import type { BootState, SourceFacts, Stream } from "./api";
import { bootName } from "./app";
import type { Palette } from "./colour";
import { type Child, h, replace, select, toggle } from "./dom";
import { LAYERS, STRIPS } from "./link";
import type { Settings } from "./plot";
import { LAYER_NAMES } from "./sheet";
import type { Layer } from "./tiles";

export interface Shown {
  boots: BootState[];
  machine: string;
  boot: string;
  stream: Stream;
  source: number | null;
  sources: SourceFacts[];
  settings: Settings;
  follow: boolean;
}
export interface Actions {
  go(parameters: Record<string, string | number | null>): void;
  change(settings: Partial<Settings>): void;
  fix(on: boolean): void;
  all(): void;
  back(): void;
  follow(on: boolean): void;
  save(kind: "png" | "svg" | "csv"): void;
  link(): void;
}

function group(label: string, ...children: Child[]): HTMLElement {
  return h("span", { class: "group", role: "group", "aria-label": label }, children);
}
function button(text: string, hint: string, onclick: () => void): HTMLElement {
  return h("button", { type: "button", title: hint, onclick }, text);
}

function flipped(list: Layer[], layer: Layer): Layer[] {
  return list.includes(layer) ? list.filter((x) => x !== layer) : LAYERS.filter((x) => x === layer || list.includes(x));
}

export class Toolbar {
  readonly element = h("div", { class: "tools", role: "toolbar", "aria-label": "What is drawn" });
  private drawn = "";

  constructor(private readonly actions: Actions) {}

  /** Draws what has changed; a list that is open stays. */
  draw(shown: Shown): void {
    const key = JSON.stringify([shown.boots.map((b) => b.boot), shown.machine, shown.boot, shown.stream, shown.source, shown.sources.map((s) => s.source), shown.settings, shown.follow]);
    const active = document.activeElement;
    const inside = active instanceof HTMLElement && this.element.contains(active) ? active : null;
    if (key === this.drawn || (inside instanceof HTMLSelectElement && this.drawn !== "")) return;
    this.drawn = key;
    const focused = inside?.textContent;
    replace(this.element, this.choices(shown), this.looks(shown), this.moves(shown));
    if (focused) [...this.element.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
  }
  /** The next draw() draws everything. */
  forget(): void {
    this.drawn = "";
  }

  private choices({ boots, machine, boot, stream, source, sources }: Shown): Child[] {
    const { go } = this.actions;
    return [
      select("Recording", boots.map((b) => [`${b.machine}/${b.boot}`, bootName(b)]), `${machine}/${boot}`, (value) => go({ machine: value.split("/")[0]!, boot: value.split("/")[1]!, stream: null })),
      group("Stream", toggle("Disk", stream === "storage", () => go({ stream: null }), "accesses by LBA"), toggle("Memory", stream === "memory", () => go({ stream: "memory" }), "accesses by guest-physical address")),
      stream === "storage" && sources.length > 1 ? select("Disk", sources.map((x) => [String(x.source), `${x.source >> 8}:${x.source & 255} ${x.disk?.serial?.trim() ?? ""}`]), String(source), (value) => go({ source: value })) : null,
    ];
  }

  private looks({ stream, settings: s }: Shown): Child[] {
    const { change, fix } = this.actions;
    const layers = LAYERS.filter((layer) => layer !== "executes" || stream === "memory");
    return [
      group("Layers", layers.map((layer) => toggle(layer === "entropy" ? "Entropy" : LAYER_NAMES[layer], s.layers.includes(layer), () => change({ layers: flipped(s.layers, layer) })))),
      stream === "storage" ? group("Below", toggle("Features", s.strips.length > 0, (on) => change({ strips: on ? STRIPS : [] }), "rates, variance of LBA, entropy and score below")) : null,
      select("Colour", [["heat", "heat"], ["viridis", "viridis"], ["grey", "grey"]], s.palette, (value) => change({ palette: value as Palette })),
      group("Colour scale", toggle("Log", s.scale === "log", () => change({ scale: "log" })), toggle("Linear", s.scale === "linear", () => change({ scale: "linear" })),
        toggle("Fix", s.max !== null, fix, "keep the top of the colour scale, so that views can be compared")),
    ];
  }

  private moves({ follow }: Shown): Child[] {
    const { actions } = this;
    return [
      group("View", button("All", "everything of the recording", () => actions.all()), button("Back", "the view before", () => actions.back()), toggle("Follow", follow, (on) => actions.follow(on), "keep the newest records in view")),
      group("Export", button("PNG", "save as an image", () => actions.save("png")), button("SVG", "save as vectors", () => actions.save("svg")), button("CSV", "save the cells as numbers", () => actions.save("csv")), button("Link", "an address that reopens this view", () => actions.link())),
    ];
  }
}
