"""Clients of a chat that go on whatever becomes of the server, and know what they have to hear in the end.

python3 benches/cluster/talkers.py ADDRESS:PORT FOLDER CONVERSATIONS. FOLDER has `NAME.token` for each; the number of answers heard so far
is written to `heard`, and no message is begun once there is a file `over`. The last line of the output is the account, as
JSON: messages that were acknowledged, and those whose answer was lost, came twice, or is not the right one.
"""

import asyncio
import base64
import json
import os
import random
import struct
import sys
from pathlib import Path

# Of the types that flow carries: its answer has the content of the message, and keeps the order of a conversation.
TYPE = "text"
SILENCE_S = 20


class Socket:
    """The client's side of a WebSocket: as much of RFC 6455 as texts need."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = f"Host: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade"
        ask = f"GET /ws HTTP/1.1\r\n{headers}\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        writer.write(ask.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n")[0]:
            writer.close()
            raise ConnectionError(answer.split(b"\r\n")[0].decode())
        return cls(reader, writer)

    async def send(self, value, code=1):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        mask = os.urandom(4)
        long = len(data) > 125
        head = bytes([0x80 | code, 0x80 | (126 if long else len(data))]) + (struct.pack("!H", len(data)) if long else b"")
        self.writer.write(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))
        await self.writer.drain()

    async def receive(self):
        """The next text; pings are answered."""
        while True:
            code, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            data = await self.reader.readexactly(length)
            match code & 0x0F:
                case 1:
                    return json.loads(data)
                case 8:
                    raise ConnectionError("closed")
                case 9:
                    await self.send(data, code=10)


class Talker:
    def __init__(self, number, folder):
        self.name, self.folder, self.chance = f"talk-{number}", folder, random.Random(number)
        self.sent, self.accepted, self.heard, self.seen = {}, set(), [], 0

    async def run(self, host, port):
        while not self.is_done():
            try:
                async with asyncio.timeout(SILENCE_S):
                    socket = await Socket.open(host, port)
                    token = (self.folder / f"{self.name}.token").read_text().strip()
                    await socket.send({"hello": {"token": token, "seen": {self.name: self.seen}}})
                talking = asyncio.create_task(self.talk(socket))
                try:
                    while not self.is_done():
                        async with asyncio.timeout(SILENCE_S):
                            self.take(await socket.receive())
                finally:
                    talking.cancel()
                    socket.writer.close()
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ConnectionError):
                await asyncio.sleep(self.chance.uniform(0.01, 0.2))

    async def talk(self, socket):
        """Sends again what was not acknowledged, and goes on one message at a time."""
        while True:
            waiting = [id for id in self.sent if id not in self.accepted]
            if not waiting and not self.is_over():
                waiting = [f"{self.name}-{len(self.sent)}"]
                self.sent[waiting[0]] = f"the text of {waiting[0]}"
            for id in waiting:
                content = {"text": self.sent[id]}
                await socket.send({"send": {"id": id, "conversation": self.name, "type": TYPE, "content": content}})
            while any(id not in self.accepted for id in waiting):
                await asyncio.sleep(0.01)
            await asyncio.sleep(self.chance.uniform(0.1, 0.5))

    def take(self, value):
        if accepted := value.get("accepted"):
            self.accepted.add(accepted["id"])
        elif refused := value.get("refused"):
            print(f"{self.name}: refused: {refused}", file=sys.stderr, flush=True)
            # It is sent again with the next connection.
            raise ConnectionError("refused")
        elif event := value.get("event"):
            self.heard.append(event)
            self.seen = max(self.seen, event.get("seq", 0))

    def is_over(self):
        return (self.folder / "over").exists()

    def is_done(self):
        return self.is_over() and self.accepted >= set(self.sent) and len(self.heard) >= len(self.sent)

    def account(self):
        answers = [event.get("answers") for event in self.heard]
        texts = {event.get("answers"): event["content"].get("text") for event in self.heard}
        lost = [id for id in self.sent if id not in answers]
        double = [id for id in answers if answers.count(id) > 1]
        different = [id for id in self.sent if id in texts and texts[id] != self.sent[id]]
        # One message is under way at a time: the answers come in its order.
        different += [] if sorted(answers, key=list(self.sent).index) == answers or lost or double else [self.name]
        return len(self.sent), lost, double, different


async def count(talkers, folder):
    while True:
        (folder / ".heard").write_text(str(sum(len(talker.heard) for talker in talkers)))
        os.replace(folder / ".heard", folder / "heard")
        await asyncio.sleep(0.02)


async def main():
    (host, port), folder = sys.argv[1].rsplit(":", 1), Path(sys.argv[2])
    talkers = [Talker(number, folder) for number in range(int(sys.argv[3]))]
    counting = asyncio.create_task(count(talkers, folder))
    await asyncio.gather(*[talker.run(host, int(port)) for talker in talkers])
    counting.cancel()
    messages, *faults = zip(*[talker.account() for talker in talkers])
    lost, double, different = [[id for ids in fault for id in ids] for fault in faults]
    print(json.dumps({"messages": sum(messages), "lost": lost, "double": double, "different": different}))


asyncio.run(main())
