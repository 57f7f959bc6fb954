// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// What is drawn over the cells: where nothing was looked at, gaps, borders of partitions, single records, alerts.
import * as format from "./format";
import { AXIS, type Box, LEFT, type Panel, RIGHT } from "./frame";
import type { Sheet } from "./sheet";

/** More outlines would hide the colours within. */
const MOST_OUTLINED = 60;

/** Time before the first and behind the last record, and what replay has not come to. */
export function drawOutside({ c, frame, colours, facts, until }: Sheet, panel: Box): void {
  const from = facts?.from_ns;
  const to = until ?? facts?.to_ns;
  if (from === undefined || to === undefined) return;
  const right = panel.x + panel.w;
  c.fillStyle = colours.unlooked;
  if (frame.x(from) > panel.x) c.fillRect(panel.x, panel.y, Math.min(frame.x(from), right) - panel.x, panel.h);
  if (frame.x(to) < right) {
    const x = Math.max(frame.x(to), panel.x);
    c.fillRect(x, panel.y, right - x, panel.h);
  }
  if (until === null) return;
  const x = Math.round(frame.x(until)) + 0.5;
  if (x < panel.x || x > right) return;
  c.strokeStyle = colours.text;
  c.lineWidth = 1;
  c.beginPath();
  c.moveTo(x, panel.y);
  c.lineTo(x, panel.y + panel.h);
  c.stroke();
}

function hatch({ c, frame }: Sheet, panel: Box, t0: number, t1: number, colour: string, backwards: boolean): void {
  const x0 = Math.max(panel.x, frame.x(t0));
  const x1 = Math.min(panel.x + panel.w, Math.max(frame.x(t1), frame.x(t0) + 3));
  if (x1 <= panel.x || x0 >= panel.x + panel.w) return;
  c.save();
  c.beginPath();
  c.rect(x0, panel.y, x1 - x0, panel.h);
  c.clip();
  c.strokeStyle = colour;
  c.lineWidth = 1.2;
  c.beginPath();
  for (let x = x0 - panel.h - (x0 % 6); x < x1 + panel.h; x += 6) {
    c.moveTo(x, backwards ? panel.y : panel.y + panel.h);
    c.lineTo(x + panel.h, backwards ? panel.y + panel.h : panel.y);
  }
  c.stroke();
  c.restore();
}

/** Capture switched off, and records missing. */
export function drawGaps(sheet: Sheet, panel: Box): void {
  const { c, frame, colours, facts } = sheet;
  const end = Math.min(frame.view.t1, sheet.until ?? Infinity);
  for (const [from, to] of facts?.off ?? []) if (from < end && to > frame.view.t0) hatch(sheet, panel, from, Math.min(to, end), colours.hatch, true);
  for (const [from, to] of facts?.gaps ?? []) {
    if (from >= end || to <= frame.view.t0) continue;
    hatch(sheet, panel, from, to, colours.alert, false);
    const x = Math.min(Math.max((frame.x(from) + frame.x(to)) / 2, panel.x + 5), panel.x + panel.w - 5);
    c.fillStyle = colours.alert;
    c.beginPath();
    c.moveTo(x - 5, panel.y);
    c.lineTo(x + 5, panel.y);
    c.lineTo(x, panel.y + 7);
    c.fill();
  }
}

export function drawRecords({ c, frame, colours, records }: Sheet, panel: Panel): void {
  if (records.length > MOST_OUTLINED) return;
  c.strokeStyle = colours.text;
  c.lineWidth = 1;
  const wanted = panel.layer === "entropy" ? "writes" : panel.layer;
  for (const record of records) {
    if (record.layer !== wanted) continue;
    const x = frame.x(record.time);
    const y = frame.y(panel, record.b1);
    c.strokeRect(x - 2.5, y - 0.5, 5, Math.max(3, frame.y(panel, record.b0) - y));
  }
}

