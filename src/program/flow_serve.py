"""The process of steps in Python: it answers the calls of flow for the functions that `flow_step.py` declares.

Numbers and texts of streams travel as columns: bytes behind the line of a message. See the book's page about the protocol.
"""

import copy
import functools
import inspect
import itertools
import json
import os
import pathlib
import sys
import time
import traceback

import flow_column
import flow_fault
import flow_output
import flow_step
from flow_column import column, is_numpy, passed_on, values_of
from flow_fault import fault_of
from flow_output import answer, as_json, checked, go_back, item
from flow_step import Array, Fault, File, Item, Request, _steps

PROTOCOL = 1

# Whether a step has forked this process from the one that answers.
_is_forked = False


def _value(sent):
    """An input as flow sends it."""
    if sent is None:
        return None
    if "each" in sent:
        return [_value(one) for one in sent["each"]]
    kind = sent["type"]
    if kind == "item":
        return Item(sent["path"], sent["name"])
    if kind == "request":
        return Request(sent["name"], sent["attributes"], [Item(item["path"], item["name"]) for item in sent["items"]])
    if kind == "files":
        return [File(file["path"], file["name"], file["media_type"]) for file in sent["files"]]
    if "path" in sent:
        return Array(sent["path"], sent.get("about"))
    return sent["value"]


def _arguments(function, declared, call):
    given = {key: _value(sent) for key, sent in call["inputs"].items()}
    for parameter in declared["parameters"]:
        given[parameter["name"]] = _setting(call["parameters"][parameter["name"]], parameter["default"])
    return given


def _setting(setting, default):
    """A parameter as flow sends it, with whole numbers as such. The default is left as it is: flow keeps it as a float."""
    is_list = isinstance(default, (list, tuple))
    # A function may change its list.
    if setting == ([_kept_as(one) for one in default] if is_list else _kept_as(default)):
        return copy.copy(default)
    if is_list and default and all(type(one) is int for one in default):
        return [_whole_number(one) for one in setting]
    return _whole_number(setting) if type(default) is int else setting


def _kept_as(value):
    return float(value) if type(value) is int else value


def _whole_number(number):
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _results(kind, results, more=None):
    """The line and the bytes behind it for results of a batch or, with `more`, for items of a stream."""
    sent, failed = column(kind, results), []
    if sent is None and kind in ("number", "text"):
        failed = [(at, one) for at, one in enumerate(results) if isinstance(one, Exception)]
        sent = column(kind, [one for one in results if not isinstance(one, Exception)]) if failed else None
    if sent is None and kind == "number":
        results = [_kept(one) for one in results]
    if sent is None:
        return _results_line(results) if more is None else _items_line(map(item, results), more), b""
    said = '"type": "%s", "count": %d, "bytes": %d' % (sent[0], len(results) - len(failed), len(sent[1]))
    line = b'{"column": {' + said.encode() + b"}"
    if more is not None:
        line += b', "more": ' + as_json(more)
    if failed:
        line += b', "faults": ' + as_json([{"at": at, "fault": fault_of(error)} for at, error in failed])
    return line + b"}", sent[1]


def _kept(number):
    """A number, or the fault of a whole one that would become another one as a float."""
    try:
        if type(number) is not int or int(float(number)) == number:
            return number
    except OverflowError:
        pass
    reason = "the step gave no number for an item, or one of more digits than a number keeps"
    return Fault(reason, "Give it as json or text.")


def _results_line(results):
    try:
        return checked({"values": results})
    except (TypeError, ValueError, RecursionError):
        return b'{"results": [' + b", ".join(map(item, results)) + b"]}"


def _items_line(items, more):
    return b'{"items": [' + b", ".join(items) + b'], "more": ' + as_json(more) + b"}"


def _note_fork():
    global _is_forked
    _is_forked = True


def _end_forked():
    """Ends a process that a step has forked and that has come back from it: the answer is that of the first one."""
    os._exit(0)


# A slow step gives what it has after this time, in seconds.
_PATIENCE = 0.05
# A message of items ends when it has reached this length.
_LENGTH = 1 << 20
# The numbers of a message, at most, where a function yields many at once.
_NUMBERS = 1 << 13
# A look at the clock may cost more than an item: between two of them are so many items, at most. Those that are made
# may be waited for, and those of a group are there.
_UNWATCHED_MADE = 16
_UNWATCHED_GROUPED = 64


def _unwatched(before, most, began):
    """The number of items until the next look at the clock; none if too much time has passed."""
    took = time.monotonic() - began
    if took > _PATIENCE:
        return 0
    return min(2 * before, most) if took < _PATIENCE / 10 else 1


