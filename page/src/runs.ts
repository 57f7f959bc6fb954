// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Two recordings side by side from their beginnings, and both played again at any speed.
import { getJson, Problem, type State, type Stream, type StreamFacts } from "./api";
import { address, bootName, type Screen, type Server, streamOf } from "./app";
import { h, replace, say, select, toggle } from "./dom";
import * as format from "./format";
import type { View } from "./frame";
import { Plot, type Settings } from "./plot";

const SPEEDS = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 300];

class Side {
  readonly element = h("div", { class: "one" });
  readonly plot: Plot;
  private readonly head = h("div", { class: "tools" });
  private readonly note = h("div", { class: "over", hidden: true });
  chosen = "";
  facts: StreamFacts | null = null;
  private loading = "";
  private drawn = "";

  constructor(private readonly label: string, settings: Settings, viewed: (side: Side, view: View) => void, private readonly choose: (side: Side, value: string) => void) {
    this.plot = new Plot(settings, { viewed: (view) => this.plot && viewed(this, view), hovered: () => {}, picked: (alert) => (location.hash = address("evidence", { alert: alert.undercroft.id })) }, `Heat maps of recording ${label}`);
    this.element.append(this.head, h("div", { class: "drawing" }, this.plot.canvas, this.note));
  }

  get from(): number {
    return this.facts?.from_ns ?? 0;
  }
  get length(): number {
    return (this.facts?.to_ns ?? 0) - this.from;
  }

  update(state: State, stream: Stream, server: Server): void {
    const key = state.boots.map((b) => b.boot).join() + this.chosen;
    if (key !== this.drawn) {
      this.drawn = key;
      replace(this.head, select(`Recording ${this.label}`, [["", "choose"], ...state.boots.map((b): [string, string] => [`${b.machine}/${b.boot}`, bootName(b)])], this.chosen, (value) => this.choose(this, value)));
    }
    const boot = state.boots.find((b) => `${b.machine}/${b.boot}` === this.chosen);
    const there = boot ? streamOf(boot, stream) : null;
    this.note.hidden = there !== null;
    if (!boot) this.note.textContent = "Choose a recording.";
    else if (!there) this.note.textContent = stream === "memory" ? "It has no memory accesses." : "It has no disk accesses.";
    if (!boot || !there) return;
    this.plot.alerts = server.alerts.filter((a) => a.undercroft.boot === boot.boot);
    const wanted = `${this.chosen}/${stream}/${there.revision}`;
    if (wanted !== this.loading) {
      this.loading = wanted;
      void this.load(boot.machine, boot.boot, stream);
    }
  }

  private async load(machine: string, boot: string, stream: Stream): Promise<void> {
    try {
      const facts = await getJson<StreamFacts>("stream", { machine, boot, stream });
      this.facts = facts;
      const busiest = [...facts.sources].sort((a, b) => b.weight - a.weight)[0];
      this.plot.show({ machine, boot, stream, source: stream === "memory" ? null : busiest?.source ?? null }, facts, null);
      this.plot.outdate(0);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.note.hidden = false;
      this.note.textContent = error.message;
    }
  }
}

class Runs implements Screen {
  readonly element = h("section", { class: "runs", "aria-label": "Runs" });
  private readonly settings: Settings = { layers: ["reads", "writes", "entropy"], strips: ["rate", "entropy", "score"], scale: "log", palette: "heat", max: null };
  private readonly sides: [Side, Side];
  private stream: Stream = "storage";
  private together = true;
  private playing = false;
  private speed = 10;
  private at = 0; ///< ns since the beginnings
  private before = 0;
  private frame = 0;
  private moving = false;
  private readonly play = h("button", { type: "button", onclick: () => this.setPlaying(!this.playing) }, "Play");
  private readonly slider = h("input", { type: "range", min: 0, max: 1000, value: 1000, "aria-label": "moment of the replay", oninput: () => this.slide() });
  private readonly clock = h("span", { class: "mono", role: "timer" }, "everything");
  private readonly themed = (): void => this.sides.forEach((s) => s.plot.invalidate());

