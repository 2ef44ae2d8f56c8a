#!/bin/sh
# Linux: starts LocalLLM; in a terminal of its own it stays open when something fails, so that the message can be read.
checkout="$(dirname "$(readlink -f "$0")")/.."
for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        "$python" "$checkout/main.py" "$@" && exit 0
        failed=1
        break
    fi
done
[ -n "${failed:-}" ] || echo "LocalLLM needs Python 3.11 or newer; install it with the package tool of this system."
if [ -t 0 ]; then
    printf 'Press Enter to close this window. '
    read -r _
fi
exit 1
