// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Which sensors report, how far behind, what was lost, and the switches.
import { type BootState, command, Problem, type State } from "./api";
import { address, lastHeard, type Screen, type Server } from "./app";
import { h, replace, say, select } from "./dom";
import * as format from "./format";

/** Heard within this time a sensor counts as there: it says something at least each second while its guest runs. */
const PRESENT_NS = 5e9;
const RECENT_NS = 60e9;
const LOSSES = /drop|lost|missing|refused|skipped|overflow|not_recorded|unreadable|undecod/;

function presence(state: State, boot: BootState): { word: string; kind: string; age: number } {
  const age = Math.max(0, state.now_ns - lastHeard(state, boot));
  if (age < PRESENT_NS) return boot.storage?.capture_off ? { word: "capture is off", kind: "warn", age } : { word: "reports", kind: "good", age };
  if (age < RECENT_NS) return { word: `silent for ${format.span(age)}`, kind: "warn", age };
  return { word: `last heard ${format.time(lastHeard(state, boot), 0)}`, kind: "bad", age };
}

function facts(entries: [string, string | number | null | undefined, string?][]): HTMLElement {
  return h("dl", {}, entries.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value, kind]) => [h("dt", {}, name), h("dd", { class: kind }, value)]));
}

class MachineCard {
  readonly element = h("article", { class: "machine" });
  private readonly head = h("header");
  private readonly columns = h("div", { class: "columns" });
  private readonly foot = h("footer");
  private readonly answer = h("span", { role: "status", "aria-live": "polite", class: "faint" });
  private mode = "access";
  private every = "";
  private budget = "";
  private busy = false;
  private drawn = "";

  constructor(private readonly machine: string) {
    this.element.append(this.head, this.columns, this.foot);
    this.element.setAttribute("aria-label", `machine ${machine}`);
  }