def _next_items(items, asked, kind):
    """The next items, as far as they come in a while; whether there may be more; and the error that ended them."""
    made, length, unwatched, began = [], 0, 1, time.monotonic()
    try:
        while unwatched and len(made) < asked and length < _LENGTH:
            had, most = len(made), min(unwatched, asked - len(made))
            if kind == "number":
                made.extend(itertools.islice(items, most))
            else:
                for one in itertools.islice(items, most):
                    made.append(item(one) if kind == "json" else one)
                    length += len(made[-1]) if isinstance(made[-1], (bytes, str)) else 1
                    if length >= _LENGTH or _is_forked:
                        break
            if len(made) < had + most and length < _LENGTH:
                return made, False, None
            unwatched = _unwatched(unwatched, _UNWATCHED_MADE, began)
    except Exception as error:
        return made, True, error
    return made, True, None


def _next_batch(batches):
    """The same for a function that yields batches of numbers."""
    try:
        made = next(batches)
    except StopIteration:
        return [], False, None
    except Exception as error:
        return [], True, error
    return made, True, None


def _check_several(results):
    if isinstance(results, (dict, str, bytes, set)):
        raise TypeError(f"a step that takes a batch gives a list of results, not a {type(results).__name__}")


def _batches(function):
    """The batches that a function yields. An error that it yields is that of one item."""
    for batch in function:
        _check_several(batch)
        yield [batch] if isinstance(batch, Exception) else batch


def _cut(batches):
    for batch in batches:
        for at in range(0, len(batch), _NUMBERS):
            yield batch[at:at + _NUMBERS]


def _make(step, call, lines, send):
    """Makes a stream: items are asked for as they are taken."""
    function, declared, batch = step
    kind, asked = declared["outputs"][0]["type"], 1024
    items = iter(function(**_arguments(function, declared, call)))
    is_cut = batch and kind == "number"
    if batch:
        items = _cut(_batches(items)) if is_cut else itertools.chain.from_iterable(_batches(items))
    while True:
        made, more, error = _next_batch(items) if is_cut else _next_items(items, asked, kind)
        if error and not len(made):
            return {"fault": fault_of(error)}
        said = (_items_line(made, more), b"") if kind == "json" else _results(kind, made, more)
        if not more:
            return said
        send(said)
        line = next(lines, None)
        if line is None or error:
            return {"fault": fault_of(error)} if error else None
        asked = line.get("next", 1024)


def _taken(lines, send, batch):
    """The items of a stream, asked for as they are used."""
    while True:
        send({"next": True})
        message = next(lines, {"end": True})
        if "end" in message:
            return
        items = values_of(message["column"], batch) if "column" in message else message["items"]
        if batch:
            yield items
        else:
            yield from items


@functools.lru_cache(maxsize=None)
def _is_positional(function, first):
    kind = inspect.signature(function).parameters[first].kind
    return kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and not hasattr(function, "__wrapped__")


def _one_by_one(function, declared, call):
    """The function of the first input alone: the others are the same for each item of a group."""
    others = _arguments(function, declared, call)
    first = declared["inputs"][0]["name"]
    is_shared = all(isinstance(value, (str, int, float, type(None))) for value in others.values())
    if not is_shared:
        return lambda item: function(**{first: item}, **copy.deepcopy(others))
    if not _is_positional(function, first):
        return lambda item: function(**{first: item}, **others)
    return functools.partial(function, **others) if others else function


def _each(function, declared, call):
    """Calls a function for each of several items. If it is slow, flow asks for the others again."""
    run, items = _one_by_one(function, declared, call), call["batch"]
    results, unwatched, began = [], 1, time.monotonic()
    while unwatched and len(results) < len(items):
        for one in items[len(results):len(results) + unwatched]:
            try:
                results.append(run(one))
            except Exception as error:
                results.append(error)
            if _is_forked:
                _end_forked()
        unwatched = _unwatched(unwatched, _UNWATCHED_GROUPED, began)
    return results


def _whole(function, declared, call):
    """Calls a function for a batch."""
    arguments = _arguments(function, declared, call)
    results = function(**{declared["inputs"][0]["name"]: call["batch"]}, **arguments)
    _check_several(results)
    return results if isinstance(results, list) or is_numpy(results) else list(results)


def _several(call):
    """The results of a step for several items."""
    function, declared, _ = _steps[call["step"]]
    return (_each if declared["grouped"] else _whole)(function, declared, call)


def _said(call, results):
    """The results of a step, as they are sent."""
    return _results(_steps[call["step"]][1]["outputs"][0]["type"], results)


# Steps that were slow behind others: from then on, their items come in messages of their own.
_slow = set()


def _chain(call):
    """The answer of several steps: each goes on with the results of the one before, if flow would send it the same.

    Where it would not, the answer has the results up to there. Faults before them stand beside them.
    """
    parts, places, lost = [call, *call["then"]], range(len(call["batch"])), []
    written, before = os.fstat(2).st_size, None
    for after, (part, following) in enumerate(itertools.zip_longest(parts, parts[1:])):
        try:
            results = _several(part)
            if after and _steps[part["step"]][1]["grouped"] and len(results) < len(part["batch"]):
                _slow.add(part["step"])
                return before()
            passed = None
            # What is written to standard error belongs to the step that writes it.
            if following and len(results) == len(part["batch"]) and os.fstat(2).st_size == written:
                passed = _passed(part, results, following)
            before = functools.partial(_reached, part, results, after, lost)
            if passed is None:
                return before()
        except Exception as error:
            return _reached(None, error, after, lost)
        following["batch"], failed = passed
        lost = lost + [(places[at], after, error) for at, error in failed]
        if failed:
            failed = {at for at, _ in failed}
            places = [place for at, place in enumerate(places) if at not in failed]


