"""LocalLLM: run language models on your own computer.

The map of the package, from the outside in (each layer may use those below it, never those above):

    ui, cli       the two front ends: one window, one command line
    core          what the product knows and does: hardware, catalogue, fit, recommend, library, chat
    engine        one language model in a child process; only engine.child imports llama_cpp
    gguf          our own bounded reader of GGUF headers
    processes     starts, watches and ends every child process
    settings logs progress paths files errors texts

`bootstrap` stands apart: it makes the environment before any of this can be imported.
"""

__version__ = "0.1.0"
