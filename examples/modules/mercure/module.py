"""A module in mercure's form: keeps the first images of each series, and counts all of them."""

import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path

given, results = map(Path, sys.argv[1:3])
task = json.loads((given / "task.json").read_text())
settings = {"keep": 1, **task["process"].get("settings", {})}

series = defaultdict(list)
for path in sorted(given.glob("*.dcm")):
    uid, _ = path.name.split("#", 1)
    series[uid].append(path)
for paths in series.values():
    for path in paths[: settings["keep"]]:
        shutil.copy(path, results)
counts = {uid: len(paths) for uid, paths in series.items()}
(results / "result.json").write_text(json.dumps(counts))
print(f"{len(counts)} series")
