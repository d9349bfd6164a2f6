"""Steps for flow in Python. Nothing but the standard library is needed; NumPy is used for arrays if it is there.

    from flow_step import step

    @step
    def count_words(item: "item", least: int = 1) -> "json":
        "Counts the words of a file."
        return {"words": sum(len(word) >= least for word in item.text().split())}

What is annotated with the name of a type is an input: "item?" may be absent, "[json]" takes the values of all items.
"*json" takes a stream: an iterator of its items. "-> \"*json\"" makes one: the function yields its items.
What has a default is a parameter. The function stays a function: a test calls it as it is.

flow starts one process for a file of steps and calls it many times, so a model is loaded once: load it at the first
call, or when the module is imported. flow carries this file and runs the steps with its own copy; the one beside your
steps is for editors and tests.
"""

import ast
import copy
import functools
import inspect
import json
import os
import pathlib
import sys
import time
import traceback

PROTOCOL = 1
_steps = {}


class Fault(Exception):
    """The data cannot be worked on. The reason and the remedy go to the sender."""

    def __init__(self, reason, remedy="", transient=False):
        super().__init__(reason)
        self.reason, self.remedy, self.transient = str(reason), str(remedy), transient


class Parameter:
    """The default of a parameter, with its range: least=Parameter(1, 0, 100, unit="letters")."""

    def __init__(self, default, least=None, most=None, unit="", about="", choices=()):
        self.default, self.least, self.most = default, least, most
        self.unit, self.about, self.choices = unit, about, list(choices)


class Item(os.PathLike):
    """One record of the request: a file."""

    def __init__(self, path, name=None):
        self.path, self.name = str(path), name or os.path.basename(str(path))

    def __fspath__(self):
        return self.path

    def open(self):
        return open(self.path, "rb")

    def bytes(self):
        return pathlib.Path(self.path).read_bytes()

    def text(self, encoding="utf-8"):
        return pathlib.Path(self.path).read_text(encoding)


class File(Item):
    """A file that another step made."""

    def __init__(self, path, name=None, media_type=None):
        super().__init__(path, name)
        self.media_type = media_type


class Request:
    """The request: its name, its attributes (a list of texts each) and its items."""

    def __init__(self, name, attributes=None, items=()):
        self.name, self.attributes, self.items = name, attributes or {}, list(items)


class Array:
    """Numbers with a shape: `numpy` is the NumPy array, mapped and not copied; `about` is what belongs to it."""

    def __init__(self, numbers, about=None):
        self._numbers, self.about = numbers, about or {}

    @property
    def numpy(self):
        if isinstance(self._numbers, str):
            import numpy

            self._numbers = numpy.load(self._numbers, mmap_mode="r", allow_pickle=False)
        return self._numbers

    @property
    def path(self):
        """The file in the NPY format, for those who have no NumPy."""
        return self._numbers

    def __array__(self, dtype=None, copy=None):
        import numpy

        return numpy.asarray(self.numpy, dtype=dtype)


def step(function=None, *, name=None, batch=False):
    """Makes a step of a function."""
    if function is None:
        return functools.partial(step, name=name, batch=batch)
    declared = _declaration(function, name, batch)
    if declared["name"] in _steps:
        raise ValueError(f"two steps are called {declared['name']}")
    _steps[declared["name"]] = (function, declared)
    return function


def _declaration(function, name, batch):
    inputs, parameters = [], []
    for argument in inspect.signature(function).parameters.values():
        if argument.default is inspect.Parameter.empty:
            inputs.append(_input(function, argument))
        else:
            parameters.append(_parameter(argument))
    outputs = _said(function.__annotations__.get("return", "json"))
    makes = isinstance(outputs, str) and outputs.startswith("*")
    if makes != inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__name__}: a step that yields items says so: -> \"*json\"")
    outputs = outputs.lstrip("*") if makes else outputs
    outputs = outputs if isinstance(outputs, dict) else {_plain(outputs): outputs}
    gives = {"gives": "many"} if makes else {}
    kinds = [_plain(kind) for kind in outputs.values()]
    first = inputs[0] if inputs else {"type": None, "takes": None}
    is_plain = first["takes"] == "one" and {first["type"], *kinds} <= _IN_LINE and len(kinds) == 1
    return {
        "name": name or function.__name__.replace("_", "-"),
        "about": (inspect.getdoc(function) or "").split("\n")[0],
        "inputs": inputs,
        "outputs": [{"name": key, "type": _plain(kind), **gives} for key, kind in outputs.items()],
        "parameters": parameters,
        "batch": batch,
        "grouped": is_plain and not makes and not batch,
    }


