// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Tiles of counts: fetched when they come into view, kept as long as memory allows, coloured when they are drawn.
import { Columns, getColumns, Problem, type Stream } from "./api";
import { type Scale, share } from "./colour";

export const COLUMNS = 256;
export const ROWS = 128;
export type Layer = "reads" | "writes" | "executes" | "entropy";

export interface Recording {
  machine: string;
  boot: string;
  stream: Stream;
  source: number | null;
}
/** Cells of 2^time ns by 2^block blocks of 4 KiB. */
export interface Level {
  time: number;
  block: number;
}

export interface Colouring {
  table: Uint32Array;
  max: number;
  scale: Scale;
  unknown: number;
}

const LAYERS = ["reads", "writes", "executes", "entropy_sum", "entropy_count", "looked_read", "looked_write", "looked_execute"] as const;
type Grid = (typeof LAYERS)[number];

interface Painted {
  key: string;
  canvas: HTMLCanvasElement;
}

export class Tile {
  private readonly grids = new Map<Grid, Float32Array>();
  private readonly peaks = new Map<Layer, number>();
  private readonly painted = new Map<string, Painted>();
  version = 0;
  used = 0;
  stale = false;

  constructor(readonly recording: Recording, readonly level: Level, readonly column: number, readonly row: number, columns: Columns) {
    for (const name of LAYERS) {
      const grid = columns.grid(name, COLUMNS * ROWS);
      if (grid) this.grids.set(name, grid);
    }
  }

  get t0(): number {
    return this.column * COLUMNS * 2 ** this.level.time;
  }
  get t1(): number {
    return (this.column + 1) * COLUMNS * 2 ** this.level.time;
  }
  get b0(): number {
    return this.row * ROWS * 2 ** this.level.block;
  }
  get b1(): number {
    return (this.row + 1) * ROWS * 2 ** this.level.block;
  }
  get bytes(): number {
    return this.grids.size * COLUMNS * ROWS * 4 + this.painted.size * COLUMNS * ROWS * 4;
  }

  value(grid: Grid, column: number, row: number): number {
    return this.grids.get(grid)?.[row * COLUMNS + column] ?? 0;
  }
  grid(name: Grid): Float32Array | null {
    return this.grids.get(name) ?? null;
  }

  /** The largest count of the layer. */
  peak(layer: Layer): number {
    let peak = this.peaks.get(layer);
    if (peak === undefined) {
      peak = 0;
      const grid = layer === "entropy" ? null : this.grids.get(layer);
      if (grid) for (let i = 0; i < grid.length; i++) if (grid[i]! > peak) peak = grid[i]!;
      this.peaks.set(layer, peak);
    }
    return peak;
  }

  /** The layer in colours, one pixel a cell, the lowest address at the bottom; null: nothing is in it. */
  paint(layer: Layer, how: Colouring): HTMLCanvasElement | null {
    const key = `${how.max}|${how.scale}|${how.table[200]}|${how.unknown}`;
    const known = this.painted.get(layer);
    if (known?.key === key) return known.canvas;
    const pixels = layer === "entropy" ? this.entropyPixels(how) : this.countPixels(layer, how);
    if (!pixels) return null;
    const canvas = known?.canvas ?? document.createElement("canvas");
    canvas.width = COLUMNS;
    canvas.height = ROWS;
    canvas.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer as ArrayBuffer), COLUMNS, ROWS), 0, 0);
    this.painted.set(layer, { key, canvas });
    return canvas;
  }

  private countPixels(layer: Exclude<Layer, "entropy">, how: Colouring): Uint32Array | null {
    const grid = this.grids.get(layer);
    if (!grid) return null;
    const pixels = new Uint32Array(COLUMNS * ROWS);
    for (let row = 0; row < ROWS; row++)
      for (let column = 0; column < COLUMNS; column++) {
        const value = grid[row * COLUMNS + column]!;
        if (value > 0) pixels[(ROWS - 1 - row) * COLUMNS + column] = how.table[Math.round(share(value, how.max, how.scale) * 255)]!;
      }
    return pixels;
  }

  private entropyPixels(how: Colouring): Uint32Array | null {
    const writes = this.grids.get("writes");
    if (!writes) return null;
    const sums = this.grids.get("entropy_sum");
    const counts = this.grids.get("entropy_count");
    const pixels = new Uint32Array(COLUMNS * ROWS);
    for (let row = 0; row < ROWS; row++)
      for (let column = 0; column < COLUMNS; column++) {
        const at = row * COLUMNS + column;
        if (writes[at] === 0) continue;
        const known = counts?.[at] ?? 0;
        pixels[(ROWS - 1 - row) * COLUMNS + column] = known > 0 ? how.table[Math.round(Math.min(1, (sums?.[at] ?? 0) / known) * 255)]! : how.unknown;
      }
    return pixels;
  }

  /** How much of each cell the memory monitor did not look at, as a veil; null: it looked everywhere. */
  veil(kind: "looked_read" | "looked_write" | "looked_execute", colour: number): HTMLCanvasElement | null {
    const key = `${kind}|${colour}`;
    const known = this.painted.get(kind);
    if (known?.key === key) return known.canvas;
    const looked = this.grids.get(kind);
    const pixels = new Uint32Array(COLUMNS * ROWS);
    for (let row = 0; row < ROWS; row++)
      for (let column = 0; column < COLUMNS; column++) {
        const hidden = 1 - (looked?.[row * COLUMNS + column] ?? 0);
        pixels[(ROWS - 1 - row) * COLUMNS + column] = ((colour & 0xffffff) | (Math.round(hidden * 255) << 24)) >>> 0;
      }
    const canvas = document.createElement("canvas");
    canvas.width = COLUMNS;
    canvas.height = ROWS;
    canvas.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer as ArrayBuffer), COLUMNS, ROWS), 0, 0);
    this.painted.set(kind, { key, canvas });
    return canvas;
  }
}

