// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Bytes as an analyst reads them.
import { h } from "./dom";

/** Shannon's, 0 to 1. */
export function entropyOf(data: Uint8Array): number {
  const counts = new Array<number>(256).fill(0);
  for (const byte of data) counts[byte]!++;
  let bits = 0;
  for (const n of counts) if (n > 0) bits -= (n / data.length) * Math.log2(n / data.length);
  return bits / 8;
}

/** 16 bytes a line; bytes that differ from `other` are marked. */
export function dump(data: Uint8Array, other: Uint8Array | null): HTMLElement {
  const lines: Node[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const line = h("div", {}, `${at.toString(16).padStart(4, "0")}  `);
    let text = "";
    for (let i = at; i < Math.min(at + 16, data.length); i++) {
      const byte = data[i]!;
      const shown = `${byte.toString(16).padStart(2, "0")}${i % 8 === 7 ? "  " : " "}`;
      line.append(other && other[i] !== byte ? h("b", {}, shown) : shown);
      text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·";
    }
    line.append(text);
    lines.push(line);
  }
  return h("div", { class: "hex", tabindex: 0, role: "region", "aria-label": "bytes in hexadecimal" }, lines);
}
