#!/usr/bin/env python3
"""Measures narthex beside its rivals, on the same files, in turns, and prints the table of docs/performance.md.

    cargo build --release
    NARTHEX_CORPUS=DIR python3 benches/rivals.py [--runs 5] [--only NAME]

DIR holds data directories (folders of block directories). Rivals: promtool, zstd, tar (Debian packages prometheus, zstd, tar)
and pypdu (PyPI); for `--only chain` restic 0.19 or newer, as `restic` on the path or in RESTIC, without which its row says so.
Chains of blocks are best measured one by one: `--only chain` archives the folders `night-*` of DIR, in the order of their
names, as the nights of one server.

Wall time is what passed; CPU is user plus system time of the process; anonymous memory is the largest RssAnon seen
while it ran, so mapped pages of the page cache do not count. Each figure is the median of the runs. Pairs are run in
turns, so that whatever else the machine does hits both.
"""

import argparse
import filecmp
import json
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
RESTIC = os.environ.get("RESTIC", shutil.which("restic"))
NARTHEX = os.environ.get("NARTHEX", str(ROOT / "target/release/narthex"))
PYPDU = """
import sys, pypdu
print(sum(len(s.samples.as_vector()) for s in pypdu.load(sys.argv[1])))
"""


class Run:
    """One process: wall and CPU seconds, peak anonymous memory and peak resident memory (mapped files count) in MiB, standard output."""

    def __init__(self, command, shell=False, cores=None):
        started, before = time.monotonic(), os.times()
        if cores:
            command = ["taskset", "-c", cores, *command]
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command] if shell else command,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        peak = [0, 0]
        watcher = threading.Thread(target=self._watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        self.out, err = process.communicate()
        after = os.times()
        self.wall = time.monotonic() - started
        self.cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        watcher.join()
        self.memory = peak[0] / 1024
        self.resident = peak[1] / 1024
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
            resident = [line for line in status.splitlines() if line.startswith("VmHWM")]
            peak[1] = max(peak[1], int(resident[0].split()[1]))
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


def compare_analyze(args, block, scratch):
    alone = scratch / "rival"
    if not alone.exists():
        shutil.copytree(block, alone / block.name)
    many = Path(args.million) if args.million else None
    cases = [(block, alone, f"{mib(block):.0f} MiB block")]
    if many:
        large = next(p for p in many.iterdir() if p.name.startswith("01"))
        cases.append((large, many, "a million series with ten labels"))
    for path, directory, note in cases:
        for flag in ([], ["--extended"]):
            results = in_turns(
                args.runs,
                ours=lambda: Run([NARTHEX, "analyze", str(path), *flag]),
                plain=lambda: Run([NARTHEX, "analyze", str(path)]),
                theirs=lambda: Run(["promtool", "tsdb", "analyze", *flag, str(directory), path.name]),
            )
            name = " ".join(["promtool tsdb analyze", *flag])
            ways = [("ours", " ".join(["analyze", *flag]))] + ([("plain", "analyze")] if flag else [])
            for way, what in ways:
                for key, unit, measure in (("wall", "s", "time"), ("cpu", "s", "CPU time"), ("resident", "MiB", "memory, mapped pages included")):
                    ours, theirs = median(results[way], key), median(results["theirs"], key)
                    row(f"`{what}` against `{name}`: {measure}", f"{ours:.3f} {unit}", f"{theirs:.3f} {unit}",
                        f"**{ours / theirs:.2f}**", note)


def compare_backup(args, data, scratch):
    repo, archive, target = scratch / "repo", scratch / "tar.zst", scratch / "restored"
    blocks = " ".join(sorted(p.name for p in data.iterdir() if p.name.startswith("01")))

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
        fresh(repo)
        return Run([NARTHEX, "--quiet", "--threads", threads, "backup", str(data), "--repo", str(repo)], cores="0" if threads == "1" else None)

    def restore():
        fresh(target)
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


def backup_night(directory, repo):
    """Archives a directory as that of the server `prod`."""
    return Run([NARTHEX, "--quiet", "--json", "backup", str(directory), "--repo", str(repo), "--source", "prod", "--host", "prod"])


def fresh(path):
    """The same path, with nothing there, nor remembered to have been."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(os.environ["NARTHEX_STATE_DIR"], ignore_errors=True)
    return path


def sources(block):
    """The level-1 blocks whose samples a block directory holds."""
    return frozenset(json.loads((block / "meta.json").read_text())["compaction"].get("sources") or [block.name])


def size(blocks):
    """Size of index and chunks of these blocks in MiB."""
    return sum((block / "index").stat().st_size / 2**20 + mib(block / "chunks") for block in blocks)


def blocks_of(night):
    """The block directories in a data directory."""
    return sorted(p for p in night.iterdir() if (p / "meta.json").is_file())


def link(blocks, directory):
    """A data directory of these blocks, whose files are links."""
    for block in blocks:
        shutil.copytree(block, directory / block.name, copy_function=os.link)


def once(nights):
    """Blocks that hold each sample of all nights once: those of the last night and, newest night and largest first, what they lack."""
    chosen, covered = [], set()
    for night in reversed(nights):
        for block in sorted(blocks_of(night), key=lambda block: -len(sources(block))):
            held = sources(block)
            if held.isdisjoint(covered):
                chosen.append(block)
                covered |= held
            elif not held <= covered:
                sys.exit(f"{block} shares only some of its sources with newer blocks: there is no copy with each sample once")
    return chosen


def same_tree(a, b):
    """Whether two directories hold the same files with the same bytes."""
    files = [sorted(f.relative_to(top) for f in top.rglob("*") if f.is_file()) for top in (a, b)]
    return files[0] == files[1] and all(filecmp.cmp(a / f, b / f, shallow=False) for f in files[0])


class Night:
    """What a night of a chain brought, and what the repository grew by."""

    def __init__(self, directory, seen):
        held = frozenset().union(*seen.values()) if seen else frozenset()
        self.directory = directory
        self.fresh = [block for block in blocks_of(directory) if block.name not in seen]
        # Blocks whose samples the nights before had all: compaction and nothing else.
        self.rewritten = [block for block in self.fresh if sources(block) <= held]
        self.archive = self.grown = self.rewrites = None

    def back_up(self, repo, scratch):
        """Into `repo`; and, to learn what the rewritten blocks add, without them into a copy of it."""
        before = mib(repo)
        if self.rewritten:
            rest, copy = fresh(scratch / "rest"), fresh(scratch / "rest-repo")
            link([block for block in blocks_of(self.directory) if block not in self.rewritten], rest)
            shutil.copytree(repo, copy)
            backup_night(rest, copy)
        self.archive = json.loads(backup_night(self.directory, repo).out)["id"]
        self.grown = mib(repo) - before
        if self.rewritten:
            self.rewrites = mib(repo) - mib(copy)


def compare_chain(args, directories, scratch):
    """All nights of one server in one repository, beside one copy of its samples, restic, and the night's own directories."""
    repo, before, copy, target = (scratch / name for name in ("chain", "before", "once", "chain-restored"))
    Run([NARTHEX, "--quiet", "init", "--repo", str(repo)])
    seen, nights, heaviest = {}, [], None
    for directory in directories:
        night = Night(directory, seen)
        if night.rewritten and size(night.rewritten) > size(heaviest.rewritten if heaviest else []):
            heaviest = night
            shutil.copytree(repo, fresh(before))
        night.back_up(repo, scratch)
        seen |= {block.name: sources(block) for block in night.fresh}
        nights.append(night)
    for night in nights:
        new = size(night.fresh)
        row(f"{night.directory.name}: the repository grows by, of the bytes of new blocks", f"{night.grown:.3f} MiB", f"{new:.1f} MiB",
            f"{night.grown / new:.4f}" if new else "–", f"{len(night.fresh)} new blocks")
        if night.rewritten:
            old = size(night.rewritten)
            row("… of which by blocks that hold old samples only", f"{night.rewrites:.4f} MiB", f"{old:.1f} MiB",
                f"**{night.rewrites / old:.5f}**", f"{len(night.rewritten)} blocks")
    link(once(directories), copy)
    backup_night(copy, scratch / "once-repo")
    ours, theirs = mib(repo), mib(scratch / "once-repo")
    row("all archives kept, against one dense copy of each sample", f"{ours:.3f} MiB", f"{theirs:.3f} MiB", f"**{ours / theirs:.3f}**",
        f"{directories[0].parent.name}, {len(nights)} nights; must: at most 1.10")
    compare_restic(directories, ours, scratch)
    same = 0
    for night in nights:
        Run([NARTHEX, "--quiet", "restore", night.archive, "--repo", str(repo), "--target", str(fresh(target))])
        same += same_tree(night.directory, target)
    row("archives restored, byte for byte the night's directory", f"{same}", f"{len(nights)}", "", "must: all")
    if heaviest:
        compare_heaviest(args, heaviest, before, scratch)


def compare_restic(directories, ours, scratch):
    """The same nights in restic, at its best compression. Its directory has the same name each night, as a server's has."""
    if not RESTIC:
        row("… against restic `--compression max`", f"{ours:.3f} MiB", "not installed", "–", "")
        return
    repo, current = scratch / "restic", scratch / "current"
    restic = f"RESTIC_PASSWORD=x {RESTIC} --repo {repo} --no-cache --quiet --compression max"
    Run(f"{restic} init", shell=True)
    for directory in directories:
        link(blocks_of(directory), fresh(current))
        Run(f"{restic} backup {current}", shell=True)
    version = " ".join(Run([RESTIC, "version"]).out.decode().split()[:2])
    row("… against restic `--compression max`", f"{ours:.3f} MiB", f"{mib(repo):.3f} MiB", f"**1/{mib(repo) / ours:.2f}**",
        f"{version}; must: at most 1/5")


def compare_heaviest(args, night, before, scratch):
    """What the night with the most rewritten bytes takes, against its new blocks in an empty repository."""
    repo, new = scratch / "timed", scratch / "new"
    link(night.fresh, new)

    def chained():
        shutil.copytree(before, fresh(repo))
        return backup_night(night.directory, repo)

    chained()  # warms the page cache
    results = in_turns(args.runs, ours=chained, theirs=lambda: backup_night(new, fresh(repo)))
    for key, name in (("wall", "time"), ("cpu", "CPU time")):
        ours, theirs = median(results["ours"], key), median(results["theirs"], key)
        row(f"`backup` of the heaviest compaction night, against its new blocks into an empty repository: {name}", f"{ours:.2f} s",
            f"{theirs:.2f} s", f"**{ours / theirs:.2f}**", f"{night.directory.name}, {size(night.rewritten):.0f} of {size(night.fresh):.0f} MiB rewritten")
    row("… anonymous memory", f"{median(results['ours'], 'memory'):.0f} MiB", f"{median(results['theirs'], 'memory'):.0f} MiB", "", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=os.environ.get("NARTHEX_CORPUS"), help="folder of data directories")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="verify, inspect, analyze, backup, dense, unchanged or chain")
    parser.add_argument("--million", type=Path, help="for analyze: folder that `cargo bench --bench analyze -- FOLDER` has filled")
    args = parser.parse_args()
    if not args.corpus or not Path(NARTHEX).exists():
        parser.error("set NARTHEX_CORPUS and build with cargo build --release first")
    # A data directory is a folder of block directories; the largest one and its largest block are measured.
    # A folder called `blocks` is a pool, with parents beside their children, and not a data directory.
    data = max((p for p in Path(args.corpus).iterdir() if p.name != "blocks" and any(p.glob("01*/meta.json"))), key=mib)
    block = max((p for p in data.iterdir() if p.name.startswith("01")), key=mib)
    nights = sorted(p for p in Path(args.corpus).iterdir() if p.name.startswith("night-") and blocks_of(p))
    if args.only == "chain" and not nights:
        parser.error(f"expected folders night-* with blocks in {args.corpus}, found none")
    print("| what | narthex | rival | ratio | on |\n|---|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as scratch:
        scratch = Path(scratch)
        os.environ["NARTHEX_STATE_DIR"] = str(scratch / "state")
        wanted = {
            "verify": lambda: compare_verify(args, block, scratch),
            "inspect": lambda: compare_inspect(args, block, scratch),
            "analyze": lambda: compare_analyze(args, block, scratch),
            "backup": lambda: compare_backup(args, data, scratch),
            "dense": lambda: compare_dense(args, data, scratch),
            "unchanged": lambda: unchanged(args, data, scratch),
            "chain": lambda: compare_chain(args, nights, scratch),
        }
        for name, compare in wanted.items():
            if args.only in (None, name) and (nights or name != "chain"):
                compare()


if __name__ == "__main__":
    main()
