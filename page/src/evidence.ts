// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// An alert: why, where, what was written there before and after, and how to get back to just before it.
import { type Alert, type BlockWrite, getBytes, getJson, Problem, type State, type Stream } from "./api";
import { address, rememberAddress, type Screen, type Server } from "./app";
import { h, replace, say } from "./dom";
import * as format from "./format";

function entropyOf(data: Uint8Array): number {
  const counts = new Array<number>(256).fill(0);
  for (const byte of data) counts[byte]!++;
  let bits = 0;
  for (const n of counts) if (n > 0) bits -= (n / data.length) * Math.log2(n / data.length);
  return bits / 8;
}

/** 16 bytes a line; bytes that differ from `other` are marked. */
function dump(data: Uint8Array, other: Uint8Array | null): HTMLElement {
  const lines: Node[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const line = h("div", {}, `${at.toString(16).padStart(4, "0")}  `);
    let text = "";
    for (let i = at; i < Math.min(at + 16, data.length); i++) {
      const byte = data[i]!;
      const shown = `${byte.toString(16).padStart(2, "0")}${i % 8 === 7 ? "  " : " "}`;
      line.append(other && other[i] !== byte ? h("b", {}, shown) : shown);
      text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·";
    }
    line.append(text);
    lines.push(line);
  }
  return h("div", { class: "hex", tabindex: 0, role: "region", "aria-label": "bytes in hexadecimal" }, lines);
}

function utc(ns: number): string {
  return `${format.time(ns, 9).replace(" ", "T")}Z`;
}

class Evidence implements Screen {
  readonly element = h("section", { class: "evidence", "aria-label": "Evidence" });
  private readonly list = h("nav", { class: "list", "aria-label": "Alerts" });
  private readonly article = h("article", { "aria-live": "off" });
  private chosen = "";
  private shown = "";
  private listed = "";
  private store = "";

  constructor(private readonly server: Server) {
    this.element.append(this.list, this.article);
  }
  destroy(): void {}
  navigated(parameters: URLSearchParams): void {
    this.chosen = parameters.get("alert") ?? this.chosen;
    this.listed = "";
  }

  update(state: State): void {
    this.store = state.store;
    const alerts = this.server.alerts;
    if (alerts.length === 0) {
      if (this.listed !== "none")
        replace(this.element, h("div", { class: "notice" }, h("h1", {}, "No alerts"), h("p", {}, "Nothing in this store was judged to be ransomware, or nobody has judged it yet."),
          h("p", {}, "Records are judged as they come by ", h("code", {}, "undercroft collect --detect MODEL"), ", and afterwards by ", h("code", {}, "undercroft detect STORE"), ". Alerts appear here within a second.")));
      this.listed = "none";
      return;
    }
    if (this.listed === "none") replace(this.element, this.list, this.article);
    if (!alerts.some((a) => a.undercroft.id === this.chosen)) this.chosen = alerts[0]!.undercroft.id;
    const key = `${this.chosen}|${alerts.map((a) => a.undercroft.id + a.undercroft.state + a.undercroft.until_ns).join()}`;
    if (key !== this.listed) {
      this.listed = key;
      this.drawList(alerts);
    }
    const alert = alerts.find((a) => a.undercroft.id === this.chosen)!;
    const version = alert.undercroft.id + alert["@timestamp"];
    if (version !== this.shown) {
      this.shown = version;
      this.draw(alert);
    }
  }

  private drawList(alerts: Alert[]): void {
    replace(this.list, alerts.map((alert) => h("button", { type: "button", "aria-current": alert.undercroft.id === this.chosen ? "true" : null, onclick: () => {
      this.chosen = alert.undercroft.id;
      this.listed = "";
      rememberAddress("evidence", { alert: this.chosen });
      if (this.server.state) this.update(this.server.state);
    } }, h("div", {}, h("strong", {}, `${Math.round(alert.undercroft.highest_probability * 100)} %`), ` ${alert.undercroft.state}`), h("div", {}, format.time(alert.undercroft.alert_ns, 1)),
      h("div", { class: "faint mono" }, `${format.short(alert.undercroft.machine)} disk ${alert.undercroft.source >> 8}:${alert.undercroft.source & 255}`))));
  }

