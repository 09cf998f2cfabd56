#!/bin/bash
# Build .venv from a lock file, wheels only, every hash checked. Usage: scripts/venv.sh requirements.txt
# On a bare Debian `python3 -m venv` lacks ensurepip and a system-wide pip install is refused:
# then the system's pip installs into a venv that has none of its own.
set -euo pipefail

lock=$1
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "cryptobot needs Python 3.11 or newer; found: $(python3 --version 2>/dev/null || echo none)." >&2
    echo "On Debian or Ubuntu: apt install python3 python3-venv python3-pip" >&2
    return 1
}

python=$(find_python)
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        "$python" -m venv --without-pip .venv
    fi
fi

if .venv/bin/python -m pip --version >/dev/null 2>&1; then
    pip=(.venv/bin/python -m pip)
elif "$python" -m pip --version >/dev/null 2>&1; then
    pip=("$python" -m pip --python .venv/bin/python)
else
    echo "No pip to install with. On Debian or Ubuntu: apt install python3-pip (or python3-venv)" >&2
    exit 1
fi

echo "installing $lock into .venv"
"${pip[@]}" install --quiet --only-binary :all: --require-hashes -r "$lock"
