// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// A drawing as SVG.
import type { PlacedCounts } from "./cells";
import { colourTable, css, isDark, share } from "./colour";
import * as format from "./format";
import { LEFT, type Panel } from "./frame";
import type { Look } from "./panel";
import { LAYER_NAMES, type Sheet } from "./sheet";

function text(x: number, y: number, what: string, anchor: string, colour: string, weight = 400): string {
  const escaped = what.replace(/[&<>]/g, (s) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[s]!);
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-weight="${weight}" fill="${colour}">${escaped}</text>`;
}

function rectangle(x: number, y: number, w: number, h: number, rest: string): string {
  return `<rect x="${x.toFixed(2)}" y="${y.toFixed(2)}" width="${w.toFixed(2)}" height="${h.toFixed(2)}" ${rest}/>`;
}

function panelSvg({ frame, colours, facts, memory }: Sheet, panel: Panel, number: number, cells: PlacedCounts[], look: Look): string[] {
  const out: string[] = [];
  const table = colourTable(look.palette, isDark());
  const of = (cell: PlacedCounts): number => (panel.layer === "entropy" ? cell.writes : cell[panel.layer]);
  const max = look.max ?? cells.reduce((peak, cell) => Math.max(peak, of(cell)), 1);
  out.push(`<clipPath id="p${number}">${rectangle(panel.x, panel.y, panel.w, panel.h, "")}</clipPath>`, rectangle(panel.x, panel.y, panel.w, panel.h, `fill="${colours.ground}" stroke="${colours.line}"`),
    `<g clip-path="url(#p${number})" shape-rendering="crispEdges">`);
  for (const cell of cells) {
    if (of(cell) === 0) continue;
    const place = panel.layer === "entropy" ? cell.entropy : share(of(cell), max, look.scale);
    const [x0, x1, y0, y1] = [frame.x(cell.t), frame.x(cell.t + cell.cellT), frame.y(panel, cell.b + cell.cellB), frame.y(panel, cell.b)];
    out.push(rectangle(x0, y0, x1 - x0, y1 - y0, `fill="${place === null ? colours.unknown : css(table[Math.round(place * 255)]!)}"`));
  }
  for (const [from, to] of facts?.gaps ?? [])
    if (from < frame.view.t1 && to > frame.view.t0) out.push(rectangle(frame.x(from), panel.y, Math.max(2, frame.x(to) - frame.x(from)), panel.h, `fill="${colours.alert}" fill-opacity="0.25"`));
  out.push("</g>", text(panel.x, panel.y - 4, LAYER_NAMES[panel.layer], "start", colours.text, 600));
  for (const tick of format.offsetTicks(frame.view.b0, frame.view.b1, Math.max(2, panel.h / 34), 4096, memory)) out.push(text(panel.x - 6, frame.y(panel, tick.at) + 4, tick.label, "end", colours.faint));
  return out;
}

export function svgOf(sheet: Sheet, cells: PlacedCounts[], look: Look): string {
  const { frame, colours } = sheet;
  const out = frame.panels.flatMap((panel, i) => panelSvg(sheet, panel, i, cells, look));
  for (const tick of format.timeTicks(frame.view.t0, frame.view.t1, Math.max(2, (frame.width - LEFT) / 110))) out.push(text(frame.x(tick.at), frame.height - 8, tick.label, "middle", colours.faint));
  const size = `width="${frame.width}" height="${frame.height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${frame.width} ${frame.height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="${colours.page}"/>${out.join("")}</svg>`;
}
