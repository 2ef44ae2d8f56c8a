"""Convert a checkpoint in Hugging Face format to GGUF."""
