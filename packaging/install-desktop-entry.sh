#!/bin/sh
# Linux: puts LocalLLM into the applications menu of this user; run it again after moving the folder.
set -eu
here="$(dirname "$(readlink -f "$0")")"
checkout="$(dirname "$here")"
target="${XDG_DATA_HOME:-$HOME/.local/share}/applications"
mkdir -p "$target"
python3 - "$checkout" "$here/localllm.desktop" "$target/localllm.desktop" <<'END'
import sys
checkout, template, target = sys.argv[1:]
lines = open(template, encoding="utf-8").read().splitlines()
def fill(line):
    if line.startswith("Exec="):  # quoted as the Desktop Entry Specification asks: first for Exec, then for strings
        path = line[len("Exec="):].replace("@CHECKOUT@", checkout)
        for character in '\\"`$':
            path = path.replace(character, "\\" + character)
        return 'Exec="' + path.replace("\\", "\\\\").replace("%", "%%") + '"'
    return line.replace("@CHECKOUT@", checkout)
with open(target, "w", encoding="utf-8") as file:
    file.write("\n".join(map(fill, lines)) + "\n")
END
chmod +x "$here/localllm.sh"
echo "$target/localllm.desktop"
