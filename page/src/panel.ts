// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// One heat map: its tiles, what lies over them, its axis and heading.
import { colourTable, css, isDark, type Palette, type Scale } from "./colour";
import * as format from "./format";
import type { Panel } from "./frame";
import { drawGaps, drawHoles, drawMarks, drawOutside, drawRecords } from "./overlays";
import { LAYER_NAMES, packed, type Sheet } from "./sheet";
import { type Colouring, COLUMNS, type Layer, type Level, type Recording, ROWS, type Tile, type TileStore } from "./tiles";

export interface Look {
  scale: Scale;
  palette: Palette;
  /** Top of the colour scale; null: the highest count in view. */
  max: number | null;
}

export function lookedGrid(layer: Layer): "looked_read" | "looked_write" | "looked_execute" {
  return layer === "reads" ? "looked_read" : layer === "executes" ? "looked_execute" : "looked_write";
}

function drawTile(sheet: Sheet, panel: Panel, tile: Tile, image: HTMLCanvasElement | null): void {
  if (!image) return;
  const { c, frame } = sheet;
  c.imageSmoothingEnabled = false;
  // Only the part in view: the rest may lie millions of pixels outside.
  const v = frame.view;
  const cellT = 2 ** tile.level.time;
  const cellB = 2 ** tile.level.block;
  const c0 = Math.max(0, Math.floor((v.t0 - tile.t0) / cellT));
  const c1 = Math.min(COLUMNS, Math.ceil((v.t1 - tile.t0) / cellT));
  const r0 = Math.max(0, Math.floor((v.b0 - tile.b0) / cellB));
  const r1 = Math.min(ROWS, Math.ceil((v.b1 - tile.b0) / cellB));
  if (c0 >= c1 || r0 >= r1) return;
  const x0 = frame.x(tile.t0 + c0 * cellT);
  const x1 = frame.x(tile.t0 + c1 * cellT);
  const y0 = frame.y(panel, tile.b0 + r1 * cellB);
  const y1 = frame.y(panel, tile.b0 + r0 * cellB);
  c.drawImage(image, c0, ROWS - r1, c1 - c0, r1 - r0, x0, y0, x1 - x0, y1 - y0);
}

function clearUnder({ c, frame, colours }: Sheet, panel: Panel, tile: Tile): void {
  const x = frame.x(tile.t0);
  const y = frame.y(panel, tile.b1);
  c.fillStyle = colours.ground;
  c.fillRect(x, y, frame.x(tile.t1) - x, frame.y(panel, tile.b0) - y);
}

/** How it was coloured, and the number of tiles that were there. */
function drawTiles(sheet: Sheet, panel: Panel, level: Level, store: TileStore, recording: Recording | null, look: Look): { colouring: Colouring; tiles: number } {
  const plain: Colouring = { table: colourTable(look.palette, isDark()), max: 1, scale: look.scale, unknown: packed(sheet.colours.unknown) };
  if (!recording) return { colouring: plain, tiles: 0 };
  const v = sheet.frame.view;
  const { tiles, complete } = store.visible(recording, level, v.t0, v.t1, v.b0, v.b1);
  const colouring = { ...plain, max: look.max ?? Math.max(1, ...tiles.map((tile) => tile.peak(panel.layer))) };
  if (!complete)
    for (const tile of store.meanwhile(recording, level, v.t0, v.t1, v.b0, v.b1)) drawTile(sheet, panel, tile, tile.paint(panel.layer, { ...colouring, max: look.max ?? Math.max(1, tile.peak(panel.layer)) }));
  for (const tile of tiles) {
    if (!complete) clearUnder(sheet, panel, tile);
    if (sheet.memory) drawTile(sheet, panel, tile, tile.veil(lookedGrid(panel.layer), packed(sheet.colours.unlooked)));
    drawTile(sheet, panel, tile, tile.paint(panel.layer, colouring));
  }
  return { colouring, tiles: tiles.length };
}

function drawAddressAxis({ c, frame, colours, memory }: Sheet, panel: Panel): void {
  c.textAlign = "right";
  c.fillStyle = colours.faint;
  c.strokeStyle = colours.line;
  for (const tick of format.offsetTicks(frame.view.b0, frame.view.b1, Math.max(2, panel.h / 34), 4096, memory)) {
    const y = Math.round(frame.y(panel, tick.at)) + 0.5;
    c.beginPath();
    c.moveTo(panel.x - 4, y);
    c.lineTo(panel.x, y);
    c.stroke();
    c.fillText(tick.label, panel.x - 7, y);
  }
}

function drawHeading({ c, colours, memory }: Sheet, panel: Panel, level: Level, how: Colouring, fixed: boolean): void {
  const y = panel.y - 8;
  c.textAlign = "left";
  c.fillStyle = colours.text;
  c.font = "600 11px system-ui, sans-serif";
  c.fillText(LAYER_NAMES[panel.layer], panel.x, y);
  const name = c.measureText(LAYER_NAMES[panel.layer]).width;
  c.font = "11px system-ui, sans-serif";
  c.fillStyle = colours.faint;
  const entropy = panel.layer === "entropy";
  c.fillText(`cell ${format.span(2 ** level.time)} × ${format.bytes(4096 * 2 ** level.block)}${entropy ? "" : memory ? ", page accesses" : ", 4 KiB blocks"}`, panel.x + name + 10, y);
  const width = 110;
  const x = panel.x + panel.w - width - 46;
  for (let i = 0; i < width; i++) {
    c.fillStyle = css(how.table[Math.round((i / (width - 1)) * 255)]!);
    c.fillRect(x + i, y - 4, 1, 8);
  }
  c.fillStyle = colours.faint;
  c.textAlign = "right";
  c.fillText(!entropy && how.scale === "log" ? "1" : "0", x - 4, y);
  c.textAlign = "left";
  c.fillText(entropy ? "1" : `${fixed ? "≥ " : ""}${format.count(how.max)}`, x + width + 4, y);
}

/** What was drawn where, for tests and for those who read the canvas back. */
export function drawPanel(sheet: Sheet, panel: Panel, level: Level, store: TileStore, recording: Recording | null, look: Look): object {
  const { c, colours } = sheet;
  c.save();
  c.beginPath();
  c.rect(panel.x, panel.y, panel.w, panel.h);
  c.clip();
  c.fillStyle = colours.ground;
  c.fillRect(panel.x, panel.y, panel.w, panel.h);
  const { colouring, tiles } = drawTiles(sheet, panel, level, store, recording, look);
  drawRecords(sheet, panel);
  drawOutside(sheet, panel);
  drawGaps(sheet, panel);
  if (sheet.memory) drawHoles(sheet, panel);
  else drawMarks(sheet, panel);
  c.restore();
  c.strokeStyle = colours.line;
  c.lineWidth = 1;
  c.strokeRect(panel.x - 0.5, panel.y - 0.5, panel.w + 1, panel.h + 1);
  drawAddressAxis(sheet, panel);
  drawHeading(sheet, panel, level, colouring, look.max !== null);
  return { layer: panel.layer, x: panel.x, y: panel.y, w: panel.w, h: panel.h, ...sheet.frame.view, time: level.time, block: level.block, max: colouring.max, scale: colouring.scale, tiles, ground: colours.ground,
    table: Array.from(colouring.table, css) };
}
