"""Columns: the numbers and texts of a stream as bytes behind the lines of messages."""

import array
import math
import sys

# The whole numbers of which a float keeps every one.
_EXACT = 1 << 53


def column(kind, values):
    """The type of a column and its bytes, if the values are plain numbers or texts and can be sent so."""
    if is_numpy(values):
        return _array_column(kind, values)
    types = set(map(type, values)) if kind in ("number", "text") else None
    try:
        if kind == "text" and types == {str}:
            texts = "\0".join(values)
            return ("text", (texts + "\0").encode()) if texts.count("\0") == len(values) - 1 else None
        if kind != "number" or not types or not all(one is int or issubclass(one, float) for one in types):
            return None
        if types == {int}:
            return "int64", _bytes(array.array("q", values))
        if int in types and any(type(one) is int and not -_EXACT <= one <= _EXACT for one in values):
            return None
        return "float64", _bytes(array.array("d", values))
    except (OverflowError, UnicodeEncodeError):
        # Each value is looked at by itself.
        return None


def is_numpy(values):
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(values) is numpy.ndarray


def _array_column(kind, values):
    if kind != "number" or values.ndim != 1:
        return None
    if values.dtype.kind == "f" and values.dtype.itemsize <= 8:
        return "float64", values.astype("<f8", copy=False).tobytes()
    if values.dtype.kind in "iu" and not (values.dtype == "uint64" and values.size and values.max() >= 1 << 63):
        return "int64", values.astype("<i8", copy=False).tobytes()
    return None


def _bytes(numbers):
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def values_of(sent, batch=True):
    """The items of a column, as a list or a NumPy array. In a list, a whole number is an int, and any other a float.

    Where floats may be whole, the type of the column is "mixed": to look at each of them takes time.
    """
    kind, data = sent
    if kind == "text":
        texts = data.decode().split("\0")
        texts.pop()
        return texts
    if batch == "numpy":
        return _floats_of(kind, data)
    numbers = array.array("q" if kind == "int64" else "d", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return _plain(numbers.tolist()) if kind == "mixed" else numbers.tolist()


def _floats_of(kind, data):
    """The numbers of a column as a NumPy array, which is one of floats whatever the numbers are."""
    import numpy

    if kind != "int64":
        return numpy.frombuffer(data, "<f8")
    numbers = numpy.frombuffer(data, "<i8").astype("<f8")
    numbers.flags.writeable = False
    return numbers


def _plain(numbers):
    """Floats as a step gets them: a whole one as an int, as far as floats keep every whole number."""
    # No number is greater than the hypotenuse of all, which is known far sooner than the least and the greatest one.
    if math.hypot(*numbers) < _EXACT:
        return [int(one) if one.is_integer() else one for one in numbers]
    return [int(one) if one.is_integer() and -_EXACT <= one <= _EXACT else one for one in numbers]


def passed_on(kind, results, batch, most):
    """Results as the next step gets them; None if flow would not send them as they are, or in more bytes than `most`."""
    types = set() if is_numpy(results) else set(map(type, results))
    if kind == "number" and batch != "numpy" and types and types <= {int, float}:
        return _numbers(results, types)
    sent = column(kind, results)
    if sent is None or not len(results) or most is not None and len(sent[1]) > most:
        return None
    form, data = sent
    if form == "text":
        return list(results)
    if form == "int64":
        is_array = is_numpy(results)
        low, high = (results.min(), results.max()) if is_array else (min(results), max(results))
        if not -_EXACT <= int(low) <= int(high) <= _EXACT:
            return None
    return _finite(values_of(("mixed" if form == "float64" else form, data), batch))


def _numbers(results, types):
    """Plain numbers, in the usual case; None as in `passed_on`."""
    try:
        is_small = math.hypot(*results) < _EXACT
        if types != {float} and not is_small and not -_EXACT <= min(results) <= max(results) <= _EXACT:
            return None
        if types == {int}:
            return list(results)
        numbers = _plain(results if types == {float} else list(map(float, results)))
    except OverflowError:
        return None
    return numbers if is_small else _finite(numbers)


def _finite(numbers):
    """Numbers, if all of them are finite, and their sum as well."""
    if is_numpy(numbers):
        import numpy

        return numbers if numpy.isfinite(numbers).all() else None
    return numbers if math.isfinite(sum(numbers)) else None
