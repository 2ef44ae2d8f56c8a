"""What llama.cpp's own programs say of the starter model and `text.txt` (0c1e570, as in llama-cpp-python 0.3.36).

llama-perplexity -m STARTER -f text.txt -c 128 -b 512 --chunks 2 --no-repack --kl-divergence-base FILE, then
with -ctk q8_0 -ctv q8_0 --kl-divergence; llama-imatrix with the same text. The last digits depend on the
processor's instructions.
"""

from pathlib import Path

TEXT = Path(__file__).with_name("text.txt")
CHUNK_TOKENS, CHUNKS = 128, 2
RUNNING = (38.9416, 30.7506)
Q8_CACHE = {
    "ppl": 30.907207,
    "base_ppl": 30.750698,
    "ln_ratio": 0.005077,
    "ln_ratio_error": 0.006856,
    "kld_mean": 0.003597,
    "kld_error": 0.000245,
    "kld_median": 0.002865,
    "kld_p99": 0.013807,
    "rms_delta_p": 0.01414,
    "same_top": 0.96032,
    "same_top_error": 0.01746,
}
IMATRIX_ENTRIES = 210
IMATRIX = {
    "blk.0.attn_q.weight": ((0.000168402, 0.000350305, 0.000331844, 0.000675031, 0.000613133), 1.24573),
    "blk.29.ffn_down.weight": ((1.49415, 0.703991, 0.196996, 0.0404926, 0.409797), 21584.0),
}
