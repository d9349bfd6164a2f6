"""A connection that delays and damages what it carries, as attack.py wants it.

python3 benches/cluster/wire.py LISTEN TO, both ADDRESS:PORT. Lines of the standard input are what it does from then on:
`delay SECONDS` holds back everything for so long; `flip` turns one bit of the next bytes, in one direction. It prints a line
when it listens, and one for each bit that it has turned.
"""

import asyncio
import sys


class Wire:
    def __init__(self, to):
        self.to, self.delay, self.flips = to, 0.0, 0

    async def obey(self):
        orders = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(orders)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := (await orders.readline()).split():
            if line[0] == b"delay":
                self.delay = float(line[1])
            else:
                self.flips += 1

    async def connected(self, reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.to)
        except OSError:
            writer.close()
            return
        ways = self.carry(reader, there_writer), self.carry(there_reader, writer)
        await asyncio.gather(*ways, return_exceptions=True)

    async def carry(self, reader, writer):
        """Carries one direction until it ends: a task reads, and this one writes when the time of a piece has come."""
        waiting = asyncio.Queue(maxsize=1_000)
        taking = asyncio.create_task(self.take(reader, waiting))
        clock = asyncio.get_running_loop().time
        try:
            while piece := await waiting.get():
                due, data = piece
                if (early := due - clock()) > 0:
                    await asyncio.sleep(early)
                writer.write(self.harmed(data))
                await writer.drain()
        finally:
            taking.cancel()
            writer.close()

    async def take(self, reader, waiting):
        clock = asyncio.get_running_loop().time
        try:
            while data := await reader.read(65_536):
                await waiting.put((clock() + self.delay, data))
        except OSError:
            pass
        await waiting.put(None)

    def harmed(self, data):
        if not self.flips:
            return data
        self.flips -= 1
        print("a bit is turned", flush=True)
        return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0x10]) + data[len(data) // 2 + 1 :]


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def main():
    wire = Wire(address(sys.argv[2]))
    await asyncio.start_server(wire.connected, *address(sys.argv[1]))
    print("listens", flush=True)
    await wire.obey()


asyncio.run(main())
