"""Steps for flow in Python. Nothing but the standard library is needed; NumPy is used for arrays if it is there.

    from flow_step import step

    @step
    def count_words(item: "item", least: int = 1) -> "json":
        "Counts the words of a file."
        return {"words": sum(len(word) >= least for word in item.text().split())}

What is annotated with the name of a type is an input: "item?" may be absent, "[json]" takes the values of all items.
"*json" takes a stream: an iterator of its items. "-> \"*json\"" makes one: the function yields its items.
With @step(batch=True) items come and go in lists, with @step(batch="numpy") numbers come in NumPy arrays.
A number that is whole is an int, and any other a float; in NumPy arrays all are float64.
What has a default is a parameter. The function stays a function: a test calls it as it is.

flow starts one process for a file of steps and calls it many times, so a model is loaded once: load it at the first
call, or when the module is imported. flow carries this file and runs the steps with its own copy; the one beside your
steps is for editors and tests.
"""

import ast
import functools
import inspect
import os
import pathlib

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
        self.path, self.name = pathlib.Path(path), name or os.path.basename(str(path))

    def __fspath__(self):
        return str(self.path)

    def open(self):
        return open(self.path, "rb")

    def bytes(self):
        return self.path.read_bytes()

    def text(self, encoding="utf-8"):
        return self.path.read_text(encoding)


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
        self._file = pathlib.Path(numbers) if isinstance(numbers, (str, os.PathLike)) else None

    @property
    def numpy(self):
        if isinstance(self._numbers, (str, os.PathLike)):
            import numpy

            self._numbers = numpy.load(self._numbers, mmap_mode="r", allow_pickle=False)
        return self._numbers

    @property
    def path(self):
        """The file in the NPY format, for those who have no NumPy; None if the step made the numbers."""
        return self._file

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
    _steps[declared["name"]] = (function, declared, batch)
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
    _check_kind(function, makes, outputs)
    outputs = outputs.lstrip("*") if makes else outputs
    outputs = outputs if isinstance(outputs, dict) else {_plain(outputs): outputs}
    gives = {"gives": "many"} if makes else {}
    kinds = [_plain(kind) for kind in outputs.values()]
    first = inputs[0] if inputs else {"type": None, "takes": None}
    takes_stream = first["takes"] == "stream"
    _check_batch(function, batch, kinds[0] if makes else first["type"])
    is_plain = first["takes"] == "one" and {first["type"], *kinds} <= _IN_LINE and len(kinds) == 1
    return {
        "name": name or function.__name__.replace("_", "-"),
        "about": (inspect.getdoc(function) or "").split("\n")[0],
        "inputs": inputs,
        "outputs": [{"name": key, "type": _plain(kind), **gives} for key, kind in outputs.items()],
        "parameters": parameters,
        # A stream comes and goes in batches whatever the function says.
        "batch": bool(batch) and not makes and not takes_stream,
        "grouped": is_plain and not makes and not batch,
    }


def _check_kind(function, makes, outputs):
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__name__}: a step is a plain function: write def in place of async def, and run what "
                        "is asynchronous in it with asyncio.run(...)")
    if makes and not inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__name__}: -> \"{outputs}\" says that the function yields its items: use yield "
                        "instead of return")
    if inspect.isgeneratorfunction(function) and not makes:
        raise TypeError(f"{function.__name__}: a step that yields items says so: -> \"*json\"")


def _check_batch(function, batch, kind):
    if batch not in (False, True, "numpy"):
        raise TypeError(f"{function.__name__}: batch is True or \"numpy\", not {batch!r}")
    if batch == "numpy":
        if kind != "number":
            raise TypeError(f"{function.__name__}: a NumPy array has the type number, not {kind}")
        # Its version is a part of the step's, and its absence is told when the steps are checked.
        import numpy  # noqa: F401


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
    # Without the annotation, a whole default is also that of a parameter which may be a fraction.
    if argument.annotation in (int, "int") and type(given.default) is int:
        said["whole"] = True
    if given.choices:
        said["choices"] = given.choices
    return said
