#!/usr/bin/env python3
"""What archives of a running server cost, made every few minutes: states of one data directory, in their order.

    benches/states.py NARTHEX DIR... [--restic RESTIC]

Each DIR holds copies of a data directory as they were at one moment after the other, whose names sort in that order
(`01-…`, `02-…`). They are archived into one repository, each into one of its own, and the last alone; and, with a
restic, as snapshots of one directory at its best compression. Every archive is restored and compared.
"""

import argparse
import filecmp
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def size(directory):
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in pathlib.Path(directory).rglob("*") if path.is_file())


def mb(count):
    return f"{count / 1e6:8.2f} MB"


def same(state, back):
    """Whether every file that came back is that of the state, and every block of it came back."""
    files = [path.relative_to(back) for path in pathlib.Path(back).rglob("*") if path.is_file()]
    blocks = {path.name for path in pathlib.Path(state).iterdir() if re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", path.name)}
    missing = blocks - {path.name for path in pathlib.Path(back).iterdir()}
    equal = all(filecmp.cmp(pathlib.Path(state) / name, pathlib.Path(back) / name, shallow=False) for name in files)
    return equal and not missing and any(name.parts[0] == "wal" for name in files)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("narthex")
    parser.add_argument("dirs", nargs="+")
    parser.add_argument("--restic")
    options = parser.parse_args()
    narthex = os.path.abspath(options.narthex)
    home = pathlib.Path(tempfile.mkdtemp(prefix="states-"))
    env = dict(os.environ, NARTHEX_STATE_DIR=str(home / "state"), NARTHEX_CACHE_DIR=str(home / "cache"),
               RESTIC_PASSWORD="x")

    def run(*words, codes=(0, 3)):
        done = subprocess.run([str(word) for word in words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode not in codes:
            sys.exit(f"{' '.join(map(str, words))}: {done.stderr.decode()}")
        return done.stdout

    for directory in map(pathlib.Path, options.dirs):
        name = directory.name
        states = sorted(path for path in directory.iterdir() if (path / "wal").is_dir() and path.name[0].isdigit())
        print(f"{directory}: {len(states)} states", flush=True)
        repo, apart = home / name, 0
        for state in states:
            before = size(repo / "wal") if repo.exists() else 0
            made = json.loads(run(narthex, "backup", state, "--repo", repo, "--source", name, "--force", "--json"))
            alone = home / f"{name}-{state.name}"
            run(narthex, "backup", state, "--repo", alone, "--source", name)
            apart += size(alone / "wal")
            back = home / "back"
            shutil.rmtree(back, ignore_errors=True)
            run(narthex, "restore", made["id"], "--repo", repo, "--target", back)
            if not same(state, back):
                sys.exit(f"{state} does not come back")
            print(f"  {state.name}: log {mb(size(repo / 'wal') - before)}, alone {mb(size(alone / 'wal'))}", flush=True)
        last = size(alone)
        print(f"  logs, all states      {mb(size(repo / 'wal'))}")
        print(f"  logs, each state whole{mb(apart)}")
        print(f"  blocks                {mb(size(repo / 'packs') + size(repo / 'blocks'))}")
        print(f"  manifests             {mb(size(repo / 'archives'))}")
        print(f"  all                   {mb(size(repo))}, against the last state alone {size(repo) / last:.2f}")
        if options.restic:
            store, current = home / f"{name}-restic", home / "current"
            restic = [options.restic, "--repo", store, "--no-cache", "--quiet", "--compression", "max"]
            run(*restic, "init")
            for state in states:
                shutil.rmtree(current, ignore_errors=True)
                shutil.copytree(state, current)
                run(*restic, "backup", current)
            print(f"  restic                {mb(size(store))}: {size(store) / size(repo):.2f} times as much")
    shutil.rmtree(home)


main()
