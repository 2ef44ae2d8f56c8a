#!/bin/sh
# Renews the lock files beside this script from pyproject.toml; needs uv (`pip install uv`) and the package registry.
set -eu
cd "$(dirname "$0")/../.."

lock() {
    target="packaging/lock/$1.txt"
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate \
        --custom-compile-command "packaging/lock/renew.sh" --output-file "$target" "$@"
}

lock installer --group installer
lock build --group build
lock engine --no-deps --group engine
lock starter --no-deps --group starter
lock run pyproject.toml --group engine --no-emit-package llama-cpp-python
lock bundle --group bundle --constraints packaging/lock/run.txt
lock dev pyproject.toml --group dev --constraints packaging/lock/run.txt
