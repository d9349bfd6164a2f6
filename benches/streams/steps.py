"""The steps of `benches/peers/bytewax_items.py` as steps of flow. Where that drops one in ten, here is a further step."""

from flow_step import step

BATCH = 1000


@step
def numbers(request: "request", count: int = 1000) -> "*number":
    yield from range(count)


@step(batch=True)
def numbers_batch(request: "request", count: int = 1000) -> "*number":
    for start in range(0, count, BATCH):
        yield range(start, min(start + BATCH, count))


@step
def add(number: "number") -> "number":
    return number + 1


@step
def mix(number: "number") -> "number":
    return number * 31 % 1_000_003


@step
def halve(number: "number") -> "number":
    return number // 2


@step
def last(number: "number") -> "number":
    return int(number) ^ 5


@step(batch=True)
def add_batch(numbers: "number") -> "number":
    return [number + 1 for number in numbers]


@step(batch=True)
def mix_batch(numbers: "number") -> "number":
    return [number * 31 % 1_000_003 for number in numbers]


@step(batch=True)
def halve_batch(numbers: "number") -> "number":
    return [number // 2 for number in numbers]


@step(batch=True)
def last_batch(numbers: "number") -> "number":
    return [int(number) ^ 5 for number in numbers]


@step
def total(numbers: "*number") -> "files":
    return {"total.json": sum(numbers)}


@step(batch=True)
def total_batch(numbers: "*number") -> "files":
    return {"total.json": sum(map(sum, numbers))}
