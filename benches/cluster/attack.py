"""Three processes, each in a network namespace of its own, that are harmed at random while they work.

python3 benches/cluster/attack.py FLOW FOLDER [--events 100] [--seed 1] [--only steps,tally]

FLOW is the binary and FOLDER is made anew. It takes root and `ip netns`. Victims are all processes, also process 0. An event
is `kill -9` and a new start; a stop of 1 to 5 s; a link that is down for 1 to 10 s; 50 ms of delay in each direction for 2 to
5 s; a bit that is turned on its way between processes; or strangers who connect. Requests are of five dataflows, one after
the other: two steps in a shell, the second of which says `on`; tally; ct-lung; chat, one process with clients that come
back; books, whose processes share directories. At the end every request has to have one response, the right one: the files that an
undisturbed process gives, or the answer that a client has to hear.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from kinds import KINDS
from network import Network, Strangers

# The longest wait for an answer, after which the processes are taken as stuck.
STUCK_S = 180


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
        for index, process in enumerate(cluster.processes):
            # At the end of a run they may be gone before process 0 is.
            if process.poll() not in (None, 0):
                raise RuntimeError(f"process {index} ended by itself: {cluster.folder}/said-{index}")
        if time.monotonic() > until:
            raise RuntimeError(f"waited in vain for {what} in {cluster.folder}")
        time.sleep(0.02)


def event(cluster, network, chance):
    """One event. Gives what it was, and how it is told."""
    victim, kind = chance.randrange(cluster.COUNT), chance.choice(cluster.EVENTS)
    process = cluster.processes[victim]
    match kind:
        case "killed":
            process.send_signal(signal.SIGKILL)
            process.wait()
            time.sleep(0.3)
            cluster.start(victim)
            return kind, f"process {victim} killed"
        case "with a bit turned":
            network.wire.say("flip")
            return kind, "a bit turned"
        case "among strangers":
            strangers = Strangers(cluster)
            strangers.end()
            return kind, "strangers"
        case "delayed":
            seconds = chance.uniform(2, 5)
            network.wire.say("delay 0.05")
            time.sleep(seconds)
            network.wire.say("delay 0")
            return kind, f"50 ms of delay for {seconds:.1f} s"
        case "stopped":
            seconds = chance.uniform(1, 5)
            process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            process.send_signal(signal.SIGCONT)
        case "cut off":
            seconds = chance.uniform(1, 10)
            network.link(victim, "down")
            time.sleep(seconds)
            network.link(victim, "up")
    return kind, f"process {victim} {kind} for {seconds:.1f} s"


def attack(cluster, network, chance, events, done):
    """Attacks three processes until they have answered all, or there were enough events."""
    answers = Answers(cluster)
    try:
        while not cluster.is_over() and len(done) < events:
            start = answers.count
            wait_for("answers", cluster, lambda: answers.count >= start + 2)
            if cluster.is_over():
                break
            began, before = time.monotonic(), answers.count
            kind, told = event(cluster, network, chance)
            seen = answers.count
            wait_for("answers again", cluster, lambda: answers.count >= max(seen, before) + 2)
            if cluster.is_over() and answers.count < before + 2:
                break
            outage = answers.outage(began)
            done.append((kind, outage))
            print(f"{len(done)}: {told}; no answer for {outage:.1f} s", flush=True)
        cluster.finish()
        wait_for("the end", cluster, cluster.is_over)
        while not cluster.is_over():
            time.sleep(0.1)
    finally:
        answers.end()
        cluster.end()


def attack_kind(requests, network, chance, events, done):
    """Attacks the processes of a dataflow, one round after the other. Gives sums of requests and faults."""
    sums = [0, 0, 0, 0]
    while len(done) < events:
        cluster = requests.Processes(requests.flow, requests.folder(f"round-{len(done)}"), requests.given)
        attack(cluster, network, chance, events, done)
        count, *faults = requests.compared(cluster)
        for word, names in zip(("lost", "double", "different"), faults):
            if names:
                print(f"  {word} in {cluster.folder}: {', '.join(names[:5])}")
        counts = [count, *map(len, faults)]
        print(f"{requests.place.name}: {count} requests, {counts[1]} lost, {counts[2]} double, {counts[3]} different")
        sums = [sum(pair) for pair in zip(sums, counts)]
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flow", type=os.path.abspath)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS))
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    asked.folder.mkdir(parents=True)
    place, chance = asked.folder.resolve(), random.Random(asked.seed)
    network = Network()
    done, sums = [], [0, 0, 0, 0]
    try:
        share = sum(KINDS[kind][1] for kind in asked.only)
        goal = 0.0
        for kind in asked.only:
            goal += asked.events * KINDS[kind][1] / share
            requests = KINDS[kind][0](asked.flow, place, kind)
            counts = attack_kind(requests, network, chance, round(goal), done)
            sums = [sum(pair) for pair in zip(sums, counts)]
    finally:
        network.end()
    print(f"{len(done)} events: " + ", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, _ in done).items()))
    print(f"{sums[0]} requests: {sums[1]} lost, {sums[2]} double, {sums[3]} different")
    for kind in sorted({kind for kind, _ in done}):
        outages = [outage for one, outage in done if one == kind]
        print(f"time without any answer, {kind}: median {statistics.median(outages):.1f} s, longest {max(outages):.1f} s")
    sys.exit(1 if any(sums[1:]) else 0)


if __name__ == "__main__":
    main()
