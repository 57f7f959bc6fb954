// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// An alert: why, where, what was written there before and after, and how to get back to just before it.
import type { Alert, State } from "./api";
import { address, rememberAddress, type Screen, type Server } from "./app";
import { showContent } from "./content";
import { h, replace, say } from "./dom";
import * as format from "./format";
import { showPages } from "./pages";

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
    const blocks = h("div", { class: "blocks" });
    const pages = h("div", { class: "pages" });
    const content = (e: { lba: number; sectors: number }): void =>
      void showContent(blocks, { machine: u.machine, boot: u.boot, stream: "storage", source: u.source, block: Math.floor(e.lba / 8), last: Math.floor((e.lba + e.sectors - 1) / 8) }, { time_ns: u.first_evidence_ns, until_ns: u.until_ns });
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
            h("td", {}, h("button", { type: "button", onclick: () => content(e) }, "Content")))))),
      u.extents_left_out ? h("p", { class: "faint" }, `${u.extents_left_out} more places.`) : null,
      h("h2", {}, "Content before and after"), blocks,
      h("h2", {}, "Memory pages"), pages);
    const first = (u.extents ?? [])[0];
    if (first) content(first);
    else replace(blocks, h("p", { class: "faint" }, "Nothing to show."));
    void showPages(alert, this.server.state?.boots.find((b) => b.boot === u.boot && b.machine === u.machine), pages);
  }

  private addresses(alert: Alert): { b0?: number; b1?: number } {
    const extents = alert.undercroft.extents ?? [];
    if (extents.length === 0) return { b0: 0, b1: 2 ** 20 };
    const first = Math.min(...extents.map((e) => e.lba)) / 8;
    const end = Math.max(...extents.map((e) => e.lba + e.sectors)) / 8;
    const margin = Math.max(64, (end - first) / 10);
    return { b0: Math.max(0, Math.floor(first - margin)), b1: Math.ceil(end + margin) };
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
