"""Three processes of a cluster, each in a network namespace of its own, that are killed, stopped and cut off at random.

python3 benches/cluster/attack.py FLOW FOLDER [--events 100] [--seed 1] [--only steps,tally] [--delay MS]

FLOW is the binary and FOLDER is made anew. It takes root, `ip netns`, and for --delay a kernel with netem. Victims are
all processes, also process 0. An event is `kill -9` and a new start, a stop of 1 to 5 s, or a link that is down for 1 to
10 s. Requests are of three dataflows, one after the other: two steps in a shell, the second of which says `on`; tally;
ct-lung. At the end every request has to have one response, with the files that an undisturbed process gives.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

NET, NAMES = "flow-attack", [f"flow-attack-{index}" for index in range(3)]
ADDRESSES = [f"10.77.0.{index + 1}" for index in range(3)]
# The longest wait for an answer, after which the cluster is taken as stuck.
STUCK_S = 180
KINDS = {"steps": 0.6, "tally": 0.2, "ct-lung": 0.2}


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


class Network:
    """A bridge in a namespace, and a namespace with a link to it for each process."""

    def __init__(self, delay_ms):
        self.remove()
        if os.geteuid() != 0 or not shutil.which("ip") or ip("netns", "add", NET, check=False).returncode:
            sys.exit("this takes root and `ip netns`, which are not there")
        ip("-n", NET, "link", "add", "bridge", "type", "bridge")
        ip("-n", NET, "link", "set", "bridge", "up")
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("netns", "add", name)
            ip("-n", NET, "link", "add", name[-6:], "type", "veth", "peer", "name", "net", "netns", name)
            ip("-n", NET, "link", "set", name[-6:], "master", "bridge", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "net")
            ip("-n", name, "link", "set", "net", "up")
            ip("-n", name, "link", "set", "lo", "up")
        self.delay = self.delayed(delay_ms)

    def delayed(self, delay_ms):
        if not delay_ms:
            return "no delay"
        for name in NAMES:
            netem = ["tc", "-n", name, "qdisc", "add", "dev", "net", "root", "netem", "delay", f"{delay_ms}ms"]
            if subprocess.run(netem, capture_output=True).returncode:
                return "no delay, for the kernel has no netem"
        return f"{delay_ms} ms of delay"

    def link(self, index, state):
        ip("-n", NET, "link", "set", NAMES[index][-6:], state)

    def remove(self):
        for name in [NET, *NAMES]:
            ip("netns", "del", name, check=False)


class Cluster:
    """Three processes that answer the requests of one folder."""

    def __init__(self, flow, folder, arguments):
        self.flow, self.folder, self.arguments = flow, folder, arguments
        hosts = "".join(f"{address}:7001\n" for address in ADDRESSES)
        (folder / "hosts").write_text(hosts)
        (folder / "secret").write_text("a long text that only the processes of this attack know\n")
        self.starts = 0
        self.processes = [None] * 3
        for index in (1, 2, 0):
            self.start(index)

    def start(self, index):
        cluster = ["-n", "3", "-p", str(index), "--hosts", "hosts", "--secret", "secret", "-w", "2", "--lanes", "8"]
        label = ["--label", "heavy"] if index == 2 else []
        command = [self.flow, "run", self.arguments[0], *cluster, *label, "--state", "state", "--output", "output"]
        given = self.arguments[1:] if index == 0 else []
        with open(self.folder / f"said-{index}", "a") as said:
            self.processes[index] = subprocess.Popen(
                ["ip", "netns", "exec", NAMES[index], *command, *given],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            )
        self.starts += 1

    def is_over(self):
        return self.processes[0].poll() is not None

    def answered(self):
        output = self.folder / "output"
        return len(os.listdir(output)) if output.exists() else 0

    def end(self):
        for process in self.processes:
            process.send_signal(signal.SIGKILL) if process.poll() is None else None
            process.wait()


class Answers:
    """The times at which answers came."""

    def __init__(self, cluster):
        self.cluster, self.times, self.count = cluster, [time.monotonic()], 0
        self.is_ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.is_ended.wait(0.02):
            count = self.cluster.answered()
            if count > self.count:
                self.count = count
                self.times.append(time.monotonic())

    def outage(self, began):
        """The longest time without an answer since an event began."""
        times = [at for at in self.times if at >= began]
        before = max((at for at in self.times if at < began), default=began)
        gaps = [after - at for at, after in zip([before, *times], times)]
        return max(gaps, default=0.0)

    def end(self):
        self.is_ended.set()
        self.thread.join()


def wait_for(what, cluster, condition):
    until = time.monotonic() + STUCK_S
    while not condition() and not cluster.is_over():
        if time.monotonic() > until:
            raise RuntimeError(f"waited in vain for {what} in {cluster.folder}")
        time.sleep(0.02)


def event(cluster, network, chance):
    """One event. Gives what it was, and how many were killed."""
    victim, kind = chance.randrange(3), chance.choice(["killed", "stopped", "cut off"])
    process = cluster.processes[victim]
    if kind == "killed":
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.3)
        cluster.start(victim)
        return f"process {victim} killed"
    seconds = chance.uniform(1, 5 if kind == "stopped" else 10)
    if kind == "stopped":
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
    else:
        network.link(victim, "down")
        time.sleep(seconds)
        network.link(victim, "up")
    return f"process {victim} {kind} for {seconds:.1f} s"


def attack(cluster, network, chance, events, done):
    """Attacks one cluster until it has answered all, or there were enough events."""
    answers = Answers(cluster)
    try:
        while not cluster.is_over() and len(done) < events:
            start = answers.count
            wait_for("answers", cluster, lambda: answers.count >= start + 2)
            if cluster.is_over():
                break
            for index in (1, 2):
                # At the end of the run they may be gone before process 0 is.
                if cluster.processes[index].poll() not in (None, 0):
                    raise RuntimeError(f"process {index} ended by itself: {cluster.folder}/said-{index}")
            began, before = time.monotonic(), answers.count
            what = event(cluster, network, chance)
            seen = answers.count
            wait_for("answers again", cluster, lambda: answers.count >= max(seen, before) + 2)
            if cluster.is_over() and answers.count < before + 2:
                break
            outage = answers.outage(began)
            done.append((what.split()[2], outage))
            print(f"{len(done)}: {what}; no answer for {outage:.1f} s", flush=True)
        wait_for("the end", cluster, cluster.is_over)
        while not cluster.is_over():
            time.sleep(0.1)
    finally:
        answers.end()
        cluster.end()


def files_of(output):
    """The digests of all files by request, without what says how they were delivered."""
    found = {}
    for path in sorted(path for path in output.rglob("*") if path.is_file() and path.name != "delivery.json"):
        name, place = path.relative_to(output).parts[0], str(path.relative_to(output))
        bytes_of = path.read_bytes()
        if path.name == "response.json":
            response = json.loads(bytes_of)
            # How often calls were repeated is a matter of the services.
            for stream in response.get("streams") or []:
                stream.pop("retried", None)
            bytes_of = json.dumps(response, sort_keys=True).encode()
        found.setdefault(name, {})[place] = hashlib.sha256(bytes_of).hexdigest()
    return found


def compared(right, folder):
    """The numbers of requests, lost answers, double ones, and different ones."""
    found = files_of(folder / "output")
    lost = [name for name in right if name not in found]
    double = [name for name in found if name not in right]
    different = [name for name in right if name in found and found[name] != right[name]]
    with sqlite3.connect(folder / "state/journal.sqlite") as journal:
        open_ones = journal.execute("SELECT name FROM request WHERE state NOT IN ('answered', 'removed')").fetchall()
        query = "SELECT request FROM record WHERE kind = 'responded' GROUP BY request HAVING count(*) > 1"
        twice = journal.execute(query).fetchall()
        requests = journal.execute("SELECT count(*) FROM request").fetchone()[0]
        responded = journal.execute("SELECT count(*) FROM record WHERE kind = 'responded'").fetchone()[0]
    if responded < len(right):
        raise RuntimeError(f"the journal has {responded} responses")
    lost += [name for (name,) in open_ones]
    double += [f"request {number}" for (number,) in twice] + ["a further request"] * max(0, requests - len(right))
    for word, names in [("lost", lost), ("double", double), ("different", different)]:
        if names:
            print(f"  {word} in {folder}: {', '.join(names[:5])}")
    return len(right), len(lost), len(double), len(different)


class Requests:
    """The requests of a kind, and the answers of one process that is left in peace."""

    def __init__(self, flow, place, kind):
        self.kind, self.place = kind, place / kind
        self.place.mkdir()
        (self.place / "pace").mkdir()
        given = getattr(self, kind.replace("-", "_"))(flow)
        self.pace("0")
        alone = self.folder("alone")
        command = [flow, "run", given[0], "--state", "state", "--output", "output", *given[1:]]
        with open(alone / "said", "w") as said:
            subprocess.run(command, cwd=alone, check=True, stdout=subprocess.DEVNULL, stderr=said)
        self.given, self.right = given, files_of(alone / "output")
        self.pace("0.3")

    def pace(self, seconds):
        (self.place / "pace/seconds").write_text(seconds)

    def folder(self, name):
        folder = self.place / name
        folder.mkdir()
        return folder

    def steps(self, _flow):
        pace = self.place / "pace"

        def step(name):
            script = f"sleep $(cat {pace}/seconds); echo {name} $(cat items/00001) > out/{name}.txt"
            return f"with: {{program: sh, arguments: [-c, {json.dumps(script)}], grace_s: 0.2, writes: [{pace}]}}"

        (self.place / "two.yaml").write_text(
            "dataflow: two\nlimits: {memory: {fixed: 1 B}}\nsteps:\n"
            f"  first: {{step: run-program, needs: {{request: request}}, {step('first')}}}\n"
            "  second: {step: run-program, on: heavy, needs: {request: request, files: first}, "
            f"{step('second')}}}\nresponse: [first, second]\n"
        )
        return [str(self.place / "two.yaml"), "--files", *self.written(600, lambda number: f"r{number}")]

    def tally(self, _flow):
        def jobs(number):
            ids = range(1_000 * number, 1_000 * number + 1_000)
            job = [{"id": id, "kind": "ask", "words": f"lung {id % 7}", "count": 1 + id % 9} for id in ids]
            for one in job[::2]:
                one.update(kind="direct")
            return "".join(json.dumps(one) + "\n" for one in job)

        return ["tally", "--files", *self.written(120, jobs)]

    def ct_lung(self, flow):
        size = ["--matrix", "64", "--slices", "32"]
        subprocess.run([flow, "sample", self.place / "in", "--studies", "40", *size], check=True, capture_output=True)
        return ["ct-lung", "--input", str(self.place / "in")]

    def written(self, count, text):
        folder, paths = self.folder("in"), []
        for number in range(count):
            paths.append(str(folder / f"r{number}"))
            Path(paths[-1]).write_text(text(number))
        return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flow", type=os.path.abspath)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS))
    parser.add_argument("--delay", type=int, default=0)
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    asked.folder.mkdir(parents=True)
    place, chance = asked.folder.resolve(), random.Random(asked.seed)
    network = Network(asked.delay)
    print(f"three processes in network namespaces, {network.delay}", flush=True)
    done, sums, starts = [], [0, 0, 0, 0], 0
    try:
        share = sum(KINDS[kind] for kind in asked.only)
        goal = 0.0
        for kind in asked.only:
            goal += asked.events * KINDS[kind] / share
            requests = Requests(asked.flow, place, kind)
            while len(done) < round(goal):
                folder = requests.folder(f"round-{len(done)}")
                cluster = Cluster(asked.flow, folder, requests.given)
                attack(cluster, network, chance, round(goal), done)
                starts += cluster.starts
                counts = compared(requests.right, folder)
                sums = [sum(pair) for pair in zip(sums, counts, strict=True)]
                told = f"{counts[1]} lost, {counts[2]} double, {counts[3]} different"
                print(f"{kind}: {counts[0]} requests, {told}", flush=True)
    finally:
        network.remove()
    outages = sorted(outage for _, outage in done)
    kinds = {kind: sum(1 for one, _ in done if one == kind) for kind in ("killed", "stopped", "cut")}
    print(f"{len(done)} events: {kinds['killed']} kills, {kinds['stopped']} stops, {kinds['cut']} links down")
    print(f"{sums[0]} requests: {sums[1]} lost, {sums[2]} double, {sums[3]} different")
    print(f"time without any answer: median {statistics.median(outages):.1f} s, longest {outages[-1]:.1f} s")
    sys.exit(1 if any(sums[1:]) else 0)


main()