def _reached(part, results, after, lost):
    """The answer of a chain that ends here. Each item that was lost comes with its place and the number of its step."""
    line, data = _said(part, results) if part else (as_json({"fault": fault_of(results)}), b"")
    if after:
        lost = sorted(lost, key=lambda one: one[0])
        lost = [{"at": at, "step": step, "fault": fault_of(error)} for at, step, error in lost]
        line = line[:-1] + b', "after": %d, "before": %b}' % (after, as_json(lost))
    return line, data


def _passed(part, results, following):
    """The items that the next step gets, and the failed ones with their places; None if flow has to look at them."""
    if following["step"] in _slow:
        return None
    _, declared, batch = _steps[following["step"]]
    kind, most = _steps[part["step"]][1]["outputs"][0]["type"], following.get("bytes")
    items, failed = passed_on(kind, results, batch, most), []
    if items is None and declared["grouped"]:
        failed = [(at, one) for at, one in enumerate(results) if isinstance(one, Exception)]
        others = [one for one in results if not isinstance(one, Exception)] if failed else []
        items = passed_on(kind, others, batch, most) if others else None
    return None if items is None else (items, failed)


def _run(call, lines, send):
    try:
        go_back()
        try:
            return _called(call, lines, send)
        finally:
            go_back()
    except Exception as error:
        return {"fault": fault_of(error)}


def _called(call, lines, send):
    function, declared, batch = step = _steps[call["step"]]
    if declared["outputs"][0].get("gives") == "many":
        return _make(step, call, lines, send)
    if declared["inputs"] and declared["inputs"][0]["takes"] == "stream":
        arguments = _arguments(function, declared, call)
        arguments[declared["inputs"][0]["name"]] = _taken(lines, send, batch)
        return answer(function(**arguments), declared)
    if "column" in call:
        call["batch"] = values_of(call["column"], batch)
    if "batch" not in call:
        return answer(function(**_arguments(function, declared, call)), declared)
    return _chain(call) if "then" in call else _said(call, _several(call))


def _sources(folder):
    """The modules that lie beside the steps: their content is a part of the steps' version."""
    modules = (flow_column, flow_fault, flow_output, flow_step)
    own = {os.path.abspath(path) for path in (__file__, *(module.__file__ for module in modules))}
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        path = path and os.path.abspath(path)
        if path and path not in own and path.startswith(folder + os.sep) and os.path.isfile(path):
            found.add(path)
    return sorted(found)


def _version():
    numpy = sys.modules.get("numpy")
    more = f", NumPy {numpy.__version__}" if numpy else ""
    return "Python " + sys.version.split()[0] + more


def serve(path):
    """Declares the steps of a file, and answers calls until there are no more."""
    # What a step prints must not get among the answers, and what it or a program of it reads is not a call.
    answers = os.fdopen(os.dup(1), "wb", 0)
    calls = os.fdopen(os.dup(0), "rb", 1 << 16)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.register_at_fork(after_in_child=_note_fork)
    sys.path[0] = flow_fault.folder = folder = os.path.dirname(os.path.abspath(path))
    import importlib.util

    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        # Where it is in the steps, and not how they came to be loaded.
        trace, own = error.__traceback__, (__file__, "<frozen importlib")
        while trace and trace.tb_frame.f_code.co_filename.startswith(own):
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        sys.exit(1)

    number = None

    def read():
        nonlocal number
        for line in calls:
            call = json.loads(line)
            number = call.get("call")
            if "column" in call:
                head = call["column"]
                call["column"] = ("mixed" if head.get("mixed") else head["type"], calls.read(head["bytes"]))
            yield call

    def send(message):
        if _is_forked:
            _end_forked()
        line, data = message if isinstance(message, tuple) else (checked(message), b"")
        if number is not None:
            line = b'{"call": %d, ' % number + line[1:]
        left = memoryview(b"".join((line, b"\n", data)))
        while left:
            left = left[answers.write(left):]

    declared = [declared for _, declared, _ in _steps.values()]
    hello = {"flow": PROTOCOL, "version": _version(), "files": _sources(folder), "columns": True, "chains": True,
             "steps": declared}
    # A default may be any number: it is not sent back.
    send((as_json(hello), b""))
    lines = read()
    for call in lines:
        answer = _run(call, lines, send)
        try:
            if answer is not None:
                send(answer)
        except (TypeError, ValueError, RecursionError) as error:
            send({"fault": fault_of(error)})


if __name__ == "__main__":
    serve(sys.argv[1])
