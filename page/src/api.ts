// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What the server says (docs/formats/page-api.md). Times are nanoseconds since 1970 as doubles: exact to 256 ns, which is
// less than any cell; records themselves keep their exact times as BigInt.

export type Stream = "storage" | "memory";

export interface StreamState {
  revision: number;
  changes: [number, number][];
  files: number;
  waiting_files: number;
  rows: number;
  gaps: number;
  lost: number;
  live: boolean;
  capture_off: boolean;
  from_ns?: number;
  to_ns?: number;
}
export interface Disk {
  source: number;
  model: string;
  serial: string;
  capacity_512: number;
}
export interface BootState {
  machine: string;
  boot: string;
  hello: { cpu_backend?: string; sensor_version?: string; capture_mode?: string; policy?: string; start_utc_ns?: number; disks?: Disk[] } | null;
  status: { time_utc_ns?: number; uptime_ns?: number; next_sequence?: number; next_slot?: number; counters?: Record<string, number> } | null;
  storage: StreamState | null;
  memory: StreamState | null;
}
export interface CollectorState {
  counters: Record<string, { value: number; reject: boolean; text: string }>;
  sensors: { machine: string; boot: string; last_heard_ns: number; next_sequence: number; next_slot: number; durable_slot: number }[];
  queues: Record<string, number>;
}
export interface State {
  version: string;
  now_ns: number;
  store: string;
  boots: BootState[];
  problems: string[];
  can_command: boolean;
  collector: CollectorState | null;
}
export interface Mark {
  first_lba: number;
  end_lba: number;
  name: string;
  from: string;
}
export interface SourceFacts {
  source: number;
  first_block: number;
  end_block: number;
  dense_first_block: number;
  dense_end_block: number;
  weight: number;
  disk?: Disk | null;
  marks?: Mark[];
}
export interface StreamFacts {
  revision: number;
  rows: number;
  sources: SourceFacts[];
  waiting_files: number;
  gaps: [number, number, number][];
  off: [number, number][];
  ram: [number, number][];
  looked_cut: boolean;
  from_ns?: number;
  to_ns?: number;
}
export interface Alert {
  "@timestamp": string;
  message?: string;
  undercroft: {
    id: string;
    state: string;
    machine: string;
    boot: string;
    source: number;
    first_evidence_ns: number;
    alert_ns: number;
    until_ns: number;
    probability: number;
    highest_probability: number;
    threshold: number;
    windows?: number;
    model?: { name?: string; kind?: string; track?: string; trained_on?: unknown };
    reasons?: { feature: string; window_s: number; value: number | null; log_odds: number }[];
    extents?: { lba: number; sectors: number; writes: number; bytes: number }[];
    extents_left_out?: number;
    bytes_written?: number;
    response?: { policy: string; result: string } | null;
    acknowledged?: { by: string; note: string } | null;
  };
}
export interface BlockWrite {
  time_ns: number;
  seq: number;
  address: number;
  length: number;
  kind: string;
  entropy: number | null;
  /** The store has the bytes, or will when the journal's segment is closed. */
  captured: boolean;
  zero: boolean;
  hash: string | null;
}
export interface WrittenPage {
  address: number;
  time_ns: number;
  seq: number;
  entropy: number | null;
  writes: number;
  captured: boolean;
}
export interface WrittenPages {
  pages: WrittenPage[];
  page_count: number;
  writes: number;
  cut: boolean;
  looked: boolean;
}

export class Problem extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

type Parameters = Record<string, string | number | null | undefined>;

function target(path: string, parameters: Parameters): string {
  const query = Object.entries(parameters)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(typeof value === "number" ? whole(value) : String(value))}`);
  return `/api/${path}${query.length ? `?${query.join("&")}` : ""}`;
}

/** A double as the server wants whole numbers: never in the form 1e21. */
export function whole(value: number): string {
  return BigInt(Math.round(value)).toString();
}

async function get(path: string, parameters: Parameters, signal?: AbortSignal): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(target(path, parameters), signal ? { signal } : {});
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "the server does not answer");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) location.reload();
  const said = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new Problem(answer.status, said.error ?? `the server said ${answer.status}`);
}

export async function getJson<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  return (await (await get(path, parameters, signal)).json()) as T;
}

export async function getBytes(path: string, parameters: Parameters): Promise<Uint8Array> {
  return new Uint8Array(await (await get(path, parameters)).arrayBuffer());
}

export async function command(body: object): Promise<{ done: boolean; memory?: unknown }> {
  const answer = await fetch("/api/control", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const said = (await answer.json()) as { error?: string; done: boolean };
  if (!answer.ok) throw new Problem(answer.status, said.error ?? `the server said ${answer.status}`);
  return said;
}

const TYPES = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, u64: BigUint64Array, i64: BigInt64Array, f32: Float32Array, f64: Float64Array };
export type Column = Uint8Array | Uint16Array | Uint32Array | BigUint64Array | BigInt64Array | Float32Array | Float64Array;

export class Columns {
  constructor(readonly about: Record<string, unknown>, private readonly all: Map<string, Column>) {}
  numbers(name: string): Float32Array | Uint32Array | Uint16Array | Uint8Array {
    const found = this.all.get(name);
    return found && !(found instanceof BigInt64Array) && !(found instanceof BigUint64Array) && !(found instanceof Float64Array) ? found : new Float32Array();
  }
  wide(name: string): BigInt64Array | BigUint64Array {
    const found = this.all.get(name);
    return found instanceof BigInt64Array || found instanceof BigUint64Array ? found : new BigInt64Array();
  }
  /** A grid that came whole, sparse or not at all. */
  grid(name: string, cells: number): Float32Array | null {
    const dense = this.all.get(name);
    if (dense instanceof Float32Array) return dense;
    const places = this.all.get(`${name}.index`);
    const values = this.all.get(`${name}.value`);
    if (!(places instanceof Uint32Array) || !(values instanceof Float32Array)) return null;
    const grid = new Float32Array(cells);
    for (let i = 0; i < places.length; i++) grid[places[i]!] = values[i]!;
    return grid;
  }
}

export async function getColumns(path: string, parameters: Parameters, signal?: AbortSignal): Promise<Columns> {
  const buffer = await (await get(path, parameters, signal)).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as Record<string, unknown>;
  const all = new Map<string, Column>();
  for (const column of about["columns"] as { name: string; type: keyof typeof TYPES; offset: number; items: number }[])
    all.set(column.name, new TYPES[column.type](buffer, 4 + length + column.offset, column.items));
  return new Columns(about, all);
}
