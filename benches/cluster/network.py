"""Network namespaces for three processes: each has a link of its own, which can be down, and a wire to process 0."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

# The switch of the network, which has a wire between processes 1 and 2 and process 0, and clients.
NET, NAMES = "flow-attack", [f"flow-attack-{index}" for index in range(3)]
ADDRESSES = [f"10.77.0.{index + 1}" for index in range(3)]
SWITCH = "10.77.0.9"
PORT = 7001


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


class Network:
    """A bridge in a namespace, and a namespace with a link to it for each process."""

    def __init__(self):
        self.remove()
        if os.geteuid() != 0 or not shutil.which("ip") or ip("netns", "add", NET, check=False).returncode:
            sys.exit("this takes root and `ip netns`, which are not there")
        ip("-n", NET, "link", "add", "bridge", "type", "bridge")
        ip("-n", NET, "address", "add", f"{SWITCH}/24", "dev", "bridge")
        ip("-n", NET, "link", "set", "bridge", "up")
        ip("-n", NET, "link", "set", "lo", "up")
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("netns", "add", name)
            ip("-n", NET, "link", "add", name[-6:], "type", "veth", "peer", "name", "net", "netns", name)
            ip("-n", NET, "link", "set", name[-6:], "master", "bridge", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "net")
            ip("-n", name, "link", "set", "net", "up")
            ip("-n", name, "link", "set", "lo", "up")
        self.wire = Wire()

    def link(self, index, state):
        ip("-n", NET, "link", "set", NAMES[index][-6:], state)

    def remove(self):
        for name in [NET, *NAMES]:
            ip("netns", "del", name, check=False)

    def end(self):
        self.wire.end()
        self.remove()


class Wire:
    """What processes 1 and 2 take for process 0: it hands everything on, later or with a bit turned if told so."""

    def __init__(self):
        program = Path(__file__).with_name("wire.py")
        command = [sys.executable, program, f"{SWITCH}:{PORT}", f"{ADDRESSES[0]}:{PORT}"]
        self.process = subprocess.Popen(
            within(NET, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.process.stdout.readline()

    def say(self, order):
        self.process.stdin.write(order + "\n")

    def end(self):
        self.process.terminate()
        self.process.wait()


def within(namespace, command):
    return ["ip", "netns", "exec", namespace, *map(str, command)]


class Strangers:
    """Who has no business at process 0: noise, a browser, one that says nothing, and a process with another secret."""

    SCRIPT = """
import os, socket, sys, time
texts = [os.urandom(300), b"GET / HTTP/1.1\\r\\n\\r\\n", b"\\x16\\x03\\x01\\xff\\xff", b""]
kept = []
for number in range(40):
    try:
        stranger = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)
        stranger.sendall(texts[number % len(texts)])
        kept.append(stranger)
    except OSError:
        pass
    time.sleep(0.05)
time.sleep(1)
"""

    def __init__(self, cluster):
        (cluster.folder / "other-secret").write_text("another long text that nobody else has ever seen or heard of\n")
        noise = [sys.executable, "-c", self.SCRIPT, ADDRESSES[0], str(PORT)]
        other = cluster.command(1, secret="other-secret")
        with open(cluster.folder / "said-stranger", "a") as said:
            self.noise, self.other = [
                subprocess.Popen(
                    within(NET, command), cwd=cluster.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said
                )
                for command in (noise, other)
            ]

    def end(self):
        self.noise.wait()
        self.other.send_signal(signal.SIGKILL)
        self.other.wait()