  constructor(private readonly server: Server) {
    const viewed = (side: Side, view: View): void => this.viewed(side, view);
    const choose = (side: Side, value: string): void => {
      side.chosen = value;
      this.remember();
      if (this.server.state) this.update(this.server.state);
    };
    this.sides = [new Side("A", this.settings, viewed, choose), new Side("B", this.settings, viewed, choose)];
    this.element.append(h("div", { class: "tools", role: "toolbar", "aria-label": "Replay" }, this.play,
      select("Speed", SPEEDS.map((s) => [String(s), `${s} ×`]), String(this.speed), (value) => (this.speed = Number(value))), this.slider, this.clock,
      h("button", { type: "button", onclick: () => this.everything() }, "Everything"), toggle("Move together", this.together, (on) => (this.together = on), "zoom and move both alike"),
      select("Stream", [["storage", "Disk"], ["memory", "Memory"]], this.stream, (value) => {
        this.stream = value as Stream;
        this.remember();
        if (this.server.state) this.update(this.server.state);
      }),
      toggle("Linear", false, (on) => this.sides.forEach((s) => {
        s.plot.settings = { ...s.plot.settings, scale: on ? "linear" : "log" };
        s.plot.invalidate();
      }))), h("div", { class: "pair" }, this.sides.map((s) => s.element)));
    window.addEventListener("theme", this.themed);
  }

  destroy(): void {
    cancelAnimationFrame(this.frame);
    this.sides.forEach((s) => s.plot.destroy());
    window.removeEventListener("theme", this.themed);
  }

  navigated(parameters: URLSearchParams): void {
    if (parameters.has("a")) this.sides[0].chosen = parameters.get("a")!;
    if (parameters.has("b")) this.sides[1].chosen = parameters.get("b")!;
    this.stream = parameters.get("stream") === "memory" ? "memory" : "storage";
  }

  private remember(): void {
    history.replaceState(null, "", address("runs", { a: this.sides[0].chosen, b: this.sides[1].chosen, stream: this.stream === "memory" ? "memory" : null }));
  }

  update(state: State): void {
    this.sides.forEach((side, i) => {
      if (side.chosen === "" && state.boots.length > 0) {
        const boot = state.boots[Math.min(i, state.boots.length - 1)]!;
        side.chosen = `${boot.machine}/${boot.boot}`;
      }
      side.update(state, this.stream, this.server);
    });
  }

  /** The other side follows, in time since its own beginning. */
  private viewed(side: Side, view: View): void {
    if (!this.together || this.moving || !this.sides) return;
    const other = this.sides.find((s) => s !== side)!;
    if (!other.facts) return;
    this.moving = true;
    const shift = other.from - side.from;
    other.plot.setView({ t0: view.t0 + shift, t1: view.t1 + shift, b0: view.b0, b1: view.b1 }, false);
    this.moving = false;
  }

  private get longest(): number {
    return Math.max(1e9, ...this.sides.map((s) => s.length));
  }

  private everything(): void {
    this.setPlaying(false);
    this.show(null);
    this.moving = true;
    for (const side of this.sides) if (side.facts) side.plot.setView(side.plot.whole(), true);
    this.moving = false;
  }

  /** A moment that is played is in view. */
  private follow(side: Side, moment: number): void {
    const v = side.plot.view;
    const width = v.t1 - v.t0;
    if (!side.facts || (moment >= v.t0 && moment <= v.t1)) return;
    this.moving = true;
    side.plot.setView({ ...v, t0: moment - width / 20, t1: moment + (width * 19) / 20 }, false);
    this.moving = false;
  }

  private slide(): void {
    this.show((Number(this.slider.value) / 1000) * this.longest);
  }

  private show(at: number | null): void {
    this.at = at ?? this.longest;
    for (const side of this.sides) {
      side.plot.until = at === null ? null : side.from + at;
      if (at !== null && at <= side.length) this.follow(side, side.from + at);
      side.plot.invalidate();
    }
    this.slider.value = String(Math.round((this.at / this.longest) * 1000));
    this.clock.textContent = at === null ? "everything" : `+${(at / 1e9).toFixed(1)} s of ${format.span(this.longest)}`;
  }

  private setPlaying(on: boolean): void {
    this.playing = on;
    this.play.textContent = on ? "Pause" : "Play";
    cancelAnimationFrame(this.frame);
    if (!on) return;
    say(`playing at ${this.speed} times the speed`);
    if (this.at >= this.longest || this.sides.every((s) => s.plot.until === null)) this.at = 0;
    this.before = performance.now();
    const step = (): void => {
      const now = performance.now();
      this.show(Math.min(this.longest, this.at + (now - this.before) * 1e6 * this.speed));
      this.before = now;
      if (this.at >= this.longest) this.setPlaying(false);
      else this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }
}

export function runs(server: Server): Screen {
  return new Runs(server);
}
