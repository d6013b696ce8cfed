"""What one entry costs as the ledger grows, from ten thousand to ten million entries, on SQLite.

Entries of 300 bytes are appended in batches of 1,000; at each size of `SIZES` the mean of the last
tenth is taken, in process CPU seconds and in time on the clock, and the bytes of the file. The
figures are drawn to `var/bench-growth.svg`. `ZHENGLIAN_BENCH_GROWTH` sets the largest size.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers import BATCH, ENTRY_BYTES, _draft, _open

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
LARGEST = int(os.environ.get("ZHENGLIAN_BENCH_GROWTH", SIZES[-1]))
OUT = Path("var/bench-growth.svg")
MOST = 1.5
"""By how much the CPU cost at the largest size may exceed that at the smallest."""
_WIDTH, _HEIGHT, _EDGE = 640, 360, 60


class Point(NamedTuple):
    """At `size` entries: microseconds an entry of CPU and on the clock, and bytes on disk."""

    size: int
    cpu: float
    wall: float
    stored: float


def bench() -> list[dict[str, Any]]:
    points = measure()
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(draw(points), encoding="utf-8")
    first, last = points[0], points[-1]
    rows = [
        _row(f"SQLite: an entry at {each.size:,} entries, on the clock", each.wall, None)
        for each in points[1:-1]
    ]
    return [
        *rows,
        _row(
            f"SQLite: CPU of an entry at {last.size:,} entries; raw: at {first.size:,}",
            last.cpu,
            first.cpu,
        ),
        {
            "name": f"bytes on disk an entry of {ENTRY_BYTES} bytes, at {last.size:,}",
            "value": last.stored,
            "unit": "bytes",
            "raw": ENTRY_BYTES,
            "ratio": last.stored / ENTRY_BYTES,
            "bound": None,
            "holds": None,
        },
    ]


def _row(name: str, value: float, raw: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": "µs",
        "raw": raw,
        "ratio": raw and value / raw,
        "bound": raw and f"≤ {MOST:g} of raw",
        "holds": raw and value / raw <= MOST,
    }


def measure() -> list[Point]:
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as folder:
        path = Path(folder) / "ledger.db"
        with _open(path) as ledger:
            size = 0
            for target in (each for each in SIZES if each <= LARGEST):
                last = target - max(BATCH, target // 10)
                while size < target:
                    if size <= last:
                        cpu, wall, began = time.process_time(), time.perf_counter(), size
                    ledger.append([_draft(i) for i in range(size, size + BATCH)])
                    size += BATCH
                count = size - began
                points.append(
                    Point(
                        size,
                        (time.process_time() - cpu) / count * 1e6,
                        (time.perf_counter() - wall) / count * 1e6,
                        _stored(Path(folder)) / size,
                    )
                )
                sys.stderr.write(f"  {size:,}: {points[-1].wall:.1f} µs\n")
            ledger.store.close()
    return points


def _stored(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix == ".db")


def draw(points: list[Point]) -> str:
    """Both costs over the size, sizes on a logarithmic scale."""
    most = max(max(p.cpu, p.wall) for p in points) * 1.15
    step = (_WIDTH - 2 * _EDGE) / max(1, len(points) - 1)

    def x(i: int) -> float:
        return _EDGE + i * step

    def y(value: float) -> float:
        return _HEIGHT - _EDGE - value / most * (_HEIGHT - 2 * _EDGE)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        "<style>text {font: 12px sans-serif}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_EDGE}" y="24">每条目成本（微秒） cost of an entry, µs</text>',
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 20}" text-anchor="end">账本条目 entries</text>',
        "<style>path, polyline {fill: none; stroke-width: 2} path {stroke: black}</style>",
        f'<path d="M{_EDGE},{_EDGE}V{_HEIGHT - _EDGE}H{_WIDTH - _EDGE}"/>',
    ]
    for name, colour, values, beside, row in (
        ("钟表时间 on the clock", "#b03a2e", [p.wall for p in points], -6, 44),
        ("处理器 CPU", "#1f618d", [p.cpu for p in points], 16, 58),
    ):
        line = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values))
        parts.append(f'<polyline points="{line}" stroke="{colour}"/>')
        parts.extend(
            f'<text x="{x(i):.1f}" y="{y(v) + beside:.1f}" text-anchor="middle" fill="{colour}">'
            f"{v:.0f}</text>"
            for i, v in enumerate(values)
        )
        parts.append(f'<text x="{_WIDTH - 200}" y="{row}" fill="{colour}">{name}</text>')
    parts.extend(
        f'<text x="{x(i):.1f}" y="{_HEIGHT - _EDGE + 20}" text-anchor="middle">{p.size:,}</text>'
        for i, p in enumerate(points)
    )
    return "\n".join([*parts, "</svg>", ""])