# The types whose values stand in a line.
_IN_LINE = {"json", "number", "text"}

def _said(annotation):
    """An annotation, also of a module that has them as texts (`from __future__ import annotations`)."""
    is_text = isinstance(annotation, str) and annotation[:1] in ("'", '"', "{")
    return ast.literal_eval(annotation) if is_text else annotation


_PLAIN = {"str": "text", "float": "number", "int": "number", "dict": "json", "list": "json", "ndarray": "array"}


def _plain(annotation):
    kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return _PLAIN.get(kind, kind[0].lower() + kind[1:])


def _input(function, argument):
    if argument.annotation is inspect.Parameter.empty:
        raise TypeError(f"{function.__name__}: say the type of {argument.name}, for example {argument.name}: \"item\"")
    kind, takes = _said(argument.annotation), "one"
    if isinstance(kind, str) and kind.endswith("?"):
        kind, takes = kind[:-1], "optional"
    elif isinstance(kind, str) and kind.startswith("*"):
        kind, takes = kind[1:], "stream"
    elif isinstance(kind, str) and kind.startswith("["):
        kind, takes = kind.strip("[]"), "each"
    return {"name": argument.name, "type": _plain(kind), "takes": takes}


def _parameter(argument):
    given = argument.default if isinstance(argument.default, Parameter) else Parameter(argument.default)
    said = {"name": argument.name, "default": given.default, "unit": given.unit, "about": given.about}
    said.update({key: value for key in ("least", "most") if (value := getattr(given, key)) is not None})
    if given.choices:
        said["choices"] = given.choices
    return said


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
        setting, default = call["parameters"][parameter["name"]], parameter["default"]
        if isinstance(default, int) and isinstance(setting, float) and setting.is_integer():
            setting = int(setting)
        given[parameter["name"]] = setting
    return given


def _is_array(value):
    return isinstance(value, Array) or hasattr(value, "__array_interface__")


def _save_array(value, path):
    about = value.about if isinstance(value, Array) else {}
    numbers = value._numbers if isinstance(value, Array) else value
    if isinstance(numbers, str):
        pathlib.Path(path).write_bytes(pathlib.Path(numbers).read_bytes())
        return about
    import numpy

    numpy.save(path, numpy.ascontiguousarray(numbers), allow_pickle=False)
    return about


def _save_files(files, folder):
    os.makedirs(folder, exist_ok=True)
    if isinstance(files, list):
        files = {file.name: file for file in files}
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, (os.PathLike, pathlib.Path)):
            content = pathlib.Path(content).read_bytes()
        elif isinstance(content, str):
            content = content.encode()
        elif not isinstance(content, (bytes, bytearray, memoryview)):
            content = (json.dumps(content, indent=2, default=_number) + "\n").encode()
        with open(path, "wb") as file:
            file.write(content)


