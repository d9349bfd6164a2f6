#!/usr/bin/env bash
# The entry point of a module in mercure's form.
set -Eeo pipefail
python3 module.py "$MERCURE_IN_DIR" "$MERCURE_OUT_DIR"
