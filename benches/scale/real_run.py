"""30 studies at given times to a real `flow run --site`, beside what `flow simulate` says of the same times.

python3 benches/scale/real_run.py FLOW FOLDER LOAD

FLOW is the binary, FOLDER is made anew, and LOAD is the part of the time for which the one lane is to work. flow and the
senders run before all other programs (`chrt -r 1`: root), because others may run at the same time.
"""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

STUDIES, MATRIX, SLICES = 30, "96", "40"
FIRST = ["chrt", "-r", "1"]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def send_at(times, port):
    """Sends a study at each time, and waits until all are sent."""
    begin = time.time() + 1
    folders = sorted(path for path in Path("studies").iterdir() if path.is_dir())
    senders = []
    for at, folder in zip(times, folders, strict=True):
        time.sleep(max(0, begin + at - time.time()))
        command = ["/usr/bin/storescu", "-aec", "FLOW", "+sd", "127.0.0.1", str(port), str(folder)]
        senders.append(subprocess.Popen([*FIRST, *command], env={**os.environ, "TCP_NODELAY": "1"}))
    for sender in senders:
        sender.wait()


def real_run(flow, port, times):
    """The times in ms at which each request was accepted and began, by the journal."""
    with open("flow.log", "w") as log:
        server = subprocess.Popen([*FIRST, flow, "run", "--site", "site.yaml"], stdout=subprocess.DEVNULL, stderr=log)
    while "listening" not in Path("flow.log").read_text():
        if server.poll() is not None:
            sys.exit(Path("flow.log").read_text())
        time.sleep(0.05)
    send_at(times, port)
    while not Path("output").exists() or len(list(Path("output").iterdir())) < STUDIES:
        time.sleep(0.1)
    server.send_signal(signal.SIGTERM)
    server.wait()
    rows = {}
    query = "SELECT request, kind, min(time_ms) FROM record GROUP BY request, kind"
    for request, kind, time_ms in sqlite3.connect("state/journal.sqlite").execute(query):
        rows.setdefault(request, {})[kind] = time_ms
    return sorted((row["accepted"], row["began"]) for row in rows.values())


def quantiles(waits):
    waits = sorted(waits)
    return [f"{waits[-(-len(waits) * percent // 100) - 1]:.2f}" for percent in (50, 95, 99, 100)]


def main():
    flow, place, load = os.path.abspath(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    os.chdir(place)
    size = ["--matrix", MATRIX, "--slices", SLICES]
    output(flow, "sample", "studies", "--studies", str(STUDIES), *size)
    bench = output(*FIRST, flow, "bench", "--studies", "1", "--lanes", "1", "--rounds", "7", "--json", *size)
    Path("bench.json").write_text(bench)
    alone_s, chance, times = json.loads(bench)["whole_s"], random.Random(3), [0.0]
    while len(times) < STUDIES:
        times.append(times[-1] + chance.expovariate(load / alone_s))
    port = free_port()
    Path("site.yaml").write_text(
        f"workers: 2\nlanes: 1\nstate: state\noutput: output\ndicom: {{listen: '127.0.0.1:{port}'}}\n"
        "complete: {at_once: [released]}\n"
    )
    rows = real_run(flow, port, times)
    print(f"one study alone: {alone_s:.2f} s; waits in s: median, 95 %, 99 %, longest")
    print("real", *quantiles((began - accepted) / 1000 for accepted, began in rows))
    accepted = [(accepted - rows[0][0]) / 1000 for accepted, _ in rows]
    for name, arrivals in [("accepted", accepted), ("sent", times)]:
        Path(name).write_text("".join(f"{at}\n" for at in arrivals))
        options = ["--bench", "bench.json", "--variation", "0", "--network", "100", "--json"]
        waits = json.loads(output(flow, "simulate", "site.yaml", "--arrivals", name, *options))["wait_s"]
        print(f"simulated, at the times at which studies were {name}", *(f"{wait:.2f}" for wait in waits.values()))


main()