  private draw(alert: Alert): void {
    const u = alert.undercroft;
    const entry = (name: string, value: string | number | null | undefined): HTMLElement | null => (value === null || value === undefined ? null : h("dl", {}, h("dt", {}, name), h("dd", {}, value)));
    const margin = Math.max(5e9, (u.until_ns - u.first_evidence_ns) / 3);
    const strongest = Math.max(0.001, ...(u.reasons ?? []).map((r) => Math.abs(r.log_odds)));
    const blocks = h("div", {});
    const pages = h("div", {});
    const before = utc(u.first_evidence_ns - 1024);
    const replay = `undercroft replay ${quote(this.store)} --machine ${u.machine} --boot ${u.boot} --source ${u.source} --base IMAGE --out before.img --until ${before}`;
    replace(this.article,
      h("h1", {}, alert.message ?? "Alert"),
      h("p", { class: "faint" }, h("a", { href: address("timeline", { machine: u.machine, boot: u.boot, source: u.source, t0: Math.round(u.first_evidence_ns - margin), t1: Math.round(u.until_ns + margin), ...this.addresses(alert) }) }, "Show in the timeline")),
      h("div", { class: "facts" }, entry("state", u.state), entry("probability", `${(u.probability * 100).toFixed(1)} %, at most ${(u.highest_probability * 100).toFixed(1)} %`), entry("threshold", `${(u.threshold * 100).toFixed(1)} %`),
        entry("first evidence", format.time(u.first_evidence_ns)), entry("alert", format.time(u.alert_ns)), entry("until", format.time(u.until_ns)), entry("machine", u.machine), entry("disk", `${u.source >> 8}:${u.source & 255}`),
        entry("written since", u.bytes_written === undefined ? null : format.bytes(u.bytes_written)), entry("model", u.model ? `${u.model.name ?? "?"} (${u.model.kind ?? "?"}, ${u.model.track ?? "?"})` : null),
        entry("response", u.response ? `${u.response.policy}: ${u.response.result}` : null), entry("acknowledged", u.acknowledged ? `${u.acknowledged.by}: ${u.acknowledged.note ?? ""}` : null)),
      h("h2", {}, "Reasons"),
      (u.reasons ?? []).length === 0 ? h("p", { class: "faint" }, "The model gave none.")
        : h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "feature"), h("th", { scope: "col" }, "window"), h("th", { scope: "col", class: "number" }, "value"), h("th", { scope: "col" }, "what it added (log odds)"))),
          h("tbody", {}, (u.reasons ?? []).map((r) => h("tr", {}, h("td", { class: "mono" }, r.feature), h("td", {}, `${r.window_s} s`), h("td", { class: "number" }, r.value === null ? "undefined" : Number(r.value.toPrecision(5))),
            h("td", {}, bar(Math.abs(r.log_odds) / strongest, r.log_odds < 0), ` ${r.log_odds >= 0 ? "+" : "−"}${Math.abs(r.log_odds).toFixed(2)}`))))),
      h("h2", {}, "Back to just before"),
      h("p", { class: "command" }, h("code", { id: "replay" }, replay), h("button", { type: "button", onclick: () => void navigator.clipboard?.writeText(replay).then(() => say("copied")) }, "Copy")),
      h("p", { class: "faint" }, "IMAGE is a copy of the disk as it was when the recording began. Writes that were captured without content cannot be replayed; the command says so."),
      h("h2", {}, "Where was written"),
      (u.extents ?? []).length === 0 ? h("p", { class: "faint" }, "No place is recorded.")
        : h("table", {}, h("thead", {}, h("tr", {}, ["LBA", "sectors", "writes", "bytes", ""].map((t, i) => h("th", { scope: "col", class: i < 4 ? "number" : null }, t)))),
          h("tbody", {}, (u.extents ?? []).map((e) => h("tr", {}, h("td", { class: "number" }, format.count(e.lba)), h("td", { class: "number" }, format.count(e.sectors)), h("td", { class: "number" }, format.count(e.writes)), h("td", { class: "number" }, format.bytes(e.bytes)),
            h("td", {}, h("button", { type: "button", onclick: () => void this.content(alert, blocks, "storage", Math.floor(e.lba / 8), Math.floor((e.lba + e.sectors - 1) / 8)) }, "Content")))))),
      u.extents_left_out ? h("p", { class: "faint" }, `${u.extents_left_out} more places.`) : null,
      h("h2", {}, "Content before and after"), blocks,
      h("h2", {}, "Memory pages"), pages);
    const first = (u.extents ?? [])[0];
    if (first) void this.content(alert, blocks, "storage", Math.floor(first.lba / 8), Math.floor((first.lba + first.sectors - 1) / 8));
    else replace(blocks, h("p", { class: "faint" }, "Nothing to show."));
    void this.memory(alert, pages);
  }

  private addresses(alert: Alert): { b0?: number; b1?: number } {
    const extents = alert.undercroft.extents ?? [];
    if (extents.length === 0) return { b0: 0, b1: 2 ** 20 };
    const first = Math.min(...extents.map((e) => e.lba)) / 8;
    const end = Math.max(...extents.map((e) => e.lba + e.sectors)) / 8;
    const margin = Math.max(64, (end - first) / 10);
    return { b0: Math.max(0, Math.floor(first - margin)), b1: Math.ceil(end + margin) };
  }

  private async content(alert: Alert, into: HTMLElement, stream: Stream, block: number, last: number): Promise<void> {
    const u = alert.undercroft;
    const step = (to: number): HTMLElement => h("button", { type: "button", disabled: to < 0, onclick: () => void this.content(alert, into, stream, to, last) }, to < block ? "Block before" : "Next block");
    const title = h("p", {}, stream === "memory" ? `Page at 0x${(block * 4096).toString(16)} ` : `4 KiB from LBA ${format.count(block * 8)} `, step(block - 1), " ", step(block + 1));
    replace(into, title, h("p", { class: "faint" }, "Looking through the writes …"));
    try {
      const { writes } = await getJson<{ writes: BlockWrite[] }>("block", { machine: u.machine, boot: u.boot, stream, source: stream === "storage" ? u.source : null, block, time_ns: u.first_evidence_ns });
      const earlier = writes.filter((w) => w.time_ns < u.first_evidence_ns).at(-1);
      const later = writes.filter((w) => w.time_ns >= u.first_evidence_ns && w.time_ns <= u.until_ns + 1).at(-1) ?? writes.find((w) => w.time_ns >= u.first_evidence_ns);
      const [was, is] = await Promise.all([this.fetchContent(earlier), this.fetchContent(later)]);
      const side = (name: string, write: BlockWrite | undefined, data: Uint8Array | null, other: Uint8Array | null): HTMLElement =>
        h("section", {}, h("strong", {}, name), " ",
          write ? h("span", { class: "faint" }, `${format.time(write.time_ns)} · ${format.bytes(write.length)} at ${stream === "memory" ? `0x${write.address.toString(16)}` : `LBA ${format.count(write.address)}`} · entropy ${data ? entropyOf(data).toFixed(3) : write.entropy?.toFixed(3) ?? "not known"}`) : null,
          data ? dump(data, other) : h("p", { class: "faint" }, write ? "The bytes of this write were not captured." : name === "Before" ? "Not written before while it was watched: what lay here is on the disk's image only." : "Not written since."));
      replace(into, title, h("div", { class: "hexes" }, side("Before", earlier, was, is), side("After", later, is, was)));
    } catch (error) {
      if (error instanceof Problem) replace(into, title, h("p", { class: "bad" }, error.message));
    }
  }

  private async fetchContent(write: BlockWrite | undefined): Promise<Uint8Array | null> {
    if (!write?.hash) return null;
    try {
      return await getBytes("content", { hash: write.hash, time_ns: write.time_ns });
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return null;
      throw error;
    }
  }

  private async memory(alert: Alert, into: HTMLElement): Promise<void> {
    const u = alert.undercroft;
    const boot = this.server.state?.boots.find((b) => b.boot === u.boot && b.machine === u.machine);
    if (!boot?.memory) {
      replace(into, h("p", { class: "faint" }, "The memory monitor was not running."));
      return;
    }
    const input = h("input", { type: "text", size: 16, "aria-label": "guest-physical address", placeholder: "0x1234000" });
    const shown = h("div", {});
    replace(into, h("p", {}, h("label", { class: "field" }, "Address", input), " ", h("button", { type: "button", onclick: () => {
      const at = Number(input.value);
      if (Number.isFinite(at) && at >= 0 && input.value.trim() !== "") void this.content(alert, shown, "memory", Math.floor(at / 4096), 2 ** 40);
    } }, "Show page"), " ", h("a", { href: address("timeline", { machine: u.machine, boot: u.boot, stream: "memory" }) }, "Memory in the timeline")), shown);
  }
}

function bar(share: number, against: boolean): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", "120");
  svg.setAttribute("height", "9");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("width", String(Math.max(1, 120 * share)));
  rect.setAttribute("height", "9");
  rect.setAttribute("fill", against ? "var(--accent)" : "var(--alert)");
  svg.append(rect);
  return svg;
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function evidence(server: Server): Screen {
  return new Evidence(server);
}