def _number(value):
    """A NumPy number as a plain one."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _answer(value, declared):
    """What a step gives: values as JSON, arrays and files below out/."""
    outputs = declared["outputs"]
    given = value if len(outputs) != 1 else {outputs[0]["name"]: value}
    if not isinstance(given, dict):
        raise TypeError(f"a step with several outputs gives a dict of them, not {type(given).__name__}")
    said = {}
    for output in outputs:
        name, kind = output["name"], output["type"]
        if name not in given:
            raise ValueError(f"the step did not give its output {name!r}")
        if kind == "files":
            _save_files(given[name], os.path.join("out", name))
            said[name] = None
        elif _is_array(given[name]):
            said[name] = _save_array(given[name], os.path.join("out", name + ".npy"))
        else:
            said[name] = given[name]
    return {"outputs": said}


def _failed(error):
    log = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, Fault):
        kind = "transient" if error.transient else "data"
        return {"reason": error.reason, "remedy": error.remedy, "kind": kind, "log": log}
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({os.path.basename(frame.filename)}, line {frame.lineno})" for frame in last)
    return {"reason": f"{type(error).__name__}: {error}{where}", "kind": "broken", "log": log}


def _item(one):
    """An item, or its fault, as JSON. What cannot be sent is a fault of the item."""
    try:
        return _json({"fault": _failed(one)} if isinstance(one, Exception) else {"value": one})
    except (TypeError, ValueError) as error:
        return _json({"fault": _failed(error)})


def _results(results):
    try:
        return '{"values": ' + _json(results) + "}"
    except (TypeError, ValueError):
        return '{"results": [' + ", ".join(map(_item, results)) + "]}"


# A slow step gives what it has after this time, in seconds.
_PATIENCE = 0.05
# A line of items ends when it has reached this length.
_LINE = 1 << 20


_json = json.JSONEncoder(default=_number, allow_nan=False).encode


def _items_line(items, more):
    return '{"items": [' + ", ".join(items) + '], "more": ' + _json(more) + "}"


def _make(function, declared, call, lines, send):
    """Makes a stream: items are asked for as they are taken."""
    items, asked = iter(function(**_arguments(function, declared, call))), 1024
    while True:
        made, length, more, failed, began = [], 0, True, None, time.monotonic()
        try:
            while len(made) < asked and length < _LINE and time.monotonic() - began < _PATIENCE:
                made.append(_item(next(items)))
                length += len(made[-1])
        except StopIteration:
            more = False
        except Exception as error:
            failed = _failed(error)
        if failed and not made:
            return {"fault": failed}
        if not more:
            return _items_line(made, False)
        send(_items_line(made, True))
        line = next(lines, None)
        if line is None or failed:
            return {"fault": failed} if failed else None
        asked = line.get("next", 1024)


def _taken(lines, send):
    """The items of a stream, asked for as they are used."""
    while True:
        send({"next": True})
        message = next(lines, {"end": True})
        if "end" in message:
            return
        yield from message["items"]


def _each(function, declared, call):
    """Calls a function for each of several items. If it is slow, flow asks for the others again."""
    others = _arguments(function, declared, call)
    is_shared = all(isinstance(value, (str, int, float, type(None))) for value in others.values())
    first, results, began = declared["inputs"][0]["name"], [], time.monotonic()
    for item in call["batch"]:
        arguments = others if is_shared else copy.deepcopy(others)
        arguments[first] = item
        try:
            results.append(function(**arguments))
        except Exception as error:
            results.append(error)
        if time.monotonic() - began > _PATIENCE:
            break
    return _results(results)


def _run(call, lines, send):
    function, declared = _steps[call["step"]]
    try:
        if declared["outputs"][0].get("gives") == "many":
            return _make(function, declared, call, lines, send)
        if declared["inputs"] and declared["inputs"][0]["takes"] == "stream":
            arguments = _arguments(function, declared, call)
            arguments[declared["inputs"][0]["name"]] = _taken(lines, send)
            return _answer(function(**arguments), declared)
        if "batch" not in call:
            return _answer(function(**_arguments(function, declared, call)), declared)
        if declared["grouped"]:
            return _each(function, declared, call)
        call["inputs"][declared["inputs"][0]["name"]] = {"type": "json", "value": call["batch"]}
        results = function(**_arguments(function, declared, call))
        if isinstance(results, (dict, str, bytes, set)):
            raise TypeError(f"a step that takes a batch gives a list of results, not a {type(results).__name__}")
        return _results(list(results))
    except Exception as error:
        return {"fault": _failed(error)}


def _sources(folder):
    """The modules that lie beside the steps: their content is a part of the steps' version."""
    found, own = set(), os.path.abspath(__file__)
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        path = path and os.path.abspath(path)
        if path and path != own and path.startswith(folder + os.sep) and os.path.isfile(path):
            found.add(path)
    return sorted(found)


def _version():
    numpy = sys.modules.get("numpy")
    more = f", NumPy {numpy.__version__}" if numpy else ""
    return "Python " + sys.version.split()[0] + more


def serve(path):
    """Declares the steps of a file, and answers calls until there are no more."""
    # What a step prints must not get among the answers, and what it or a program of it reads is not a call.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    calls = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    folder = os.path.dirname(os.path.abspath(path))
    sys.path[0] = folder
    sys.modules["flow_step"] = sys.modules["__main__"]
    import importlib.util

    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)

    number = None

    def read():
        nonlocal number
        for line in calls:
            call = json.loads(line)
            number = call.get("call")
            yield call

    def send(message):
        text = message if isinstance(message, str) else _json(message)
        if number is not None:
            text = '{"call": ' + str(number) + ", " + text[1:]
        answers.write(text + "\n")
        answers.flush()

    declared = [declared for _, declared in _steps.values()]
    send({"flow": PROTOCOL, "version": _version(), "files": _sources(folder), "steps": declared})
    lines = read()
    for call in lines:
        answer = _run(call, lines, send)
        try:
            if answer is not None:
                send(answer)
        except (TypeError, ValueError) as error:
            send({"fault": _failed(error)})


if __name__ == "__main__":
    serve(sys.argv[1])
