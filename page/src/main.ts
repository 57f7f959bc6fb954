// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
import "./style.css";
import { address, readAddress, type Screen, Server, type Tab, TABS } from "./app";
import { h, replace } from "./dom";
import { evidence } from "./evidence";
import { machines } from "./machines";
import { runs } from "./runs";
import { timeline } from "./timeline";

const SCREENS: Record<Tab, (server: Server) => Screen> = { machines, timeline, evidence, runs };
const server = new Server();
let shown: { tab: Tab; screen: Screen } | null = null;

function drawTabs(): void {
  const { tab } = readAddress();
  const open = server.alerts.filter((a) => a.undercroft.state === "open").length;
  replace(document.getElementById("tabs")!, TABS.map(([name, text]) => h("a", { href: address(name, {}), "aria-current": name === tab ? "page" : null }, text,
    name === "evidence" && open > 0 ? h("span", { class: "badge", "aria-label": `${open} open alerts` }, open) : null)));
}

function drawHealth(): void {
  const health = document.getElementById("health")!;
  const state = server.state;
  const waiting = state?.boots.reduce((sum, b) => sum + (b.storage?.waiting_files ?? 0) + (b.memory?.waiting_files ?? 0), 0) ?? 0;
  const trouble = server.problem ?? state?.problems[0];
  health.className = trouble ? "bad" : "";
  const text = trouble ?? (state ? `${state.store}${waiting ? ` · ${waiting} files still to be counted` : ""} · ${state.version}` : "connecting");
  if (health.textContent !== text) health.textContent = text;
  health.title = text;
}

function navigate(): void {
  const { tab, parameters } = readAddress();
  if (shown?.tab !== tab) {
    shown?.screen.destroy();
    const screen = SCREENS[tab](server);
    shown = { tab, screen };
    replace(document.getElementById("main")!, screen.element);
    document.title = `${TABS.find(([name]) => name === tab)![1]} · Undercroft`;
  }
  shown.screen.navigated(parameters);
  if (server.state) shown.screen.update(server.state);
  drawTabs();
}

function themes(): void {
  const button = document.getElementById("theme")!;
  const order = ["", "light", "dark"];
  const names: Record<string, string> = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const use = (theme: string): void => {
    if (theme) document.documentElement.dataset["theme"] = theme;
    else delete document.documentElement.dataset["theme"];
    button.textContent = names[theme]!;
    localStorage.setItem("theme", theme);
    window.dispatchEvent(new Event("theme"));
  };
  use(order.includes(localStorage.getItem("theme") ?? "") ? localStorage.getItem("theme") ?? "" : "");
  button.addEventListener("click", () => use(order[(order.indexOf(localStorage.getItem("theme") ?? "") + 1) % order.length]!));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event("theme")));
}

themes();
window.addEventListener("hashchange", navigate);
server.listen(() => {
  drawHealth();
  drawTabs();
  if (server.state) shown?.screen.update(server.state);
});
navigate();
void server.run();
