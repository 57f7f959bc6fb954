// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// The cells of a drawing as numbers: the one under the pointer, and all in view for export.
import type { Frame } from "./frame";
import { lookedGrid } from "./panel";
import { COLUMNS, type Layer, type Recording, ROWS, type Tile, type TileStore } from "./tiles";

export interface Counts {
  reads: number;
  writes: number;
  executes: number;
  /** Mean of the writes whose entropy is known. */
  entropy: number | null;
}
export interface Cell extends Counts {
  layer: Layer;
  t0: number;
  t1: number;
  b0: number;
  b1: number;
  /** Memory: share that the monitor looked at. */
  looked: number | null;
}
export interface PlacedCounts extends Counts {
  t: number;
  b: number;
  cellT: number;
  cellB: number;
}

function countsOf(tile: Tile, column: number, row: number): Counts {
  const known = tile.value("entropy_count", column, row);
  return { reads: tile.value("reads", column, row), writes: tile.value("writes", column, row), executes: tile.value("executes", column, row), entropy: known > 0 ? tile.value("entropy_sum", column, row) / known : null };
}

export function cellAt(frame: Frame, store: TileStore, recording: Recording, x: number, y: number): Cell | null {
  const panel = frame.panelAt(x, y);
  if (!panel) return null;
  const level = frame.level();
  const [cellT, cellB] = [2 ** level.time, 2 ** level.block];
  const column = Math.floor(frame.t(x) / cellT);
  const row = Math.floor(frame.block(panel, y) / cellB);
  const tile = store.visible(recording, level, column * cellT, (column + 1) * cellT, row * cellB, (row + 1) * cellB).tiles[0];
  if (!tile) return null;
  const [cx, cy] = [column - tile.column * COLUMNS, row - tile.row * ROWS];
  return { layer: panel.layer, t0: column * cellT, t1: (column + 1) * cellT, b0: row * cellB, b1: (row + 1) * cellB, ...countsOf(tile, cx, cy), looked: recording.stream === "memory" ? tile.value(lookedGrid(panel.layer), cx, cy) : null };
}

/** The cells in view that have something, as far as their tiles are there. */
export function* cellsIn(frame: Frame, store: TileStore, recording: Recording): Generator<PlacedCounts> {
  const level = frame.level();
  const [cellT, cellB] = [2 ** level.time, 2 ** level.block];
  const v = frame.view;
  for (const tile of store.visible(recording, level, v.t0, v.t1, v.b0, v.b1).tiles)
    for (let row = 0; row < ROWS; row++)
      for (let column = 0; column < COLUMNS; column++) {
        const [t, b] = [tile.t0 + column * cellT, tile.b0 + row * cellB];
        if (t + cellT <= v.t0 || t >= v.t1 || b + cellB <= v.b0 || b >= v.b1) continue;
        const counts = countsOf(tile, column, row);
        if (counts.reads !== 0 || counts.writes !== 0 || counts.executes !== 0) yield { t, b, cellT, cellB, ...counts };
      }
}
