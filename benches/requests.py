#!/usr/bin/env python3
"""How many requests an unchanged night takes: of a server with many blocks, alone and among others.

    benches/requests.py NARTHEX VERSITYGW PROMTOOL [--blocks 1000] [--hosts 100] [--archives 365]

makes that many blocks with promtool, archives them into a repository in parts in S3 on this machine, counts the
requests of a night in which nothing is new, puts the names of a year of archives of other servers beside them, and
counts again. The same is done in a repository that is not in parts.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HOURS = 2
BEGIN = 1_760_004_000


def make_blocks(promtool, home, count):
    """A data directory with so many blocks of two hours, and a log."""
    text = os.path.join(home, "samples.om")
    with open(text, "w") as file:
        file.write("# TYPE made gauge\n")
        for series in range(3):
            for hour in range(count * HOURS):
                file.write(f'made{{job="bench",n="{series}"}} {(hour * 7 + series) % 101} {BEGIN + hour * 3600}\n')
        file.write("# EOF\n")
    data = os.path.join(home, "data")
    subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", text, data], stdout=subprocess.DEVNULL, check=True)
    shutil.copytree(os.path.join(HERE, "..", "fixtures", "night-1", "wal"), os.path.join(data, "wal"))
    return data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("narthex")
    parser.add_argument("versitygw")
    parser.add_argument("promtool")
    parser.add_argument("--blocks", type=int, default=1000)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--archives", type=int, default=365)
    options = parser.parse_args()
    home = tempfile.mkdtemp(prefix="requests-")
    buckets, side = os.path.join(home, "buckets"), os.path.join(home, "side")
    os.makedirs(os.path.join(buckets, "backups"))
    os.makedirs(side)
    server = subprocess.Popen(
        [options.versitygw, "--port", "127.0.0.1:9210", "--quiet", "--access", "narthex", "--secret", "narthex-secret",
         "posix", "--sidecar", side, buckets], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    env = dict(os.environ, AWS_ACCESS_KEY_ID="narthex", AWS_SECRET_ACCESS_KEY="narthex-secret", AWS_REGION="us-east-1",
               NARTHEX_ENDPOINT="http://127.0.0.1:9210", NARTHEX_STATE_DIR=os.path.join(home, "state"),
               NARTHEX_CACHE_DIR=os.path.join(home, "cache"))
    narthex = os.path.abspath(options.narthex)

    def said(repo, *words):
        command = [narthex, *words, "--repo", f"s3://backups/{repo}", "--json"]
        done = subprocess.run(command, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode not in (0, 3):
            sys.exit(f"{' '.join(command)}: {done.stderr.decode()}")
        return json.loads(done.stdout)

    def night(repo, *more):
        begun = time.monotonic()
        report = said(repo, "backup", data, "--source", "own", *more)
        traffic = report["traffic"][0]
        kinds = {kind: traffic[kind] for kind in ("writes", "lists", "reads", "deletes")}
        print(f"  {traffic['requests']:3} requests {kinds}, {report['new_blocks']} new blocks, "
              f"{time.monotonic() - begun:.1f} s", flush=True)

    def others(above, count):
        """Names of manifests and logs of other servers, which nobody reads."""
        for host in range(count):
            place = above(host)
            for kind, suffix in (("archives", "json"), ("wal", "tar.zst")):
                os.makedirs(os.path.join(place, kind), exist_ok=True)
                for number in range(options.archives):
                    own = f"{host:08x}{number:08x}"
                    stamp = f"2025{number // 28 % 12 + 1:02}{number % 28 + 1:02}T0300{host % 60:02}Z-"
                    name = f"{stamp if kind == 'archives' else ''}{own}.{suffix}"
                    with open(os.path.join(place, kind, name), "w"):
                        pass

    try:
        data = make_blocks(options.promtool, home, options.blocks)
        said("parts", "init", "--by-source")
        print(f"in parts, {options.blocks} blocks: first night, then unchanged nights")
        for _ in range(3):
            night("parts")
        part = os.path.join(buckets, "backups", "parts", "sources")
        others(lambda host: os.path.join(part, f"{host:016x}"), options.hosts - 1)
        print(f"among {options.hosts} servers with {options.archives} archives each")
        night("parts")
        print("with nothing remembered on the machine")
        night("parts", "--no-cache")
        print(f"not in parts, {options.blocks} blocks")
        for _ in range(3):
            night("flat")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
