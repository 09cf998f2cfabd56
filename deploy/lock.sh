#!/bin/bash
# Compile both lock files for every supported Python at once; no index address may get into them.
set -euo pipefail

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv --without-pip "$tools/venv"
PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip --python "$tools/venv/bin/python" install --quiet --only-binary :all: uv

compile() {
    "$tools/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --only-binary :all: --no-emit-index-url --no-header "$@" pyproject.toml
}
compile --output-file requirements.txt
compile --extra dev --constraint requirements.txt --output-file requirements-dev.txt
