# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
"""A line chart with two vertical axes as SVG."""
from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 480, 90, 90, 60, 70
COLOURS = ("#2347b8", "#b01e66", "#0b7a5a", "#c2560c")


@dataclass(frozen=True)
class Series:
    name: str
    points: list[tuple[float, float]]
    left: bool  # of the left axis (solid line) or of the right one (dashed)


def nice_ticks(most: float) -> list[float]:
    """0 and multiples of 1, 2 or 5 times a power of ten, up to the first one at or above `most`."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10 ** math.floor(math.log10(most / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * 5 >= most)
    return [step * k for k in range(math.ceil(most / step - 1e-9) + 1)]


@dataclass(frozen=True)
class Chart:
    title: str
    x_title: str
    series: list[Series]
    left_title: str = "pages observed per second"
    right_title: str = "STREAM (s)"

    def svg(self) -> str:
        xs = sorted({x for one in self.series for x, _ in one.points})
        ticks = {left: nice_ticks(max((y for one in self.series if one.left == left for _, y in one.points), default=0.0)) for left in (True, False)}
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13">',
                 f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
                 f'<text x="{LEFT}" y="26" font-size="17" font-weight="bold">{escape(self.title)}</text>']
        parts += self._axes(xs, ticks)
        for number, one in enumerate(self.series):
            parts += self._line(one, number, xs, ticks[one.left])
        return "\n".join([*parts, "</svg>"]) + "\n"

    @staticmethod
    def _x(xs: list[float], x: float) -> float:
        """Settings stand at equal distances."""
        return LEFT + (xs.index(x) + 0.5) / max(len(xs), 1) * (WIDTH - LEFT - RIGHT)

    @staticmethod
    def _y(ticks: list[float], y: float) -> float:
        return HEIGHT - BOTTOM - y / ticks[-1] * (HEIGHT - TOP - BOTTOM)

    def _axes(self, xs: list[float], ticks: dict[bool, list[float]]) -> list[str]:
        low, high = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = [f'<rect x="{LEFT}" y="{TOP}" width="{high - LEFT}" height="{low - TOP}" fill="none" stroke="#222"/>']
        for left, side, anchor in ((True, LEFT - 8, "end"), (False, high + 8, "start")):
            for tick in ticks[left]:
                y = self._y(ticks[left], tick)
                if left:
                    parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{high}" y2="{y:.1f}" stroke="#ddd"/>')
                parts.append(f'<text x="{side}" y="{y + 4:.1f}" text-anchor="{anchor}">{tick:,g}</text>')
        parts += [f'<text x="{self._x(xs, x):.1f}" y="{low + 18}" text-anchor="middle">{x:g}</text>' for x in xs]
        middle = (TOP + low) / 2
        parts.append(f'<text x="{(LEFT + high) / 2}" y="{low + 38}" text-anchor="middle">{escape(self.x_title)}</text>')
        for x, title in ((18, self.left_title), (WIDTH - 12, self.right_title)):
            parts.append(f'<text x="{x}" y="{middle}" text-anchor="middle" transform="rotate(-90 {x} {middle})">{escape(title)}</text>')
        return parts

    def _line(self, one: Series, number: int, xs: list[float], ticks: list[float]) -> list[str]:
        if not one.points:
            return []
        colour, dash = COLOURS[number // 2 % len(COLOURS)], "" if one.left else ' stroke-dasharray="6 4"'
        places = [(self._x(xs, x), self._y(ticks, y)) for x, y in one.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        label_x, label_y = LEFT + 10 + (number // 2) * 190, HEIGHT - 24 + (0 if one.left else 16)
        return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>',
                *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places),
                f'<line x1="{label_x}" y1="{label_y - 4}" x2="{label_x + 24}" y2="{label_y - 4}" stroke="{colour}" stroke-width="2"{dash}/>',
                f'<text x="{label_x + 30}" y="{label_y}">{escape(one.name)}</text>']