/** At most so many bytes of tiles, and so many requests at once; the newest wish first. */
export class TileStore {
  private readonly tiles = new Map<string, Tile>();
  private readonly loading = new Map<string, AbortController>();
  private wanted: { key: string; recording: Recording; level: Level; column: number; row: number }[] = [];
  private clock = 0;
  error: string | null = null;

  constructor(private readonly arrived: () => void, private readonly limit = 192 * 2 ** 20) {}

  private key(r: Recording, l: Level, column: number, row: number): string {
    return `${r.machine}/${r.boot}/${r.stream}/${r.source}/${l.time}/${l.block}/${column}/${row}`;
  }

  get busy(): boolean {
    return this.loading.size > 0 || this.wanted.length > 0;
  }

  /** Tiles of the level over a range: those that are there; the others are on their way afterwards. */
  visible(recording: Recording, level: Level, t0: number, t1: number, b0: number, b1: number): { tiles: Tile[]; complete: boolean } {
    const tiles: Tile[] = [];
    let complete = true;
    const width = COLUMNS * 2 ** level.time;
    const height = ROWS * 2 ** level.block;
    for (let column = Math.max(0, Math.floor(t0 / width)); column * width < t1; column++)
      for (let row = Math.max(0, Math.floor(b0 / height)); row * height < b1; row++) {
        const key = this.key(recording, level, column, row);
        const tile = this.tiles.get(key);
        if (tile) {
          tile.used = ++this.clock;
          tiles.push(tile);
        } else complete = false;
        if ((!tile || tile.stale) && !this.loading.has(key)) this.wanted.push({ key, recording, level, column, row });
      }
    return { tiles, complete };
  }

  /** Tiles of other levels that show something of the range meanwhile, the coarsest first. */
  meanwhile(recording: Recording, level: Level, t0: number, t1: number, b0: number, b1: number): Tile[] {
    const found: Tile[] = [];
    for (const tile of this.tiles.values())
      if ((tile.level.time !== level.time || tile.level.block !== level.block) && tile.recording.boot === recording.boot && tile.recording.machine === recording.machine &&
          tile.recording.stream === recording.stream && tile.recording.source === recording.source && tile.t0 < t1 && tile.t1 > t0 && tile.b0 < b1 && tile.b1 > b0)
        found.push(tile);
    return found.sort((a, b) => b.level.time + b.level.block - a.level.time - a.level.block).slice(-24);
  }

  /** Begins what visible() has wished since the last call; wishes of earlier calls that nobody renewed are dropped. */
  fetchWanted(): void {
    const wishes = new Set(this.wanted.map((wish) => wish.key));
    for (const [key, controller] of this.loading) if (this.loading.size >= 6 && wishes.size > 0 && !wishes.has(key)) controller.abort();
    while (this.loading.size < 6 && this.wanted.length > 0) void this.fetchOne(this.wanted.shift()!);
    this.wanted = [];
  }

  private async fetchOne(wish: { key: string; recording: Recording; level: Level; column: number; row: number }): Promise<void> {
    if (this.loading.has(wish.key)) return;
    const controller = new AbortController();
    this.loading.set(wish.key, controller);
    const { recording: r, level, column, row } = wish;
    try {
      const columns = await getColumns("tile", { machine: r.machine, boot: r.boot, stream: r.stream, source: r.source, time_shift: level.time, block_shift: level.block,
        column: column * COLUMNS, row: row * ROWS, columns: COLUMNS, rows: ROWS }, controller.signal);
      const tile = new Tile(r, level, column, row, columns);
      tile.version = columns.about["revision"] as number;
      tile.used = ++this.clock;
      this.tiles.set(wish.key, tile);
      this.error = null;
      this.makeRoom();
    } catch (error) {
      if (error instanceof Problem) this.error = error.message;
    } finally {
      this.loading.delete(wish.key);
      this.arrived();
    }
  }

  private makeRoom(): void {
    let bytes = 0;
    for (const tile of this.tiles.values()) bytes += tile.bytes;
    if (bytes <= this.limit) return;
    for (const [key, tile] of [...this.tiles].sort((a, b) => a[1].used - b[1].used)) {
      if (bytes <= this.limit * 0.8) break;
      bytes -= tile.bytes;
      this.tiles.delete(key);
    }
  }

  /** What lies behind this time may be new. */
  outdate(boot: string, stream: Stream, fromNs: number): void {
    for (const tile of this.tiles.values())
      if (tile.recording.boot === boot && tile.recording.stream === stream && tile.t1 > fromNs) tile.stale = true;
  }
}
