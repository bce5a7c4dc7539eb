#!/usr/bin/env python3
"""Draws docs/images/nights.svg from docs/images/nights.json: what a repository takes after each night, beside two rivals.

    python3 docs/images/nights.py

The figures are those of docs/performance.md, "Each sample stored once"; a test holds all three together.
"""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 960, 400
TOP, BOTTOM, LEFT, GAP = 92, 346, 64, 250
TOOLS = [("zstd", "tar | zstd -19, each night"), ("restic", "restic, compression max"), ("narthex", "narthex")]

STYLE = """
    text { fill: #1f2328; }
    .dim { fill: #59636e; font-size: 12px; }
    .head { font-weight: 600; }
    .grid { stroke: #d1d9e0; }
    path { fill: none; stroke-width: 2.5; }
    .zstd { stroke: #8c959f; } .restic { stroke: #bc4c00; } .narthex { stroke: #1a7f37; stroke-width: 3.5; }
    text.zstd { fill: #59636e; stroke: none; } text.restic { fill: #bc4c00; stroke: none; }
    text.narthex { fill: #1a7f37; stroke: none; font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .dim { fill: #9198a1; }
      .grid { stroke: #3d444d; }
      .restic { stroke: #f0883e; } .narthex { stroke: #3fb950; }
      text.zstd { fill: #9198a1; } text.restic { fill: #f0883e; } text.narthex { fill: #3fb950; }
    }
"""


def panel(chain, left, width, most):
    """One chain of nights: a line for each tool, its last value at its end."""
    nights = len(chain["narthex"])
    out = [
        f'  <text class="head" x="{left}" y="52">{chain["title"]}</text>',
        f'  <text class="dim" x="{left}" y="72">{chain["subtitle"]}</text>',
    ]

    def place(night, mib):
        x = left + width * night / nights
        return f"{x:.1f} {BOTTOM - (BOTTOM - TOP) * mib / most:.1f}"

    for tick in range(0, int(most) + 1, int(most) // 4):
        y = BOTTOM - (BOTTOM - TOP) * tick / most
        out.append(f'  <path class="grid" style="stroke-width:1" d="M{left} {y:.1f}h{width}"/>')
        out.append(f'  <text class="dim" text-anchor="end" x="{left - 8}" y="{y + 4:.1f}">{tick}</text>')
    for night in range(1, nights + 1):
        out.append(f'  <text class="dim" text-anchor="middle" x="{left + width * night / nights:.1f}" y="{BOTTOM + 20}">{night}</text>')
    out.append(f'  <text class="dim" x="{left}" y="{BOTTOM + 40}">nights, all archives kept; MiB in the repository</text>')
    for tool, label in TOOLS:
        sizes = chain[tool]
        points = " L".join(place(night, mib) for night, mib in enumerate([0, *sizes]))
        x, y = place(nights, sizes[-1]).split()
        out.append(f'  <path class="{tool}" d="M{points}"/>')
        out.append(f'  <text class="{tool}" x="{float(x) + 10:.1f}" y="{float(y) - 3:.1f}">{sizes[-1]} MiB</text>')
        out.append(f'  <text class="dim" x="{float(x) + 10:.1f}" y="{float(y) + 12:.1f}">{label}</text>')
    return out


def main():
    data = json.loads((HERE / "nights.json").read_text())
    first, second = data["chains"]
    width = (WIDTH - 2 * LEFT - 2 * (GAP - 40)) // 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
        ' aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="14">',
        '  <title id="title">Nights of two servers: what each backup adds</title>',
        '  <desc id="desc">' + " ".join(
            f'{chain["title"]}: after {len(chain["narthex"])} nights narthex takes {chain["narthex"][-1]} MiB, restic {chain["restic"][-1]} MiB,'
            f' and a compressed tar of each night {chain["zstd"][-1]} MiB.' for chain in data["chains"]
        ) + "</desc>",
        f"  <style>{STYLE}  </style>",
        '  <text class="head" font-size="16" x="24" y="24">Every night archived whole, all archives kept</text>',
        *panel(first, LEFT, width, data["most"][0]),
        *panel(second, LEFT + width + GAP, width, data["most"][1]),
        "</svg>",
    ]
    (HERE / "nights.svg").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
