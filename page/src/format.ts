// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Times, sizes and axes as people read them. All times are UTC.

export function bytes(value: number, digits = 4): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : Number(value.toPrecision(digits))} ${units[unit]}`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
}

export function span(ns: number): string {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${Number((ns / 1e3).toPrecision(3))} µs`;
  if (ns < 1e9) return `${Number((ns / 1e6).toPrecision(3))} ms`;
  const s = ns / 1e9;
  if (s < 90) return `${Number(s.toPrecision(3))} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.round((s % 86400) / 3600)} h`;
}

function two(value: number, digits = 2): string {
  return String(value).padStart(digits, "0");
}

/** "2026-11-22 05:47:03.250"; the exact value of records comes as BigInt. */
export function time(ns: number | bigint, decimals = 3): string {
  const exact = typeof ns === "bigint" ? ns : BigInt(Math.round(ns));
  const date = new Date(Number(exact / 1_000_000n));
  const fraction = two(Number(((exact % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n), 9).slice(0, decimals);
  return `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())} ${clock(date)}${decimals ? `.${fraction}` : ""}`;
}

function clock(date: Date): string {
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}

export interface Tick {
  at: number;
  label: string;
}

function niceStep(length: number, most: number): number {
  const rough = length / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const factor of [1, 2, 5, 10]) if (factor * power >= rough) return factor * power;
  return 10 * power;
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800].map((s) => s * 1e9);

/** Clock times; below a second seconds behind the last full one. */
export function timeTicks(from: number, to: number, most: number): Tick[] {
  const length = to - from;
  const step = length / most < 1e9 ? niceStep(length, most) : TIME_STEPS.find((s) => s >= length / most) ?? niceStep(length, most);
  const ticks: Tick[] = [];
  // Relative to a full second, where doubles are exact enough.
  const origin = Math.floor(from / 1e9) * 1e9;
  const day = step >= 864e11;
  for (let i = Math.ceil((from - origin) / step); origin + i * step <= to && ticks.length < 200; i++) {
    const at = step >= 1e9 ? Math.ceil(from / step + ticks.length) * step : origin + i * step;
    if (at > to) break;
    if (step >= 1e9) {
      const date = new Date(at / 1e6);
      const label = day ? time(at, 0).slice(0, 10) : step % 6e10 === 0 ? clock(date).slice(0, 5) : clock(date);
      ticks.push({ at, label });
    } else {
      const inside = i * step;
      const second = new Date((origin + inside) / 1e6);
      const decimals = Math.min(9, Math.max(1, Math.ceil(-Math.log10(step / 1e9))));
      const fraction = ((inside % 1e9) / 1e9).toFixed(decimals).slice(1);
      ticks.push({ at, label: `${clock(second)}${fraction}` });
    }
  }
  return ticks;
}

/** Byte offsets in binary units, for addresses of `unit` bytes. */
export function offsetTicks(from: number, to: number, most: number, unit: number, hexadecimal: boolean): Tick[] {
  const length = (to - from) * unit;
  let step = 4096;
  while (length / step > most) step *= 2;
  // So many digits that a label is no further from its place than a hundredth of a step.
  const digits = Math.min(12, Math.max(4, Math.ceil(Math.log10(Math.max(to * unit, 1) / step)) + 3));
  const ticks: Tick[] = [];
  for (let at = Math.ceil((from * unit) / step) * step; at <= to * unit && ticks.length < 100; at += step)
    ticks.push({ at: at / unit, label: hexadecimal ? `0x${at.toString(16)}` : bytes(at, digits) });
  return ticks;
}

export function short(id: string): string {
  return id.slice(0, 8);
}