/** Where partitions and file systems begin and end. */
export function drawMarks({ c, frame, colours, marks }: Sheet, panel: Box): void {
  c.setLineDash([5, 4]);
  const labels: [number, string][] = [];
  for (const mark of marks)
    for (const [lba, what] of [[mark.first_lba, "begins"], [mark.end_lba, "ends"]] as const) {
      const y = Math.round(frame.y(panel, lba / 8)) + 0.5;
      if (y < panel.y || y > panel.y + panel.h) continue;
      c.strokeStyle = colours.mark;
      c.lineWidth = 1;
      c.beginPath();
      c.moveTo(panel.x, y);
      c.lineTo(panel.x + panel.w, y);
      c.stroke();
      labels.push([y, `${mark.name} ${what}`]);
    }
  c.setLineDash([]);
  c.textAlign = "right";
  c.fillStyle = colours.mark;
  let last = -100;
  for (const [y, text] of labels.sort((a, b) => a[0] - b[0])) {
    if (y - last < 12) continue;
    c.fillText(text, panel.x + panel.w - 6, y + (y < panel.y + 12 ? 8 : -7));
    last = y;
  }
}

/** Addresses that are no RAM. */
export function drawHoles({ c, frame, colours, facts }: Sheet, panel: Box): void {
  const ram = facts?.ram ?? [];
  if (ram.length === 0) return;
  let at = 0;
  for (const [first, end] of [...ram, [Infinity, Infinity] as [number, number]]) {
    const y0 = Math.max(frame.y(panel, first / 4096), panel.y);
    const y1 = Math.min(frame.y(panel, at / 4096), panel.y + panel.h);
    if (y1 > y0) {
      c.fillStyle = colours.page;
      c.fillRect(panel.x, y0, panel.w, y1 - y0);
      if (y1 - y0 > 14) {
        c.fillStyle = colours.faint;
        c.textAlign = "center";
        c.fillText("no RAM", panel.x + panel.w / 2, (y0 + y1) / 2);
      }
    }
    at = end;
  }
}

/** From the first evidence to the alert, over everything. */
export function drawAlerts({ c, frame, colours, alerts }: Sheet): void {
  const top = frame.panels[0]?.y ?? 20;
  const bottom = frame.height - AXIS;
  for (const alert of alerts) {
    const { first_evidence_ns: from, alert_ns: at } = alert.undercroft;
    if (at < frame.view.t0 || from > frame.view.t1) continue;
    const x = Math.round(frame.x(at)) + 0.5;
    c.strokeStyle = colours.alert;
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(x, top);
    c.lineTo(x, bottom);
    c.stroke();
    c.fillStyle = colours.alert;
    c.beginPath();
    c.arc(x, bottom - 1, 5, 0, 7);
    c.fill();
    c.globalAlpha = 0.12;
    c.fillRect(frame.x(from), top, x - frame.x(from), bottom - top);
    c.globalAlpha = 1;
  }
}

export function drawTimeAxis({ c, frame, colours }: Sheet): void {
  const y = frame.height - AXIS + 2;
  const date = `${format.time(frame.view.t0, 0).slice(0, 10)} UTC`;
  c.fillStyle = colours.faint;
  c.strokeStyle = colours.line;
  c.textAlign = "left";
  c.fillText(date, 4, y + 11);
  let free = 4 + c.measureText(date).width + 8; // left of here is text
  c.textAlign = "center";
  for (const tick of format.timeTicks(frame.view.t0, frame.view.t1, Math.max(2, (frame.width - LEFT) / 110))) {
    const x = Math.round(frame.x(tick.at)) + 0.5;
    if (x < LEFT || x > frame.width - RIGHT) continue;
    c.beginPath();
    c.moveTo(x, y - 2);
    c.lineTo(x, y + 3);
    c.stroke();
    const half = c.measureText(tick.label).width / 2;
    const middle = Math.min(x, frame.width - half - 4);
    if (middle - half < free) continue;
    c.fillText(tick.label, middle, y + 11);
    free = middle + half + 8;
  }
}
