// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Colour scales. Each rises in lightness only, in equal steps of Oklab, so that it is fair to every eye and reads in grey.

export type Rgb = [number, number, number];
export type Scale = "log" | "linear";
export type Palette = "heat" | "viridis" | "grey";

interface Corner {
  at: number;
  lightness: number;
  chroma: number;
  hue: number;
}

/** That of the pictures of `undercroft heatmap`: blue over violet to red. */
const HEAT: Corner[] = [
  { at: 0, lightness: 0.38, chroma: 0.19, hue: 263 },
  { at: 0.3, lightness: 0.44, chroma: 0.21, hue: 292 },
  { at: 0.55, lightness: 0.51, chroma: 0.215, hue: 328 },
  { at: 0.8, lightness: 0.58, chroma: 0.225, hue: 370 },
  { at: 1, lightness: 0.64, chroma: 0.245, hue: 389 },
];
const HEAT_DARK: Corner[] = HEAT.map((c, i) => ({ ...c, lightness: 0.5 + 0.085 * i, chroma: c.chroma * (i > 2 ? 0.85 : 1), hue: c.hue + (i > 2 ? 12 * (i - 2) : 0) }));
const VIRIDIS: Corner[] = [
  { at: 0, lightness: 0.3, chroma: 0.13, hue: 305 },
  { at: 0.35, lightness: 0.46, chroma: 0.1, hue: 250 },
  { at: 0.6, lightness: 0.6, chroma: 0.11, hue: 185 },
  { at: 0.8, lightness: 0.75, chroma: 0.17, hue: 145 },
  { at: 1, lightness: 0.88, chroma: 0.18, hue: 105 },
];
const GREY: Corner[] = [
  { at: 0, lightness: 0.35, chroma: 0, hue: 0 },
  { at: 1, lightness: 0.95, chroma: 0, hue: 0 },
];
const GREY_LIGHT: Corner[] = [
  { at: 0, lightness: 0.82, chroma: 0, hue: 0 },
  { at: 1, lightness: 0.15, chroma: 0, hue: 0 },
];

const encode = (x: number): number => {
  const c = Math.min(1, Math.max(0, x));
  return c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055;
};
const decode = (x: number): number => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);

function toSrgb(l0: number, a: number, b: number): Rgb {
  const l = (l0 + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (l0 - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (l0 - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encode(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function toOklab([r0, g0, b0]: Rgb): Rgb {
  const [r, g, b] = [decode(r0), decode(g0), decode(b0)];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
}

function pathAt(corners: Corner[], at: number): Rgb {
  const next = Math.max(1, corners.findIndex((c, i) => i > 0 && (c.at >= at || i === corners.length - 1)));
  const from = corners[next - 1]!;
  const to = corners[next]!;
  const t = (at - from.at) / (to.at - from.at);
  const mix = (a: number, b: number): number => a + (b - a) * t;
  const hue = (mix(from.hue, to.hue) * Math.PI) / 180;
  const chroma = mix(from.chroma, to.chroma);
  return toSrgb(mix(from.lightness, to.lightness), chroma * Math.cos(hue), chroma * Math.sin(hue));
}

/** 256 colours as 0xAABBGGRR, the order of ImageData on little-endian machines. */
function makeTable(corners: Corner[]): Uint32Array {
  const fine = 4096;
  const length = new Float64Array(fine + 1);
  let before = toOklab(pathAt(corners, 0));
  for (let i = 1; i <= fine; i++) {
    const here = toOklab(pathAt(corners, i / fine));
    length[i] = length[i - 1]! + Math.hypot(here[0] - before[0], here[1] - before[1], here[2] - before[2]);
    before = here;
  }
  const table = new Uint32Array(256);
  let at = 0;
  for (let k = 0; k < 256; k++) {
    while (at < fine && length[at]! < (length[fine]! * k) / 255) at++;
    const [r, g, b] = pathAt(corners, at / fine);
    table[k] = ((255 << 24) | (Math.round(b * 255) << 16) | (Math.round(g * 255) << 8) | Math.round(r * 255)) >>> 0;
  }
  return table;
}

const tables = new Map<string, Uint32Array>();

export function colourTable(palette: Palette, dark: boolean): Uint32Array {
  const key = `${palette}${dark}`;
  let table = tables.get(key);
  if (!table) {
    table = makeTable(palette === "viridis" ? VIRIDIS : palette === "grey" ? (dark ? GREY : GREY_LIGHT) : dark ? HEAT_DARK : HEAT);
    tables.set(key, table);
  }
  return table;
}

/** Place of a count > 0 on the scale, 0 to 1: as `undercroft heatmap` has it. */
export function share(value: number, max: number, scale: Scale): number {
  if (value >= max) return 1;
  return scale === "log" ? Math.log(Math.max(value, 1)) / Math.log(max) : value / max;
}

export function css(packed: number): string {
  return `rgb(${packed & 255} ${(packed >>> 8) & 255} ${(packed >>> 16) & 255})`;
}

export function isDark(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
