#!/usr/bin/env python3
"""What a repository in an object store costs: beside one in a directory, at 50 ms, and beside restic.

    benches/far.py NARTHEX VERSITYGW NIGHT... [--runs 3]

archives each NIGHT (a data directory; links in it are followed) of one server after the other, into a directory, into
S3 on this machine, into the same through a link that takes 50 ms, encrypted or not; restores the last, checks, prunes
and lists. Each figure is the median of the runs. restic does the same with `--compression max` where it is installed.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(words, env, cwd):
    """Time of a command in seconds, and its largest memory in MiB."""
    begun = time.monotonic()
    process = subprocess.Popen(words, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - begun
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        sys.exit(f"{' '.join(words)}: {said.decode()}")
    return took, usage.ru_maxrss / 1024


class Link:
    """A link to the server that takes its time and counts what goes through."""

    def __init__(self, home, port, upstream, milliseconds):
        self.counts = os.path.join(home, f"counts-{port}")
        script = os.path.join(HERE, "latency.py")
        self.process = subprocess.Popen([sys.executable, script, str(port), str(upstream), str(milliseconds), self.counts])
        time.sleep(0.7)

    def read(self):
        """What went through so far."""
        time.sleep(0.3)
        if not os.path.exists(self.counts):
            return {"requests": 0, "sent": 0, "received": 0}
        with open(self.counts) as file:
            return json.load(file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("narthex")
    parser.add_argument("versitygw")
    parser.add_argument("nights", nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    home = tempfile.mkdtemp(prefix="far-")
    data, side = os.path.join(home, "data"), os.path.join(home, "side")
    os.makedirs(os.path.join(data, "backups"))
    os.makedirs(side)
    server = subprocess.Popen(
        [options.versitygw, "--port", "127.0.0.1:9200", "--keep-alive", "--quiet", "--access", "narthex", "--secret", "narthex-secret",
         "posix", "--sidecar", side, data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    links = [Link(home, 9201, 9200, 0), Link(home, 9202, 9200, 50)]
    env = dict(os.environ, AWS_ACCESS_KEY_ID="narthex", AWS_SECRET_ACCESS_KEY="narthex-secret", AWS_REGION="us-east-1",
               AWS_ALLOW_HTTP="true", NARTHEX_STATE_DIR=os.path.join(home, "state"),
               XDG_CACHE_HOME=os.path.join(home, "cache"), RESTIC_PASSWORD="x")
    env.pop("AWS_CA_BUNDLE", None)
    results, memory, counted = {}, {}, {}

    def count(place, what, link, before):
        """Notes what has gone through `link` since it was at `before`."""
        if link:
            counts = link.read()
            counted[place, what] = {key: counts[key] - before[key] for key in counts}

    def note(place, what, measured):
        results.setdefault((place, what), []).append(measured[0])
        memory[place] = max(memory.get(place, 0), measured[1])

    narthex = os.path.abspath(options.narthex)
    nights = [os.path.abspath(night) for night in options.nights]
    subprocess.run([narthex, "key", "generate", "reader.key"], cwd=home, env=env, stdout=subprocess.PIPE, check=True)
    recipient = open(os.path.join(home, "reader.key")).readline().split()[-1]

    def nights_of_narthex(place, repo, more, link):
        shutil.rmtree(env["XDG_CACHE_HOME"], ignore_errors=True)
        if "--identity" in more:
            subprocess.run([narthex, "init", "--repo", repo, "--recipient", recipient, "--admin", "admin.key", *more],
                           cwd=home, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        before = link and link.read()
        took = [run([narthex, "backup", night, "--source", "s", "--follow-links", "--repo", repo, *more], env, home)
                for night in nights]
        note(place, "backup of all nights", (sum(t for t, _ in took), max(m for _, m in took)))
        count(place, "all nights", link, before)
        note(place, "unchanged night", run([narthex, "backup", nights[-1], "--source", "s", "--follow-links", "--repo",
                                            repo, *more], env, home))
        target = os.path.join(home, "target")
        before = link and link.read()
        note(place, "restore", run([narthex, "restore", "latest", "--repo", repo, "--target", target, *more], env, home))
        count(place, "restore", link, before)
        shutil.rmtree(target)
        note(place, "check", run([narthex, "check", "--repo", repo, *more], env, home))
        note(place, "check --read-data", run([narthex, "check", "--read-data", "--repo", repo, *more], env, home))
        note(place, "archives", run([narthex, "archives", "--repo", repo, *more], env, home))
        note(place, "prune", run([narthex, "prune", "--repo", repo, *more], env, home))

    def nights_of_restic(place, repo, cache, link):
        cache = ["--cache-dir", os.path.join(home, f"restic-{cache}"), "-r", repo, "-q"]
        subprocess.run(["restic", *cache, "init"], env=env, cwd=home, check=True, stdout=subprocess.DEVNULL)
        before = link.read()
        took = [run(["restic", *cache, "backup", "--compression", "max", "--host", "h", "."], env, night) for night in nights]
        note(place, "backup of all nights", (sum(t for t, _ in took), max(m for _, m in took)))
        count(place, "all nights", link, before)
        note(place, "unchanged night", run(["restic", *cache, "backup", "--compression", "max", "--host", "h", "."], env, nights[-1]))
        target = os.path.join(home, "target")
        before = link.read()
        note(place, "restore", run(["restic", *cache, "restore", "latest", "--target", target], env, home))
        count(place, "restore", link, before)
        shutil.rmtree(target)
        note(place, "check", run(["restic", *cache, "check"], env, home))
        note(place, "check --read-data", run(["restic", *cache, "check", "--read-data"], env, home))
        note(place, "archives", run(["restic", *cache, "snapshots"], env, home))
        note(place, "prune", run(["restic", *cache, "prune"], env, home))

    try:
        for number in range(options.runs):
            key = ["--identity", os.path.join(home, "reader.key")]
            s3 = f"s3://backups/n{number}"
            nights_of_narthex("directory", os.path.join(home, f"r{number}"), [], None)
            nights_of_narthex("directory, encrypted", os.path.join(home, f"e{number}"), key, None)
            nights_of_narthex("S3", s3, ["--endpoint", "http://127.0.0.1:9201"], links[0])
            nights_of_narthex("S3, encrypted", s3 + "e", ["--endpoint", "http://127.0.0.1:9201", *key], links[0])
            nights_of_narthex("S3, 50 ms", s3 + "f", ["--endpoint", "http://127.0.0.1:9202"], links[1])
            if shutil.which("restic"):
                for place, port, link in (("restic, S3", 9201, links[0]), ("restic, S3, 50 ms", 9202, links[1])):
                    repo = f"s3:http://127.0.0.1:{port}/backups/x{number}-{port}"
                    nights_of_restic(place, repo, f"{number}-{port}", link)
    finally:
        for process in [server, *(link.process for link in links)]:
            process.send_signal(signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)
    places = list(dict.fromkeys(place for place, _ in results))
    whats = list(dict.fromkeys(what for _, what in results))
    print("| seconds | " + " | ".join(places) + " |")
    print("|---|" + "--:|" * len(places))
    for what in whats:
        row = [f"{statistics.median(results[place, what]):.2f}" if (place, what) in results else "" for place in places]
        print(f"| {what} | " + " | ".join(row) + " |")
    print("| largest memory, MiB | " + " | ".join(f"{memory[place]:.0f}" for place in places) + " |")
    for what in ("all nights", "restore"):
        for key in ("requests", "sent", "received"):
            row = [str(counted.get((place, what), {}).get(key, "")) for place in places]
            print(f"| {key}, {what} | " + " | ".join(row) + " |")


main()
