"""Walks the window's tree as a screen reader gets it, from outside: run with the system's Python, which has Atspi.

Prints one JSON line: how many of each role, and what has no name though a person acts on it. Argument: seconds to wait.
"""

import json
import sys
import time
from collections import Counter

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi  # noqa: E402 - its version comes first

ACTED_ON = {"push button", "toggle button", "check box", "radio button", "combo box", "spin button", "text", "table",
            "list", "page tab", "slider", "dialog", "frame"}  # fmt: skip
MOST = 60


def find_window(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        desktop = Atspi.get_desktop(0)
        for number in range(desktop.get_child_count()):
            application = desktop.get_child_at_index(number)
            if application is not None and application.get_child_count():
                return application
        time.sleep(0.2)
    return None


def walk(thing):
    yield thing
    for number in range(min(thing.get_child_count(), MOST)):
        child = thing.get_child_at_index(number)
        if child is not None and child.get_state_set().contains(Atspi.StateType.SHOWING):
            yield from walk(child)


def main():
    application = find_window(float(sys.argv[1]))
    if application is None:
        print(json.dumps({"found": False}))
        return
    time.sleep(2)  # the pages come
    things = list(walk(application))
    roles = Counter(thing.get_role_name() for thing in things)
    nameless = [
        f"{thing.get_role_name()} in {thing.get_parent().get_name()!r}"
        for thing in things
        if thing.get_role_name() in ACTED_ON and not thing.get_name()
    ]
    names = [thing.get_name() for thing in things if thing.get_role_name() in ACTED_ON]
    print(json.dumps({"found": True, "roles": roles, "nameless": nameless, "names": names}))


main()
