"""The functions of `benches/streams/steps.py` in a plain loop, without flow: the most that Python allows on one core.

`python3 benches/peers/python_loop.py [ITEMS]` prints million items a second, one by one and in lists.
"""

import pathlib
import sys
import time
import types


def loaded():
    """The steps as the functions that they are."""
    helper = types.ModuleType("flow_step")
    helper.step = lambda function=None, **_: function or (lambda function: function)
    sys.modules["flow_step"] = helper
    place = pathlib.Path(__file__).parent.parent / "streams" / "steps.py"
    names = {}
    exec(compile(place.read_text(), str(place), "exec"), names)
    return types.SimpleNamespace(**names)


def one_by_one(steps, items):
    total = 0
    for number in range(items):
        total += steps.last(steps.halve(steps.mix(steps.add(number))))
    return total


def in_lists(steps, items):
    total = 0
    for numbers in steps.numbers_batch(None, items):
        total += sum(steps.last_batch(steps.halve_batch(steps.mix_batch(steps.add_batch(numbers)))))
    return total


def main():
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    steps, rates = loaded(), []
    for loop in (one_by_one, in_lists):
        began = time.perf_counter()
        loop(steps, items)
        rates.append(items / (time.perf_counter() - began) / 1e6)
    print(f"  a plain loop over the same functions, one by one {rates[0]:.3f} M/s; as lists {rates[1]:.3f} M/s")


if __name__ == "__main__":
    main()
