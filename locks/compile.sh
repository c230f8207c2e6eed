#!/usr/bin/env bash
# Make the locks anew from pyproject.toml's ranges. Needs uv; the locks themselves need only pip.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet "$@"; }
compile --all-extras pyproject.toml -o locks/all.txt
compile -c locks/all.txt --extra embedded --extra build pyproject.toml -o locks/drill.txt
compile -c locks/all.txt --extra embedded --extra build --extra spark pyproject.toml -o locks/spark.txt
compile -c locks/all.txt --extra embedded --extra spark --extra kubernetes --extra hsm --extra fuzz --extra test pyproject.toml -o locks/test.txt
