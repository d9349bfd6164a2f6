"""Faults of steps in Python, as flow gets them: what failed, where in the steps, and what to do."""

import errno
import os
import traceback

from flow_step import Fault

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
# What is installed, also in an environment beside the steps.
_INSTALLED = "-packages" + os.sep

# The folder of the script.
folder = None

_REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)
_UNREACHABLE = (errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH)


def fault_of(error):
    """A fault for an exception of a step."""
    log = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, Fault):
        kind = "transient" if error.transient else "data"
        said = {"reason": error.reason, "remedy": error.remedy, "kind": kind, "log": log}
    else:
        reason = f"{type(error).__name__}: {error}{_where(error)}"
        said = {"reason": reason, "remedy": _remedy(error), "kind": "broken", "log": log}
    # Half a surrogate pair is no UTF-8.
    return {key: text.encode("utf-8", "backslashreplace").decode() for key, text in said.items()}


def _where(error):
    """The last line of the steps that was reached: where a library raised the error says little about them."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OWN)]
    installed = [_INSTALLED in frame.filename for frame in frames]
    own = [frame for frame, is_installed in zip(frames, installed)
           if folder and not is_installed and frame.filename.startswith(folder + os.sep)]
    others = [frame for frame, is_installed in zip(frames, installed)
              if is_installed or not frame.filename.startswith((_STANDARD, "<"))]
    last = (own or others)[-1:]
    return "".join(f" ({os.path.basename(frame.filename)}, line {frame.lineno})" for frame in last)


def _remedy(error):
    """What to do about an error that comes from the limits of the process; nothing for others."""
    seen = []
    while isinstance(error, BaseException) and error not in seen:
        seen.append(error)
        if isinstance(error, OSError):
            named = error.filename if isinstance(error.filename, str) else None
            if error.errno in _REFUSED and named:
                return ("A program reads only what `reads:` names and writes only what `writes:` names, beside its own "
                        f"folder: add {named} there, at the program in the dataflow file. If it is there, give the user "
                        "of flow the right.")
            if error.errno in _REFUSED + _UNREACHABLE or type(error).__name__ == "gaierror":
                return ("If the program lacks `network: true`, or writes what `writes:` does not name, add that at the "
                        "program in the dataflow file; otherwise see to the service and the network.")
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    return ""
