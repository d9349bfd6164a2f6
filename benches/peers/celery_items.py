"""Items through a chain of four tasks in Celery with the broker in memory, as `benches/streams.rs` has its steps.

`python3 benches/peers/celery_items.py [ITEMS]` prints million items a second, each item a chain of four tasks and in
batches of 1 000, and the time of one item. Broker, worker and caller are one process, so nothing crosses a network.
"""

import sys
import time

import celery
from celery.contrib.testing.worker import start_worker

BATCH = 1000
app = celery.Celery("items", broker="memory://", backend="cache+memory://")
# Without it, broker and result are looked at once a second.
app.conf.update(broker_transport_options={"polling_interval": 0.001}, worker_hijack_root_logger=False, task_ignore_result=False, broker_connection_retry_on_startup=False)


@app.task
def add(batch):
    return [number + 1 for number in batch]


@app.task
def mix(batch):
    return [number * 31 % 1_000_003 for number in batch]


@app.task
def keep(batch):
    return [number for number in batch if number % 10 != 0]


@app.task
def last(batch):
    return sum(number ^ 5 for number in batch)


def total(items, size):
    batches = [list(range(start, min(start + size, items))) for start in range(0, items, size)]
    began = time.perf_counter()
    results = [celery.chain(add.s(batch), mix.s(), keep.s(), last.s()).apply_async() for batch in batches]
    sum_of = sum(result.get(timeout=600, interval=0.001) for result in results)
    return time.perf_counter() - began, sum_of


def main():
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with start_worker(app, concurrency=1, pool="solo", perform_ping_check=False, loglevel="error"):
        flat, single = total(items, 1)
        batches, _ = total(items * BATCH, BATCH)
        small = min(total(1, 1)[0] for _ in range(20))
    print(f"Celery, one by one {items / flat / 1e6:.6f} M/s; batches of {BATCH} {items * BATCH / batches / 1e6:.3f} M/s; "
          f"one item {small * 1e3:.2f} ms; sum {single}")


main()
