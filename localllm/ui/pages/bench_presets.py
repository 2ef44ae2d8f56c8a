"""What the presets of the Bench are called, and what each of them is good for."""

from __future__ import annotations

from localllm.texts import text

CHAT = "chat"  # the entry for chats, which have no values
PRESET_TITLES = {
    "quick": text("Quick, 30 s"),
    "llama-bench": text("llama-bench's default"),
    "kv-types": text("KV types"),
    "threads": text("Threads"),
    "offload": text("Offload"),
    "depth": text("Context depth"),
    CHAT: text("Chat beside the engine"),
}
PRESET_MEANINGS = {
    "quick": text("What to expect: the longest prompt and answer that half a minute here is enough for."),
    "llama-bench": text("512 tokens read and 128 written, five times each: comparable with everybody's."),
    "kv-types": text("What a quantized cache costs or gains, 2048 tokens deep."),
    "threads": text("From one thread to all cores: where more threads no longer help."),
    "offload": text("From no layer on the GPU to all of them."),
    "depth": text("How it slows down the fuller the context is."),
    CHAT: text("What a person waits for in a chat of LocalLLM's, and what the bare engine would take."),
}
