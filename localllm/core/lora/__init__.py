"""LoRA adapters: from a PEFT folder to GGUF, and merged into the model they were made for."""
