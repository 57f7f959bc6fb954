// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the views share: the server's state, asked for twice a second, and the address bar.
import { type Alert, type BootState, getJson, Problem, type State, type Stream, type StreamState } from "./api";
import * as format from "./format";

export type Tab = "machines" | "timeline" | "evidence" | "runs";
export const TABS: [Tab, string][] = [["machines", "Machines"], ["timeline", "Timeline"], ["evidence", "Evidence"], ["runs", "Runs"]];

export interface Screen {
  element: HTMLElement;
  /** The server's state is another one. */
  update(state: State): void;
  /** The address bar was changed by hand, by a link or by the browser's own buttons. */
  navigated(parameters: URLSearchParams): void;
  destroy(): void;
}

/** "#/timeline?machine=…": everything that makes a view, and nothing secret. */
export function readAddress(): { tab: Tab; parameters: URLSearchParams } {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const tab = TABS.find(([name]) => name === path)?.[0] ?? "machines";
  return { tab, parameters: new URLSearchParams(query ?? "") };
}

export function address(tab: Tab, parameters: Record<string, string | number | null | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  return `#/${tab}${query.size ? `?${query}` : ""}`;
}

/** Without a new entry in the browser's history. */
export function rememberAddress(tab: Tab, parameters: Record<string, string | number | null | undefined>): void {
  const wanted = address(tab, parameters);
  if (location.hash !== wanted) history.replaceState(null, "", wanted);
}

export function bootName(boot: BootState): string {
  const start = boot.hello?.start_utc_ns ?? boot.storage?.from_ns ?? boot.memory?.from_ns;
  return `${format.short(boot.machine)} · ${start ? format.time(start, 0) : format.short(boot.boot)}`;
}

export function streamOf(boot: BootState, stream: Stream): StreamState | null {
  return stream === "memory" ? boot.memory : boot.storage;
}

/** The last sign of life. */
export function lastHeard(state: State, boot: BootState): number {
  const sensor = state.collector?.sensors.find((s) => s.boot === boot.boot && s.machine === boot.machine);
  return Math.max(sensor?.last_heard_ns ?? 0, boot.status?.time_utc_ns ?? 0, boot.storage?.to_ns ?? 0, boot.memory?.to_ns ?? 0, boot.hello?.start_utc_ns ?? 0);
}

export class Server {
  state: State | null = null;
  alerts: Alert[] = [];
  problem: string | null = null;
  private readonly listeners = new Set<() => void>();

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async run(): Promise<void> {
    for (let round = 0; ; round++) {
      try {
        this.state = await getJson<State>("state");
        if (round % 2 === 0) this.alerts = (await getJson<{ alerts: Alert[] }>("alerts")).alerts;
        this.problem = null;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.problem = error.message;
      }
      for (const listener of this.listeners) listener();
      const live = this.state?.boots.some((b) => b.storage?.live || b.memory?.live || (b.storage?.waiting_files ?? 0) > 0) ?? false;
      await new Promise((resume) => setTimeout(resume, this.problem ? 2000 : document.hidden ? 3000 : live ? 200 : 500));
    }
  }
}

/** The earliest time at which something is new since a revision; null: nothing is. */
export function changedFrom(state: StreamState, since: number): number | null {
  if (state.revision === since) return null;
  const news = state.changes.filter(([revision]) => revision > since);
  return news.length > 0 && news[0]![0] === since + 1 ? Math.min(...news.map(([, from]) => from)) : 0;
}
