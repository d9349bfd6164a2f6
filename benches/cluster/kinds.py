"""What the attacked processes have to answer, for each dataflow, and the answers of one that is left in peace."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from network import ADDRESSES, NAMES, NET, PORT, SWITCH, within

# Clients of the chat at once, each in a conversation of its own.
TALKERS = 30


class Cluster:
    """Three processes that answer the requests of one folder."""

    # What may happen to them, and what does not concern them.
    EVENTS = ["killed", "stopped", "cut off", "delayed", "with a bit turned", "among strangers"]

    COUNT = 3

    def __init__(self, flow, folder, arguments):
        self.flow, self.folder, self.arguments = flow, folder, arguments
        for name, first in [("hosts", ADDRESSES[0]), ("hosts-wire", SWITCH)]:
            (folder / name).write_text("".join(f"{address}:{PORT}\n" for address in [first, *ADDRESSES[1:]]))
        (folder / "secret").write_text("a long text that only the processes of this attack know\n")
        self.starts = 0
        self.processes = [None] * self.COUNT
        self.begin()

    def begin(self):
        for index in reversed(range(self.COUNT)):
            self.start(index)

    def command(self, index, secret="secret"):
        hosts = "hosts-wire" if index else "hosts"
        cluster = ["-n", "3", "-p", index, "--hosts", hosts, "--secret", secret, "-w", "2", "--lanes", "8"]
        label = ["--label", "heavy"] if index == 2 else []
        command = [self.flow, "run", self.arguments[0], *cluster, *label, "--state", "state", "--output", "output"]
        return [*command, *(self.arguments[1:] if index == 0 else [])]

    def start(self, index):
        with open(self.folder / f"said-{index}", "a") as said:
            self.processes[index] = subprocess.Popen(
                within(NAMES[index], self.command(index)),
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            )
        self.starts += 1

    def is_over(self):
        return self.processes[0].poll() is not None

    def answered(self):
        output = self.folder / "output"
        return len(os.listdir(output)) if output.exists() else 0

    def finish(self):
        """There will be no more events."""

    def end(self):
        for process in self.processes:
            process.send_signal(signal.SIGKILL) if process.poll() is None else None
            process.wait()


class ChatProcess(Cluster):
    """A process, and clients that talk with it over the wire until they are told that it is over."""

    # Nothing is encrypted here: a bit that is turned would only make another text of a text.
    EVENTS = ["killed", "stopped", "cut off", "delayed"]
    COUNT = 1

    def command(self, index):
        return [self.flow, "run", self.arguments[0], "--site", "site.yaml", "--state", "state"]

    def begin(self):
        (self.folder / "chat.key").write_text("a key that signs the tokens of an attack\n")
        (self.folder / "site.yaml").write_text(f"chat: {{listen: '0.0.0.0:{PORT}', key: chat.key, rate: 100}}\n")
        for number in range(TALKERS):
            name = f"talk-{number}"
            who = ["--user", f"user-{number}", "--role", "patient", "--conversation", name]
            command = [self.flow, "chat-token", "--key", "chat.key", *who]
            token = subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout
            (self.folder / f"{name}.token").write_text(token)
        super().begin()
        program = Path(__file__).with_name("talkers.py")
        talkers = [sys.executable, program, f"{SWITCH}:{PORT}", self.folder, TALKERS]
        with open(self.folder / "said-talkers", "w") as said:
            self.talkers = subprocess.Popen(
                within(NET, talkers), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True
            )

    def is_over(self):
        return self.talkers.poll() is not None

    def answered(self):
        heard = self.folder / "heard"
        return int(heard.read_text()) if heard.exists() else 0

    def finish(self):
        (self.folder / "over").touch()

    def end(self):
        self.account = self.talkers.communicate()[0] if self.talkers.poll() is not None else ""
        self.talkers.kill()
        self.talkers.wait()
        super().end()


class BookProcesses(Cluster):
    """Three processes that move the tokens of the same directories, and know nothing of each other."""

    EVENTS = ["killed", "stopped"]

    def command(self, index):
        place = ["--output", "output", "--lease", "3", "--lanes", "1", "-w", "1"]
        return [self.flow, "run", self.arguments[0], *place, *(["--end", "signal"] if index else [])]

    def answered(self):
        done = self.folder / "output/07_done"
        return len(os.listdir(done)) if done.exists() else 0


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


class Requests:
    """The requests of a dataflow, and the answers of one process that is left in peace."""

    Processes = Cluster
    PLACE = ["--state", "state", "--output", "output"]

    def __init__(self, flow, place, name):
        self.flow, self.place = flow, place / name
        self.place.mkdir()
        (self.place / "pace").mkdir()
        self.pace("0")
        self.given = self.made()
        self.right = self.alone()
        self.pace("0.3")

    def pace(self, seconds):
        (self.place / "pace/seconds").write_text(seconds)

    def folder(self, name):
        folder = self.place / name
        folder.mkdir()
        return folder

    def alone(self):
        alone = self.folder("alone")
        command = [self.flow, "run", self.given[0], *self.PLACE, *self.given[1:]]
        with open(alone / "said", "w") as said:
            subprocess.run(command, cwd=alone, check=True, stdout=subprocess.DEVNULL, stderr=said)
        return self.found(alone)

    def found(self, folder):
        return files_of(folder / "output")

    def compared(self, cluster):
        """The number of requests, and the names of lost answers, double ones, and different ones."""
        found, right = self.found(cluster.folder), self.right
        lost = [name for name in right if name not in found]
        double = [name for name in found if name not in right]
        different = [name for name in right if name in found and found[name] != right[name]]
        with sqlite3.connect(cluster.folder / "state/journal.sqlite") as journal:
            is_open = "SELECT name FROM request WHERE state NOT IN ('answered', 'removed')"
            lost += [name for (name,) in journal.execute(is_open)]
            twice = "SELECT request FROM record WHERE kind = 'responded' GROUP BY request HAVING count(*) > 1"
            double += [f"request {number}" for (number,) in journal.execute(twice)]
            (requests,) = journal.execute("SELECT count(*) FROM request").fetchone()
            (responded,) = journal.execute("SELECT count(*) FROM record WHERE kind = 'responded'").fetchone()
        if responded < len(right):
            raise RuntimeError(f"the journal has {responded} responses")
        double += ["a further request"] * max(0, requests - len(right))
        return len(right), lost, double, different

    def written(self, count, text):
        folder, paths = self.folder("in"), []
        for number in range(count):
            paths.append(str(folder / f"r{number}"))
            Path(paths[-1]).write_text(text(number))
        return paths


class StepRequests(Requests):
    """Two steps in a shell; the second one says on which process it runs."""

    def made(self):
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


class TallyRequests(Requests):
    def made(self):
        def jobs(number):
            ids = range(1_000 * number, 1_000 * number + 1_000)
            job = [{"id": id, "kind": "ask", "words": f"lung {id % 7}", "count": 1 + id % 9} for id in ids]
            for one in job[::2]:
                one.update(kind="direct")
            return "".join(json.dumps(one) + "\n" for one in job)

        return ["tally", "--files", *self.written(120, jobs)]


class StudyRequests(Requests):
    def made(self):
        size = ["--matrix", "64", "--slices", "32"]
        sample = [self.flow, "sample", self.place / "in", "--studies", "40", *size]
        subprocess.run(sample, check=True, capture_output=True)
        return ["ct-lung", "--input", str(self.place / "in")]


class ChatRequests(Requests):
    """Messages, whose answers have the same text. The clients themselves know what they have to hear."""

    Processes = ChatProcess

    def made(self):
        return ["chat"]

    def alone(self):
        return {}

    def compared(self, cluster):
        account = json.loads(cluster.account)
        return tuple(account[name] for name in ("messages", "lost", "double", "different"))


class BookRequests(Requests):
    """Books that are stored, and whose tokens end in the last directory."""

    Processes = BookProcesses
    PLACE = ["--output", "output"]

    def made(self):
        return ["books"]

    def found(self, folder):
        output = folder / "output"
        tokens = {path.name: {} for path in (output / "07_done").iterdir()}
        stored = files_of(output / "done_bucket")
        return {**tokens, **stored}

    def compared(self, cluster):
        found, right = self.found(cluster.folder), self.right
        lost = [name for name in right if name not in found]
        double = [name for name in found if name not in right]
        different = [name for name in right if name in found and found[name] != right[name]]
        return len(right), lost, double, different


# Each with its share of the events.
KINDS = {
    "steps": (StepRequests, 0.4),
    "tally": (TallyRequests, 0.2),
    "ct-lung": (StudyRequests, 0.15),
    "chat": (ChatRequests, 0.2),
    "books": (BookRequests, 0.05),
}
