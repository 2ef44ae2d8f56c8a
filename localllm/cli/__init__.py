"""The command line: everything the window can do, on the same core functions."""
