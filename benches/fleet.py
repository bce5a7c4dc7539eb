#!/usr/bin/env python3
"""What many servers in one repository cost: whether time and memory of upkeep grow with the archives, and no faster.

    benches/fleet.py NARTHEX DATA [--hosts 100] [--archives 30]

archives DATA (a small data directory) as that many servers so often each, into a repository in parts and into one that
is not, and measures at half of the servers and at all of them: a backup of one server, `archives` of one and of all,
`check`, `forget` and `prune`.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("narthex")
    parser.add_argument("data")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--archives", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    narthex, data = os.path.abspath(options.narthex), os.path.abspath(options.data)
    home = tempfile.mkdtemp(prefix="fleet-")
    env = dict(os.environ, NARTHEX_STATE_DIR=os.path.join(home, "state"))

    def run(*words, cache="cache"):
        """Seconds, and MiB at most."""
        begun = time.monotonic()
        process = subprocess.Popen([narthex, *words], cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=dict(env, NARTHEX_CACHE_DIR=os.path.join(home, cache)))
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 3):
            sys.exit(f"{' '.join(words)}: {said.decode()}")
        return time.monotonic() - begun, usage.ru_maxrss / 1024

    def fill(repo, hosts):
        for host in hosts:
            for _ in range(options.archives):
                # Each machine remembers for itself.
                run("backup", data, "--repo", repo, "--source", f"host-{host}", "--no-wal", cache=f"cache-{host}")

    what = {
        "backup of one server": lambda repo: run("backup", data, "--repo", repo, "--source", "host-0", "--no-wal",
                                                 cache="cache-0"),
        "archives of one server": lambda repo: run("archives", "--repo", repo, "--source", "host-0"),
        "archives of all": lambda repo: run("archives", "--repo", repo),
        "check": lambda repo: run("check", "--repo", repo),
        "forget --dry-run": lambda repo: run("forget", "--keep-daily", "7", "--keep-last", "3", "--dry-run", "--repo", repo),
        "prune": lambda repo: run("prune", "--repo", repo),
    }
    try:
        measured = {}
        for repo, more in (("parts", ["--by-source"]), ("flat", [])):
            run("init", "--repo", repo, *more)
            half = options.hosts // 2
            for step, hosts in (("half", range(half)), ("all", range(half, options.hosts))):
                fill(repo, hosts)
                for name, command in what.items():
                    runs = [command(repo) for _ in range(options.runs)]
                    measured[repo, step, name] = (statistics.median(t for t, _ in runs), max(m for _, m in runs))
        count = options.hosts * options.archives
        print(f"{options.hosts} servers, {count} archives; seconds and MiB, and how much of it half of them take")
        for repo in ("parts", "flat"):
            print("in parts" if repo == "parts" else "not in parts")
            for name in what:
                (half, _), (full, memory) = measured[repo, "half", name], measured[repo, "all", name]
                print(f"  {name:24} {full:7.2f} s {memory:6.0f} MiB   half: {half / full:.2f}")
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
