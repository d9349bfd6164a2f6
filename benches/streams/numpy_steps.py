"""The steps of `steps.py` on NumPy arrays."""

import numpy
from flow_step import step

BATCH = 1000


@step(batch="numpy")
def numbers_numpy(request: "request", count: int = 1000) -> "*number":
    for start in range(0, count, BATCH):
        yield numpy.arange(start, min(start + BATCH, count))


@step(batch="numpy")
def add_numpy(numbers: "number") -> "number":
    return numbers + 1


@step(batch="numpy")
def mix_numpy(numbers: "number") -> "number":
    return numbers.astype("int64") * 31 % 1_000_003


@step(batch="numpy")
def halve_numpy(numbers: "number") -> "number":
    return numbers.astype("int64") // 2


@step(batch="numpy")
def last_numpy(numbers: "number") -> "number":
    return numbers.astype("int64") ^ 5


@step(batch="numpy")
def total_numpy(numbers: "*number") -> "files":
    return {"total.json": sum(int(each.sum()) for each in numbers)}
