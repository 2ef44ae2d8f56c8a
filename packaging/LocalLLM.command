#!/bin/sh
# macOS: double-click to start LocalLLM.
cd "$(dirname "$0")/.." || exit 1
for python in python3 python3.14 python3.13 python3.12 python3.11 /opt/homebrew/bin/python3 /usr/local/bin/python3; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        "$python" main.py && exit 0
        failed=1
        break
    fi
done
[ -n "${failed:-}" ] || echo "LocalLLM needs Python 3.11 or newer: install it from python.org or with Homebrew (brew install python)."
printf 'Press Enter to close this window. '
read -r _
