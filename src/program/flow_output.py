"""What steps in Python give: JSON that flow can read, and arrays and files below out/."""

import json
import math
import os
import pathlib

from flow_fault import fault_of
from flow_step import Array

# The folder of the process. A step may have left it.
_FOLDER = os.getcwd()
_OUT = os.path.join(_FOLDER, "out")


def go_back():
    """Goes back to the folder of the process, in which each call begins."""
    try:
        is_there = os.getcwd() == _FOLDER
    except OSError:
        is_there = False
    if not is_there:
        try:
            os.chdir(_FOLDER)
        except OSError as error:
            reason = f"the step left its working directory, and it cannot be gone back to: {error.strerror}"
            raise RuntimeError(reason) from error


def _is_array(value):
    return isinstance(value, Array) or hasattr(value, "__array_interface__")


def _save_array(value, path):
    about = value.about if isinstance(value, Array) else {}
    numbers = value._numbers if isinstance(value, Array) else value
    if isinstance(numbers, (str, os.PathLike)):
        pathlib.Path(path).write_bytes(pathlib.Path(numbers).read_bytes())
        return about
    import numpy

    numpy.save(path, numpy.ascontiguousarray(numbers), allow_pickle=False)
    return about


def _file_name(given):
    """The name of a file: a place below its output, and none outside of it."""
    name = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(name, str):
        raise TypeError(f"the name of a file is a text, not {name!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    is_outside = name.startswith("/") or ".." in parts or not parts
    if is_outside or any("\\" in part or "\0" in part or len(part.encode()) > 200 for part in parts):
        raise ValueError(f"{name!r} cannot be the name of a file: it is a path below the output, of parts of 1 to "
                         "200 bytes without a backslash or NUL, none of them ..")
    return "/".join(parts)


def _save_files(files, folder):
    """Writes files, and gives their names, so that flow misses none of them."""
    names = []
    os.makedirs(folder, exist_ok=True)
    if isinstance(files, list):
        files = {file.name: file for file in files}
    for name, content in files.items():
        name = _file_name(name)
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, (os.PathLike, pathlib.Path)):
            content = pathlib.Path(content).read_bytes()
        elif isinstance(content, str):
            content = content.encode()
        elif not isinstance(content, (bytes, bytearray, memoryview)):
            content = _json_file(name, content)
        with open(path, "wb") as file:
            file.write(content)
        names.append(name)
    return names


def _json_file(name, content):
    try:
        return (json.dumps(content, indent=2, default=_number, allow_nan=False) + "\n").encode()
    except ValueError as error:
        if "float" not in str(error):
            raise
        where = _not_finite(content)
        raise ValueError(f"the file {name!r} would be no JSON: {where}; give null (None), or a text") from error


def _not_finite(value, place=""):
    """The place of a number that JSON does not have; None if all are finite."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place or 'it'} is {value}"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return next(filter(None, (_not_finite(one, f"{place}[{key!r}]") for key, one in inner)), None)


def _number(value):
    """A NumPy number as a plain one."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def answer(value, declared):
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
            said[name] = _save_files(given[name], os.path.join(_OUT, name))
        elif _is_array(given[name]):
            said[name] = _save_array(given[name], os.path.join(_OUT, name + ".npy"))
        else:
            said[name] = given[name]
    return {"outputs": said}


_encode = json.JSONEncoder(default=_number, allow_nan=False, ensure_ascii=False).encode


def as_json(value):
    return _encode(value).encode()


def item(one):
    """An item, or its fault, as JSON. What cannot be sent, or flow could not read, is a fault of the item."""
    try:
        return checked({"fault": fault_of(one)} if isinstance(one, Exception) else {"value": one})
    except (TypeError, ValueError, RecursionError) as error:
        return as_json({"fault": fault_of(error)})


def checked(value):
    """A value as JSON that flow can read."""
    line = as_json(value)
    if not (_is_shallow(line) and _has_short_numbers(line)):
        _check_json(value)
    return line


# What flow reads: JSON that is nested so deep, and whole numbers of 64 bits, with a sign or without. Greater ones would
# become floats: numbers that differ, and keys, would be the same.
_DEPTH = 120
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1

# A whole number that may be too long. A float has fewer digits before its point, and no space, bracket or sign behind it.
_LONG = b" " + b"0" * 19
_AS_ZEROS = bytes(48 if byte in b"0123456789" else 32 if byte in b"[-" else byte for byte in range(256))
_OPENS, _CLOSES = b"[{", b"]}"
_AS_BRACKETS = bytes(91 if byte in _OPENS else 93 if byte in _CLOSES else byte for byte in range(256))
_OTHERS = bytes(byte for byte in range(256) if byte not in _OPENS + _CLOSES)


def _is_shallow(line):
    """Whether JSON is certainly not too deep. To look at each value would take far longer."""
    if line.count(b"[") + line.count(b"{") <= _DEPTH:
        return True
    left = line.translate(_AS_BRACKETS, _OTHERS)
    for _ in range(_DEPTH):
        before, left = len(left), left.replace(b"[]", b"")
        if len(left) == before:
            break
    return not left


def _has_short_numbers(line):
    return _LONG not in line.translate(_AS_ZEROS)


def _check_json(value, depth=1):
    if type(value) is int and not _LEAST <= value <= _MOST:
        said = str(value) if abs(value) < 1 << 128 else f"of {value.bit_length()} bits"
        raise ValueError(f"a whole number does not fit into 64 bits ({said}); give it as a text")
    if isinstance(value, (dict, list, tuple)):
        # A value stands in a map, and in a list or another map.
        if depth > _DEPTH + 2:
            raise ValueError(f"JSON is nested more than {_DEPTH} deep; give it in fewer levels, or as a text")
        for one in value.values() if isinstance(value, dict) else value:
            _check_json(one, depth + 1)
