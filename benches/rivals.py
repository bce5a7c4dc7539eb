#!/usr/bin/env python3
"""Measures narthex beside its rivals, on the same files, in turns, and prints the table of docs/performance.md.

    cargo build --release
    NARTHEX_CORPUS=DIR python3 benches/rivals.py [--runs 5] [--only NAME]

DIR holds data directories (folders of block directories). Rivals that are not installed are named and left out:
promtool, zstd, tar (Debian packages prometheus, zstd, tar) and pypdu (PyPI). Chains of blocks are best measured one by one.

Wall time is what passed; CPU is user plus system time of the process; anonymous memory is the largest RssAnon seen
while it ran, so mapped pages of the page cache do not count. Each figure is the median of the runs. Pairs are run in
turns, so that whatever else the machine does hits both.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NARTHEX = os.environ.get("NARTHEX", str(ROOT / "target/release/narthex"))
PYPDU = """
import sys, pypdu
print(sum(len(s.samples.as_vector()) for s in pypdu.load(sys.argv[1])))
"""


class Run:
    """One process: wall and CPU seconds, peak anonymous memory in MiB, standard output."""

    def __init__(self, command, shell=False, cores=None):
        started, before = time.monotonic(), os.times()
        if cores:
            command = ["taskset", "-c", cores, *command]
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command] if shell else command,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        peak = [0]
        watcher = threading.Thread(target=self._watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        self.out, err = process.communicate()
        after = os.times()
        self.wall = time.monotonic() - started
        self.cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        watcher.join()
        self.memory = peak[0] / 1024
        if process.returncode not in (0, 3):
            sys.exit(f"{command} ended with {process.returncode}: {err.decode()[-500:]}")

    @staticmethod
    def _watch(pid, peak):
        while True:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            anonymous = [line for line in status.splitlines() if line.startswith("RssAnon")]
            if not anonymous:
                return
            peak[0] = max(peak[0], int(anonymous[0].split()[1]))
            time.sleep(0.002)


def in_turns(runs, **commands):
    """Runs each of `commands` (functions that return a Run) `runs` times in turns."""
    results = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            results[name].append(command())
    return results


def median(results, key):
    return statistics.median(getattr(result, key) for result in results)


def row(what, ours, theirs, ratio, note=""):
    print(f"| {what} | {ours} | {theirs} | {ratio} | {note} |", flush=True)


def mib(path):
    return sum(f.stat().st_size for f in Path(path).rglob("*") if f.is_file()) / 2**20


def compare_verify(args, block, scratch):
    alone = scratch / "one"
    if not alone.exists():
        shutil.copytree(block, alone / block.name)
    samples = int(Run([sys.executable, "-c", PYPDU, str(alone)]).out)
    loop = "for i in 1 2 3 4 5; do {} verify --quiet {} >/dev/null || exit; done"
    results = in_turns(
        args.runs,
        ours=lambda: Run(loop.format(f"{NARTHEX} --threads 1", block), shell=True),
        quick=lambda: Run(loop.format(f"{NARTHEX} --threads 1", f"--quick {block}"), shell=True),
        theirs=lambda: Run([sys.executable, "-c", PYPDU, str(alone)]),
        start=lambda: Run([sys.executable, "-c", "import pypdu"]),
    )
    ours = samples * 5 / median(results["ours"], "cpu") / 1e6
    theirs = samples / (median(results["theirs"], "cpu") - median(results["start"], "cpu")) / 1e6
    row("`verify`, full, one core, against pypdu's decode", f"{ours:.0f} M samples/s", f"{theirs:.1f} M samples/s",
        f"**{ours / theirs:.1f}×**", f"{samples / 1e6:.1f} M samples; CPU time; pypdu checks no checksum")
    quick = mib(block) * 5 / median(results["quick"], "cpu")
    row("`verify --quick`, one core", f"{quick:.0f} MiB/s", "–", "–", "checksums and structure of all files")


def compare_inspect(args, block, scratch):
    alone = scratch / "analyze"
    if not alone.exists():
        shutil.copytree(block, alone / block.name)
    results = in_turns(
        args.runs,
        ours=lambda: Run([NARTHEX, "inspect", str(block)]),
        theirs=lambda: Run(["promtool", "tsdb", "analyze", "--extended", str(alone), block.name]),
    )
    for key, unit, name in (("wall", "s", "time"), ("memory", "MiB", "anonymous memory")):
        ours, theirs = median(results["ours"], key), median(results["theirs"], key)
        row(f"`inspect` against `promtool tsdb analyze --extended`: {name}", f"{ours:.3f} {unit}", f"{theirs:.3f} {unit}",
            f"**{ours / theirs:.2f}**", f"{mib(block):.0f} MiB block")


def compare_backup(args, data, scratch):
    repo, archive, target = scratch / "repo", scratch / "tar.zst", scratch / "restored"
    blocks = " ".join(sorted(p.name for p in data.iterdir() if p.name.startswith("01")))

    def fresh(path):
        shutil.rmtree(path, ignore_errors=True)

    def backup():
        fresh(repo)
        return Run([NARTHEX, "--quiet", "backup", str(data), "--repo", str(repo), "--codec", "portable"])

    def restore():
        fresh(target)
        return Run([NARTHEX, "--quiet", "restore", "latest", "--repo", str(repo), "--target", str(target)])

    def untar():
        fresh(target)
        target.mkdir()
        return Run(f"zstd -q -dc {archive} | tar -x -C {target}", shell=True)

    results = in_turns(
        args.runs,
        ours=backup,
        theirs=lambda: Run(f"tar -c -C {data} {blocks} | zstd -q -T0 -3 -f -o {archive}", shell=True),
    )
    size = mib(data)
    for key, name in (("wall", "time"), ("cpu", "CPU time")):
        ours, theirs = median(results["ours"], key), median(results["theirs"], key)
        row(f"`backup --codec portable` of new blocks, verified, against `tar \\| zstd -T0 -3`: {name}", f"{ours:.2f} s", f"{theirs:.2f} s",
            f"**{ours / theirs:.2f}**", f"{size:.0f} MiB, {len(blocks.split())} blocks")
    row("… stored", f"{mib(repo):.1f} MiB", f"{archive.stat().st_size / 2**20:.1f} MiB",
        f"{mib(repo) * 2**20 / archive.stat().st_size:.2f}", "")
    row("… anonymous memory", f"{median(results['ours'], 'memory'):.0f} MiB", "–", "–", "")
    results = in_turns(args.runs, ours=restore, theirs=untar)
    ours, theirs = median(results["ours"], "wall"), median(results["theirs"], "wall")
    row("`restore` from the portable codec, proved and synced, against `zstd -dc \\| tar x`: time", f"{ours:.2f} s", f"{theirs:.2f} s",
        f"**{ours / theirs:.2f}**", "")
    synced = in_turns(args.runs, ours=restore, theirs=lambda: Run(
        f"rm -rf {target}; mkdir {target}; zstd -q -dc {archive} | tar -x -C {target}; sync -f {target}", shell=True))
    ours, theirs = median(synced["ours"], "wall"), median(synced["theirs"], "wall")
    row("… against `zstd -dc \\| tar x; sync -f`", f"{ours:.2f} s", f"{theirs:.2f} s", f"**{ours / theirs:.2f}**", "")


def compare_dense(args, data, scratch):
    """The dense codec, on one core, against zstd on a tar of the same blocks."""
    repo, target, tar = scratch / "dense", scratch / "dense-restored", scratch / "all.tar"
    best = scratch / "all.19.zst"
    blocks = " ".join(sorted(p.name for p in data.iterdir() if p.name.startswith("01")))
    Run(f"tar -c -C {data} -f {tar} {blocks}; zstd -q -19 --long=27 -T0 -f {tar} -o {best}", shell=True)

    def backup(threads):
        shutil.rmtree(repo, ignore_errors=True)
        return Run([NARTHEX, "--quiet", "--threads", threads, "backup", str(data), "--repo", str(repo)], cores="0" if threads == "1" else None)

    def restore():
        shutil.rmtree(target, ignore_errors=True)
        return Run([NARTHEX, "--quiet", "--threads", "1", "restore", "latest", "--repo", str(repo), "--target", str(target)], cores="0")

    def zstd(level):
        return Run(["zstd", "-q", f"-{level}", "-T1", "-c", str(tar), "-o", "/dev/null", "-f"], cores="0")

    size = mib(data)
    results = in_turns(args.runs, ours=lambda: backup("1"), nine=lambda: zstd(9), three=lambda: zstd(3))
    ours = median(results["ours"], "cpu")
    for level, key in ((9, "nine"), (3, "three")):
        theirs = median(results[key], "cpu")
        row(f"`backup` into the dense codec, proved, one core, against `zstd -{level}`: CPU time", f"{ours:.2f} s", f"{theirs:.2f} s",
            f"**{theirs / ours:.2f}× the speed**", f"{data.parent.name}/{data.name}, {size:.0f} MiB")
    wide = in_turns(args.runs, ours=lambda: backup("2"))
    row("… with two threads: time, anonymous memory", f"{median(wide['ours'], 'wall'):.2f} s, {median(wide['ours'], 'memory'):.0f} MiB", "–", "–", "")
    stored, theirs = mib(repo), best.stat().st_size / 2**20
    row("… stored, against `zstd -19 --long=27`", f"{stored:.2f} MiB", f"{theirs:.2f} MiB", f"**{stored / theirs:.3f}**", f"1/{size / stored:.2f} of the blocks")
    results = in_turns(args.runs, ours=restore, theirs=lambda: Run(["zstd", "-q", "-d", "-T1", "--long=27", "-c", str(best), "-o", "/dev/null", "-f"], cores="0"))
    ours, theirs = median(results["ours"], "cpu"), median(results["theirs"], "cpu")
    row("`restore` from the dense codec, proved, one core, against `zstd -d` of that: CPU time", f"{ours:.2f} s", f"{theirs:.2f} s",
        f"**{theirs / ours:.2f}× the speed**", "")


def unchanged(args, data, scratch):
    """1,000 blocks that are in the repository already: copies of one small block under 1,000 ULIDs."""
    many, repo = scratch / "many", scratch / "many-repo"
    template = min((p for p in data.iterdir() if p.name.startswith("01")), key=mib)
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    if not many.exists():
        for i in range(1000):
            ulid = f"01M7ZT{i // 1024}{digits[i // 32 % 32]}{digits[i % 32]}" + template.name[9:]
            copy = many / ulid
            (copy / "chunks").mkdir(parents=True)
            for name in ("index", "chunks/000001", "tombstones"):
                os.link(template / name, copy / name)
            meta = (template / "meta.json").read_text().replace(template.name, ulid)
            (copy / "meta.json").write_text(meta)
        Run([NARTHEX, "--quiet", "backup", str(many), "--repo", str(repo)])
    results = in_turns(
        args.runs,
        ours=lambda: Run([NARTHEX, "--quiet", "backup", str(many), "--repo", str(repo)]),
        listing=lambda: Run([NARTHEX, "list", str(many)]),
    )
    row("`backup` of 1,000 unchanged blocks", f"{median(results['ours'], 'wall'):.2f} s", "–", "–", "must: below 1 s")
    row("`list` of 1,000 blocks", f"{median(results['listing'], 'wall'):.2f} s", "–", "–", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=os.environ.get("NARTHEX_CORPUS"), help="folder of data directories")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="verify, inspect, backup, dense or unchanged")
    args = parser.parse_args()
    if not args.corpus or not Path(NARTHEX).exists():
        parser.error("set NARTHEX_CORPUS and build with cargo build --release first")
    # A data directory is a folder of block directories; the largest one and its largest block are measured.
    # A folder called `blocks` is a pool, with parents beside their children, and not a data directory.
    data = max((p for p in Path(args.corpus).iterdir() if p.name != "blocks" and any(p.glob("01*/meta.json"))), key=mib)
    block = max((p for p in data.iterdir() if p.name.startswith("01")), key=mib)
    print("| what | narthex | rival | ratio | on |\n|---|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as scratch:
        scratch = Path(scratch)
        wanted = {
            "verify": lambda: compare_verify(args, block, scratch),
            "inspect": lambda: compare_inspect(args, block, scratch),
            "backup": lambda: compare_backup(args, data, scratch),
            "dense": lambda: compare_dense(args, data, scratch),
            "unchanged": lambda: unchanged(args, data, scratch),
        }
        for name, compare in wanted.items():
            if args.only in (None, name):
                compare()


if __name__ == "__main__":
    main()
