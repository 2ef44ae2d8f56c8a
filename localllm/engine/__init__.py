"""Run one language model in a child process; knows nothing of catalogues or chats."""
