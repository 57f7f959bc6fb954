// Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
// Mouse, pen and keys on a drawing: brush, move, zoom.
import type { Alert } from "./api";
import { type Box, type Frame, LEFT, type View } from "./frame";

const BRUSH_LEAST = 4; // pixels; less is a click
const KEY_STEP = 0.15;
const KEY_ZOOM = 0.6;

export interface Handled {
  canvas: HTMLCanvasElement;
  frame: Frame;
  alerts: Alert[];
  whole(): View;
  setView(view: View, final: boolean): void;
  invalidate(): void;
  hover(x: number, y: number): void;
  leave(): void;
  pick(alert: Alert): void;
}

export class Hands {
  private drag: { x: number; y: number; box: Box; view: View; pan: boolean; now: [number, number] } | null = null;

  constructor(private readonly plot: Handled) {
    const { canvas } = plot;
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", () => this.release());
    canvas.addEventListener("pointercancel", () => (this.drag = null));
    canvas.addEventListener("pointerleave", () => plot.leave());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Zooms around a point; factors above 1 show more. */
  private zoom(time: number, address: number, at?: { t: number; b: number }): void {
    const v = this.plot.frame.view;
    const { t, b } = at ?? { t: (v.t0 + v.t1) / 2, b: (v.b0 + v.b1) / 2 };
    this.plot.setView({ t0: t - (t - v.t0) * time, t1: t + (v.t1 - t) * time, b0: b - (b - v.b0) * address, b1: b + (v.b1 - b) * address }, true);
  }
  private pan(time: number, address: number): void {
    const v = this.plot.frame.view;
    const dt = (v.t1 - v.t0) * time;
    const db = Math.max((v.b1 - v.b0) * address, -v.b0);
    this.plot.setView({ t0: v.t0 + dt, t1: v.t1 + dt, b0: v.b0 + db, b1: v.b1 + db }, true);
  }

  private place(event: MouseEvent): [number, number] {
    const box = this.plot.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  private alertAt(x: number, y: number): Alert | undefined {
    const { frame, alerts } = this.plot;
    if (y < (frame.panels[0]?.y ?? 0)) return undefined;
    return alerts.find((a) => Math.abs(frame.x(a.undercroft.alert_ns) - x) < 6);
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const { frame } = this.plot;
    const [x, y] = this.place(event);
    const panel = frame.panelAt(x, y);
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.pan(event.deltaX / 1200, 0);
      return;
    }
    const factor = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300)));
    const at = { t: frame.t(x), b: panel ? frame.block(panel, y) : frame.view.b0 };
    if (event.shiftKey || event.altKey) this.zoom(1, factor, at);
    else if (event.ctrlKey) this.zoom(factor, panel ? factor : 1, at);
    else this.zoom(factor, 1, at);
  }

  private press(event: PointerEvent): void {
    if (event.button !== 0) return;
    const { frame, canvas } = this.plot;
    const [x, y] = this.place(event);
    const alert = this.alertAt(x, y);
    if (alert) {
      this.plot.pick(alert);
      return;
    }
    const box: Box | undefined = frame.panelAt(x, y) ?? frame.stripAt(x, y);
    if (!box) return;
    canvas.setPointerCapture(event.pointerId);
    this.drag = { x, y, box, view: frame.view, pan: event.shiftKey, now: [x, y] };
  }

  private move(event: PointerEvent): void {
    const [x, y] = this.place(event);
    if (this.drag) {
      const { box } = this.drag;
      this.drag.now = [Math.min(Math.max(x, box.x), box.x + box.w), Math.min(Math.max(y, box.y), box.y + box.h)];
      if (this.drag.pan) {
        const v = this.drag.view;
        const dt = ((this.drag.x - x) / box.w) * (v.t1 - v.t0);
        const db = "layer" in box ? ((y - this.drag.y) / box.h) * (v.b1 - v.b0) : 0;
        this.plot.setView({ t0: v.t0 + dt, t1: v.t1 + dt, b0: v.b0 + db, b1: v.b1 + db }, false);
      }
      this.plot.invalidate();
      return;
    }
    const { canvas, frame } = this.plot;
    canvas.style.cursor = this.alertAt(x, y) ? "pointer" : frame.panelAt(x, y) ? "crosshair" : "default";
    if (x >= LEFT) this.plot.hover(x, y);
    else this.plot.leave();
  }

  private release(): void {
    const drag = this.drag;
    this.drag = null;
    this.plot.invalidate();
    if (!drag) return;
    const { frame } = this.plot;
    if (drag.pan) {
      this.plot.setView(frame.view, true);
      return;
    }
    const [x, y] = drag.now;
    if (Math.abs(x - drag.x) < BRUSH_LEAST) return;
    const heat = "layer" in drag.box && Math.abs(y - drag.y) >= BRUSH_LEAST + 2;
    this.plot.setView({ t0: frame.t(Math.min(x, drag.x)), t1: frame.t(Math.max(x, drag.x)), b0: heat ? frame.block(drag.box, Math.max(y, drag.y)) : frame.view.b0, b1: heat ? frame.block(drag.box, Math.min(y, drag.y)) : frame.view.b1 }, true);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const everything = (): void => this.plot.setView(this.plot.whole(), true);
    const actions: Record<string, () => void> = {
      ArrowLeft: () => this.pan(-KEY_STEP, 0), ArrowRight: () => this.pan(KEY_STEP, 0), ArrowUp: () => this.pan(0, KEY_STEP), ArrowDown: () => this.pan(0, -KEY_STEP),
      "+": () => this.zoom(KEY_ZOOM, 1), "=": () => this.zoom(KEY_ZOOM, 1), "-": () => this.zoom(1 / KEY_ZOOM, 1), "]": () => this.zoom(1, KEY_ZOOM), "[": () => this.zoom(1, 1 / KEY_ZOOM), "0": everything, Home: everything,
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  drawBrush(c: CanvasRenderingContext2D, colour: string): void {
    if (!this.drag || this.drag.pan) return;
    const { x, y, now } = this.drag;
    c.strokeStyle = colour;
    c.lineWidth = 1;
    c.setLineDash([3, 3]);
    c.strokeRect(Math.min(x, now[0]) + 0.5, Math.min(y, now[1]) + 0.5, Math.abs(now[0] - x), Math.abs(now[1] - y));
    c.setLineDash([]);
  }
}
