"""An application in the form of a MONAI Application Package: counts the files of its input folder."""

import json
import os
from pathlib import Path

given = Path(os.environ["HOLOSCAN_INPUT_PATH"])
results = Path(os.environ["HOLOSCAN_OUTPUT_PATH"])
sizes = [path.stat().st_size for path in given.rglob("*") if path.is_file()]
(results / "inventory.json").write_text(json.dumps({"files": len(sizes), "bytes": sum(sizes)}))
