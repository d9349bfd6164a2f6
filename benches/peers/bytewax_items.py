"""Items through four cheap steps and a sum in Bytewax, one by one and in batches, as `benches/streams.rs` has them.

`python3 benches/peers/bytewax_items.py [ITEMS]` prints million items a second, and the time of a run of one item.
"""

import sys
import time

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

BATCH = 1000


def one_by_one(items):
    flow, out = Dataflow("flat"), []
    stream = op.input("in", flow, TestingSource(range(items), batch_size=BATCH))
    stream = op.map("add", stream, lambda number: number + 1)
    stream = op.map("mix", stream, lambda number: number * 31 % 1_000_003)
    stream = op.filter("keep", stream, lambda number: number % 10 != 0)
    stream = op.map("last", stream, lambda number: number ^ 5)
    keyed = op.key_on("key", stream, lambda _: "all")
    total = op.fold_final("sum", keyed, lambda: 0, lambda sum, number: sum + number)
    op.output("out", total, TestingSink(out))
    return flow, out


def in_batches(items):
    flow, out = Dataflow("batches"), []
    batches = [range(start, min(start + BATCH, items)) for start in range(0, items, BATCH)]
    stream = op.input("in", flow, TestingSource(batches))
    stream = op.map("add", stream, lambda batch: [number + 1 for number in batch])
    stream = op.map("mix", stream, lambda batch: [number * 31 % 1_000_003 for number in batch])
    stream = op.map("keep", stream, lambda batch: [number for number in batch if number % 10 != 0])
    stream = op.map("last", stream, lambda batch: [number ^ 5 for number in batch])
    keyed = op.key_on("key", stream, lambda _: "all")
    total = op.fold_final("sum", keyed, lambda: 0, lambda sum, batch: sum + sum_of(batch))
    op.output("out", total, TestingSink(out))
    return flow, out


def sum_of(batch):
    total = 0
    for number in batch:
        total += number
    return total


def timed(make, items):
    flow, out = make(items)
    began = time.perf_counter()
    run_main(flow)
    return time.perf_counter() - began, out


def main():
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    flat, single = timed(one_by_one, items)
    batches, together = timed(in_batches, items)
    if single != together:
        raise SystemExit(f"the totals differ: {single}, {together}")
    small = min(timed(one_by_one, 1)[0] for _ in range(20))
    print(f"Bytewax, one by one {items / flat / 1e6:.3f} M/s; batches of {BATCH} {items / batches / 1e6:.3f} M/s; "
          f"one item {small * 1e3:.2f} ms")


main()
