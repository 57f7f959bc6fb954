// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What lay in a block of a disk or a page of memory before and after a moment.
import { type BlockWrite, getBytes, getJson, Problem, type Stream } from "./api";
import { h, replace } from "./dom";
import * as format from "./format";
import { dump, entropyOf } from "./hex";

const PAGE_BYTES = 4096;

export interface Place {
  machine: string;
  boot: string;
  stream: Stream;
  source: number | null;
  /** Of 4 KiB; the neighbours up to `last` can be stepped to. */
  block: number;
  last: number;
}
/** What counts as "after": one write, or the last one of a time. */
export type Moment = { time_ns: number; seq: number } | { time_ns: number; until_ns: number };

function split(writes: BlockWrite[], moment: Moment): [BlockWrite | undefined, BlockWrite | undefined] {
  if ("seq" in moment) return [writes.filter((w) => w.seq < moment.seq).at(-1), writes.find((w) => w.seq >= moment.seq)];
  const later = writes.filter((w) => w.time_ns >= moment.time_ns);
  return [writes.filter((w) => w.time_ns < moment.time_ns).at(-1), later.filter((w) => w.time_ns <= moment.until_ns + 1).at(-1) ?? later[0]];
}

async function bytesOf(write: BlockWrite | undefined): Promise<Uint8Array | null> {
  if (write?.zero) return new Uint8Array(PAGE_BYTES);
  if (!write?.hash) return null;
  try {
    return await getBytes("content", { hash: write.hash, time_ns: write.time_ns });
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

function missing(write: BlockWrite | undefined, before: boolean, memory: boolean): string {
  if (write?.hash) return "The bytes were captured, but the store has them no more: retention has deleted them.";
  if (write?.captured) return "The bytes are still in the collector's journal; they can be shown when its file is closed, some seconds from now.";
  if (write) return "The bytes of this write were not captured.";
  if (!before) return memory ? "Not recorded since." : "Not written since.";
  return memory ? "Not recorded before: neither when it was written nor in a snapshot." : "Not written before while it was watched: what lay here is on the disk's image only.";
}

function side(before: boolean, memory: boolean, write: BlockWrite | undefined, data: Uint8Array | null, other: Uint8Array | null): HTMLElement {
  const where = (w: BlockWrite): string => (memory ? `0x${w.address.toString(16)}` : `LBA ${format.count(w.address)}`);
  const how = (w: BlockWrite): string => (data ? entropyOf(data).toFixed(3) : w.entropy?.toFixed(3) ?? "not known");
  return h("section", {}, h("strong", {}, before ? "Before" : "After"), " ",
    write ? h("span", { class: "faint" }, `${format.time(write.time_ns)} · ${format.bytes(write.length)} at ${where(write)}${write.kind === "memory_page" ? ", in a snapshot" : ""} · entropy ${how(write)}`) : null,
    data ? dump(data, other) : h("p", { class: "faint" }, missing(write, before, memory)));
}

export async function showContent(into: HTMLElement, place: Place, moment: Moment): Promise<void> {
  const memory = place.stream === "memory";
  const step = (to: number): HTMLElement => h("button", { type: "button", disabled: to < 0 || to > place.last, onclick: () => void showContent(into, { ...place, block: to }, "seq" in moment ? { time_ns: moment.time_ns, until_ns: moment.time_ns } : moment) },
    to < place.block ? (memory ? "Page before" : "Block before") : memory ? "Next page" : "Next block");
  const title = h("p", {}, memory ? `Page at 0x${(place.block * PAGE_BYTES).toString(16)} ` : `4 KiB from LBA ${format.count(place.block * 8)} `, step(place.block - 1), " ", step(place.block + 1));
  const waiting = h("p", { class: "faint" }, "Looking through the writes …");
  const mine = (): boolean => into.contains(waiting); // nobody has asked for another place since
  replace(into, title, waiting);
  try {
    const { writes } = await getJson<{ writes: BlockWrite[] }>("block", { machine: place.machine, boot: place.boot, stream: place.stream, source: memory ? null : place.source, block: place.block, time_ns: moment.time_ns });
    const [earlier, later] = split(writes, moment);
    const [was, is] = await Promise.all([bytesOf(earlier), bytesOf(later)]);
    if (mine()) replace(into, title, h("div", { class: "hexes" }, side(true, memory, earlier, was, is), side(false, memory, later, is, was)));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine()) replace(into, title, h("p", { class: "bad" }, error.message));
  }
}