  private async send(what: string, body: object): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.answer.className = "faint";
    this.answer.textContent = `${what} …`;
    try {
      const said = await command({ machine: this.machine, ...body });
      const modes = (said.memory as { modes?: Record<string, { running: boolean; records: number }> } | null)?.modes;
      const running = modes ? Object.entries(modes).filter(([, m]) => m.running).map(([name]) => name) : null;
      this.answer.textContent = `${what}: done${running ? `; memory modes running: ${running.join(", ") || "none"}` : ""}`;
    } catch (error) {
      this.answer.className = "bad";
      this.answer.textContent = error instanceof Problem ? error.message : String(error);
    }
    say(this.answer.textContent ?? "");
    this.busy = false;
  }

  private controls(canCommand: boolean): void {
    const key = String(canCommand);
    if (this.drawn === key) return;
    this.drawn = key;
    if (!canCommand) {
      replace(this.foot, h("span", { class: "faint" }, "Capture can be switched from here when the page is served with ", h("code", {}, "--collector SOCKET"), " or by ", h("code", {}, "collect --serve"), "."));
      return;
    }
    const every = h("input", { type: "text", size: 7, "aria-label": "period", placeholder: "300ms", oninput: () => (this.every = every.value) });
    const budget = h("input", { type: "text", size: 4, "aria-label": "budget", placeholder: "5%", oninput: () => (this.budget = budget.value) });
    replace(this.foot,
      h("button", { type: "button", onclick: () => void this.send("start capture", { command: "start" }) }, "Start capture"),
      h("button", { type: "button", class: "danger", onclick: () => void this.send("stop capture", { command: "stop" }) }, "Stop capture"),
      h("span", { class: "faint" }, "Memory monitor"),
      select("mode", [["access", "access"], ["written", "written pages"], ["snapshot", "snapshot"], ["watch", "watch"]], this.mode, (mode) => (this.mode = mode)),
      h("label", { class: "field" }, "every", every),
      h("label", { class: "field" }, "budget", budget),
      h("button", { type: "button", onclick: () => void this.send(`memory ${this.mode}`, { command: "memory", action: "start", mode: this.mode, ...(this.every ? { every: this.every } : {}), ...(this.budget ? { budget: this.budget } : {}) }) }, "Start mode"),
      h("button", { type: "button", onclick: () => void this.send("stop memory modes", { command: "memory", action: "stop" }) }, "Stop modes"),
      h("button", { type: "button", onclick: () => void this.send("ask", { command: "memory", action: "status" }) }, "Ask"),
      this.answer);
  }

  update(state: State, boots: BootState[], server: Server): void {
    const boot = boots[0]!;
    const lost = (boot.storage?.lost ?? 0) + (boot.memory?.lost ?? 0);
    const { word, kind } = presence(state, boot);
    const alert = server.alerts.find((a) => a.undercroft.machine === this.machine);
    replace(this.head,
      h("h2", { class: "mono", title: this.machine }, format.short(this.machine)),
      h("span", { class: `state ${kind}` }, word),
      h("span", { class: "faint" }, `${boot.hello?.cpu_backend ?? "?"} · sensor ${boot.hello?.sensor_version ?? "?"} · capture ${boot.hello?.capture_mode ?? "?"} · policy ${boot.hello?.policy ?? "?"}`),
      h("a", { href: address("timeline", { machine: boot.machine, boot: boot.boot }) }, "Timeline"),
      boots.length > 1 ? h("span", { class: "faint" }, `${boots.length} recordings`) : null);
    const sensor = state.collector?.sensors.find((s) => s.boot === boot.boot && s.machine === boot.machine);
    const counters = boot.status?.counters ?? {};
    const losses = Object.entries(counters).filter(([name, value]) => LOSSES.test(name) && value > 0);
    const rejects = Object.entries(state.collector?.counters ?? {}).filter(([, c]) => c.reject && c.value > 0);
    replace(this.columns,
      h("section", {}, h("h3", {}, "Recording"), facts([
        ["boot", format.short(boot.boot)],
        ["started", boot.hello?.start_utc_ns ? format.time(boot.hello.start_utc_ns, 0) : null],
        ["last status", boot.status?.time_utc_ns ? `${format.span(Math.max(0, state.now_ns - boot.status.time_utc_ns))} ago` : "none yet"],
        ["records of disks", boot.storage ? format.count(boot.storage.rows) : "none"],
        ["records of memory", boot.memory ? format.count(boot.memory.rows) : null],
      ])),
      h("section", {}, h("h3", {}, "Lag"), facts([
        ["sensor has made", boot.status?.next_sequence !== undefined ? format.count(boot.status.next_sequence) : null],
        ["last record", boot.storage?.to_ns ? `${format.span(Math.max(0, state.now_ns - boot.storage.to_ns))} ago` : null],
        ["not acknowledged", sensor && boot.status?.next_slot !== undefined ? `${Math.max(0, boot.status.next_slot - sensor.durable_slot)} slots` : null],
        ["waits for Parquet", state.collector ? format.span(state.collector.queues["conversion_lag_ns"] ?? 0) : null],
        ["files to be counted", (boot.storage?.waiting_files ?? 0) + (boot.memory?.waiting_files ?? 0) || null],
      ])),
      h("section", {}, h("h3", {}, "Losses"), facts([
        ["records missing", format.count(lost), lost > 0 ? "bad" : ""],
        ["gaps", (boot.storage?.gaps ?? 0) + (boot.memory?.gaps ?? 0)],
        ...losses.map(([name, value]): [string, string, string] => [name, format.count(value), "bad"]),
        ...rejects.map(([name, c]): [string, string, string] => [`collector: ${name}`, format.count(c.value), "bad"]),
      ])),
      h("section", {}, h("h3", {}, "Disks"), (boot.hello?.disks ?? []).length ? h("ul", {}, (boot.hello?.disks ?? []).map((d) => h("li", {}, `${d.source >> 8}:${d.source & 255} ${d.model.trim()} ${d.serial.trim()}, ${format.bytes(d.capacity_512 * 512)}`))) : h("span", { class: "faint" }, "none named yet"),
        h("h3", {}, "Last alert"), alert ? h("a", { href: address("evidence", { alert: alert.undercroft.id }) }, `${format.time(alert.undercroft.alert_ns, 0)}, ${Math.round(alert.undercroft.highest_probability * 100)} %, ${alert.undercroft.state}`) : h("span", { class: "faint" }, "none")));
    this.controls(state.can_command);
  }
}

export function machines(server: Server): Screen {
  const element = h("section", { class: "machines", "aria-label": "Machines" });
  const cards = new Map<string, MachineCard>();
  return {
    element,
    navigated() {},
    destroy() {},
    update(state) {
      if (state.boots.length === 0) {
        replace(element, h("div", { class: "notice" }, h("h1", {}, "No machine has reported yet"), h("p", {}, "The store ", h("code", {}, state.store), " is there, and empty. A sensor appears here with its first greeting, within a second."),
          h("p", {}, "Nothing comes? Look whether the collector runs on this store, and whether the sensor's ", h("code", {}, "collector ="), " names its address and port.")));
        cards.clear();
        return;
      }
      const byMachine = new Map<string, BootState[]>();
      for (const boot of state.boots) byMachine.set(boot.machine, [...(byMachine.get(boot.machine) ?? []), boot]);
      if (cards.size !== byMachine.size || [...byMachine.keys()].some((m) => !cards.has(m))) {
        for (const machine of byMachine.keys()) if (!cards.has(machine)) cards.set(machine, new MachineCard(machine));
        for (const machine of cards.keys()) if (!byMachine.has(machine)) cards.delete(machine);
        replace(element, [...cards.values()].map((card) => card.element));
      }
      for (const [machine, boots] of byMachine) cards.get(machine)!.update(state, boots.sort((a, b) => lastHeard(state, b) - lastHeard(state, a)), server);
    },
  };
}
