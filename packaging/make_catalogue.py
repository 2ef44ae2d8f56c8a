"""Write `resources/catalogue.json` from `catalogue_facts.json`, which lies beside this file.

    python packaging/make_catalogue.py [TARGET.json]

The facts hold {"compiled": …, "models": [row, …]}: dimensions as in the makers' config.json, files with
their size and sha256, evaluations with their sources. A row is left out, with the reason on standard error,
where a fact that decides memory is missing or the architecture is outside the closed form of
`localllm.core.fit`. The same facts always give the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from localllm.core.quants import QuantTable
from localllm.core.shape import COVERED, ENCODERS, HYBRID, PATTERNED, WINDOW_PERIOD, ModelShape

LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "IQ3_XXS", "Q2_K")
LADDER_OF_EMBEDDINGS = ("Q8_0", "Q6_K", "Q4_K_M")
USES = ("chat", "code", "reasoning", "vision", "multilingual")
PACKERS = ("ggml-org", "bartowski", "unsloth", "lmstudio-community", "CompendiumLabs")
NOT_GENERAL = {"translation", "medical", "ocr", "audio"}
# metric as reported -> benchmark; the first pattern that matches counts, what matches none is left out
BENCHMARKS = (
    (r"(?i)pretrain|base model|multilingual\)|with tools", None),
    (r"^Open LLM Leaderboard v2 average", "Open LLM Leaderboard v2"),
    (r"^Open LLM Leaderboard|^Artificial Analysis", None),
    (r"^MMLU[- ]Pro", "MMLU-Pro"),
    (r"^GPQA", "GPQA"),
    (r"^LiveCodeBench v6", "LiveCodeBench v6"),
    (r"^LiveCodeBench", "LiveCodeBench"),
    (r"^IF-?Eval", "IFEval"),
    (r"^HumanEval( \(0-shot\))?$", "HumanEval"),
    (r"^SWE-[Bb]ench Verified", "SWE-bench Verified"),
    (r"^MMMU[- ]Pro", "MMMU-Pro"),
    (r"^MMMU$", "MMMU"),
    (r"^MMMLU \(Spanish\)", "MMMLU (Spanish)"),
    (r"^MGSM", "MGSM"),
    (r"^AIME *(20)?25", "AIME 2025"),
    (r"^AIME *(20)?24", "AIME 2024"),
    (r"^Arena[- ]Hard$", "Arena-Hard"),
    (r"^LiveBench", "LiveBench"),
    (r"^MMLU( \(5-shot\))?$", "MMLU"),
    (r"^MTEB Multilingual", "MTEB (Multilingual)"),
)
FREE = {"apache-2.0", "mit", "openmdw-1.1", "bsd-3-clause"}
NOT_COMMERCIAL = ("nc", "exaone", "research", "mrl", "non-production")


class Missing(Exception):
    """A fact that decides memory is not there."""


def need(row: dict[str, Any], key: str) -> int:
    """Return a number of the row."""
    if not row.get(key):
        raise Missing(key)
    return int(row[key])


def shape_of(row: dict[str, Any], quants: QuantTable) -> ModelShape:
    """Turn a maker's dimensions into llama.cpp's."""
    architecture = row.get("llama_cpp_arch", "")
    if architecture not in COVERED:
        raise Missing(f"{architecture}: outside the closed form, needs the header")
    layers, width, heads = need(row, "n_layers"), need(row, "hidden_size"), need(row, "n_heads")
    experts, dense = row.get("n_experts") or 0, row.get("first_dense_layers") or 0
    if architecture in PATTERNED or not experts:
        dense = layers
    key = row.get("head_dim") or (0 if row.get("mla") else width // heads)
    fields: dict[str, Any] = {
        "architecture": architecture, "layers": layers, "embedding_width": width, "heads": heads,
        "kv_heads": need(row, "n_kv_heads"), "key_length": key,
        "value_length": row.get("value_head_dim") or key,
        "feed_forward": row.get("ffn_size") or 0 if dense else 0, "vocabulary": need(row, "vocab_size"),
        "trained_context": need(row, "context_length"), "dense_layers": dense, "full_layers": layers,
        "experts": experts, "experts_used": row.get("n_experts_used") or 0,
        "expert_feed_forward": row.get("moe_ffn_size") or 0,
        "expert_layers": layers if architecture in PATTERNED and experts else layers - dense,
        "shared_feed_forward": row.get("shared_expert_ffn_size")
        or (row.get("n_shared_experts") or 0) * (row.get("moe_ffn_size") or 0),
    }  # fmt: skip
    if experts and not (fields["experts_used"] and fields["expert_feed_forward"]):
        raise Missing("experts")
    fields |= attention(row, layers)
    return complete(fields, row, quants)


def attention(row: dict[str, Any], layers: int) -> dict[str, int]:
    """Return what is special about this model's attention."""
    architecture, full = row["llama_cpp_arch"], row.get("n_full_attention_layers")
    if mla := row.get("mla"):
        return {
            "mla_width": mla["kv_lora_rank"] + mla["qk_rope_head_dim"], "query_rank": mla["q_lora_rank"] or 0,
            "key_length": mla["qk_nope_head_dim"] + mla["qk_rope_head_dim"],
            "value_length": mla["v_head_dim"],
            "kv_heads": 1,
        }  # fmt: skip
    if architecture == "deepseek2":
        raise Missing("mla")
    if architecture in HYBRID:
        return hybrid(row, layers)
    window = row.get("sliding_window") or 0
    if architecture in PATTERNED:
        return {
            "full_layers": need(row, "n_full_attention_layers"), "window_layers": layers - int(full or 0),
            "sliding_window": window, "window_kv_heads": need(row, "n_kv_heads"),
            "window_head_length": need(row, "head_dim"), "key_length": need(row, "global_head_dim"),
            "value_length": need(row, "global_head_dim"), "kv_heads": need(row, "num_global_key_value_heads"),
        }  # fmt: skip
    if architecture not in WINDOW_PERIOD or not window:
        return {}
    full = layers // WINDOW_PERIOD[architecture]
    return {"sliding_window": window, "full_layers": full, "window_layers": layers - full}


def hybrid(row: dict[str, Any], layers: int) -> dict[str, int]:
    """Return the recurrent part of a Qwen hybrid."""
    linear, full = row.get("linear_attention"), need(row, "n_full_attention_layers")
    if not linear:
        raise Missing("linear_attention")
    inner = linear["linear_num_value_heads"] * linear["linear_value_head_dim"]
    keys = linear["linear_num_key_heads"] * linear["linear_key_head_dim"]
    state = (linear["linear_conv_kernel_dim"] - 1) * (inner + 2 * keys) + linear[
        "linear_key_head_dim"
    ] * inner
    return {
        "full_layers": full, "recurrent_layers": layers - full, "recurrent_state": state,
        "recurrent_inner": inner, "recurrent_keys": keys,
    }  # fmt: skip


def complete(fields: dict[str, Any], row: dict[str, Any], quants: QuantTable) -> ModelShape:
    """Find an unknown feed-forward width and tied embeddings from file sizes or the weights' count."""
    files = [f for f in row["gguf_files"] if f.get("bytes") and f.get("quant") in LADDER]
    tied = True if fields["architecture"] in ENCODERS else row.get("tied_embeddings")
    total = row.get("params_total")
    best: tuple[float, ModelShape] | None = None
    widths = [fields["feed_forward"]]
    if fields["dense_layers"] and not fields["feed_forward"]:
        widths = list(range(2048, 40961, 512)) if files else []
    for width in widths:
        for is_tied in (tied,) if tied is not None else (True, False):
            known: dict[str, Any] = {**fields, "feed_forward": width, "tied_embeddings": is_tied}
            shape = ModelShape(**known)
            if files:
                quant = quants.get(files[-1]["quant"])
                off = abs(quant.weight_bytes(shape) / files[-1]["bytes"] - 1) if quant else 0.0
            else:
                off = abs(shape.parameters / total - 1) if total else 0.0
            if best is None or off < best[0]:
                best = off, shape
    if best is None:
        raise Missing("ffn_size")
    return best[1]


def evaluations(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the best figure per benchmark (of a model that can think or not, the one with thinking)."""
    found: dict[str, dict[str, Any]] = {}
    for entry in row["quality"]:
        name = next((name for pattern, name in BENCHMARKS if re.search(pattern, entry["metric"])), None)
        known = found.get(name or "")
        if name and (known is None or entry["value"] > known["value"]):
            found[name] = {"benchmark": name, "value": entry["value"], "source": entry["source"]}
    return sorted(found.values(), key=lambda entry: entry["benchmark"])


def files_of(row: dict[str, Any], repo: str) -> list[dict[str, Any]]:
    """Return the quants: those whose file is known with size and hash, and the usual ladder."""
    known: dict[str, dict[str, Any]] = {}
    for entry in row["gguf_files"]:
        quant = entry.get("quant") or quant_in_name(entry["file"])
        wanted = (*LADDER, "MXFP4", "Q4_1")
        same = entry.get("repo") in (None, repo)
        if quant in wanted and "mmproj" not in entry["file"] and "-of-" not in entry["file"] and same:
            facts = {"file": entry["file"], "size": entry.get("bytes_total"), "sha256": entry.get("sha256")}
            if quant not in known or facts["size"]:
                known[quant] = {"name": quant, **{k: v for k, v in facts.items() if v}}
    if row["llama_cpp_arch"] == "gpt-oss":
        return [known["MXFP4"]]
    ladder = LADDER_OF_EMBEDDINGS if row["kind"] == "embedding" else LADDER
    return [known.get(name, {"name": name}) for name in ladder]


def quant_in_name(name: str) -> str:
    """Return the quant that a file name ends with, "" if none."""
    match = re.search(r"[-.]((?:I?Q\d_\w+|MXFP4))\.gguf$", name, re.IGNORECASE)
    return match.group(1).upper() if match else ""


def repository(row: dict[str, Any]) -> str:
    """Return the repository of GGUF files: one whose files are known, the maker's own, then known packers."""
    repos = row["gguf_repos"]
    if not repos:
        raise Missing("no GGUF repository")
    said = " ".join(str(entry["source"]) for entry in row["gguf_files"] if entry.get("bytes"))
    rank = {name: place for place, name in enumerate((row["developer"], *PACKERS))}
    return min(repos, key=lambda repo: (repo not in said, rank.get(repo.split("/")[0], 9)))


def projector(row: dict[str, Any]) -> int:
    """Return the bytes of the smallest known vision projector, 0 if none is known."""
    return min((f["bytes"] for f in row["gguf_files"] if "mmproj" in f["file"] and f.get("bytes")), default=0)


def gates(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Tell by id whether a maker wants its terms accepted before a download, and who says so.

    Where no source says so for a model itself, it is taken from the others of its family, or of its maker
    if three or more are known, and only where they all agree.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if "gated" in row:
            found[row["id"]] = {"gated": row["gated"], "gated_source": row["field_sources"]["gated"]}
            continue
        for of, least in (("family", 2), ("developer", 3)):
            known = [other["gated"] for other in rows if other[of] == row[of] and "gated" in other]
            if len(known) >= least and len(set(known)) == 1:
                said = f"as the {len(known)} known models of {row[of]}"
                found[row["id"]] = {"gated": known[0], "gated_source": said}
                break
    return found


def entry_of(row: dict[str, Any], gate: dict[str, Any], quants: QuantTable) -> dict[str, Any]:
    """Turn one row of facts into one row of the catalogue."""
    if not row.get("license") or not row.get("release_month"):
        raise Missing("licence or release")
    shape = shape_of(row, quants)
    uses = [use for use in USES if use in row["uses"] or (use == "multilingual" and row.get("spanish"))]
    if row["kind"] == "embedding":
        uses = ["embedding"]
    if not uses or NOT_GENERAL & set(row["uses"]):
        raise Missing("made for another purpose")
    licence = row["license"].lower()
    commercial = True if licence in FREE else False if any(w in licence for w in NOT_COMMERCIAL) else None
    repo = repository(row)
    default = {field.name: field.default for field in dataclasses.fields(ModelShape)}
    dims = {key: value for key, value in dataclasses.asdict(shape).items() if value != default[key]}
    sources = sorted({source for key, sources in row["field_sources"].items()
                      if key in {"n_layers", "hidden_size", "params_total", "license", "context_length"}
                      for source in sources.split(" + ")})  # fmt: skip
    facts = {
        "id": row["id"], "name": row["display_name"], "developer": row["developer"], "family": row["family"],
        "uses": uses, "license": row["license"], "license_ok_commercial": commercial, **gate,
        "release": row["release_month"],
        "spanish": row.get("spanish"), "repo": repo, "base_repo": row["hf_repo"],
        "projector_size": projector(row), "shape": dims, "quants": files_of(row, repo),
        "quality": evaluations(row), "sources": sources,
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value is False or value not in (None, 0)}


STARTER = {
    "name": "Q4_1", "file": "SmolLM2-135M-Instruct.Q4_1.gguf", "size": 98362432,
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}  # fmt: skip


def main() -> int:
    """Write the catalogue."""
    source = Path(__file__).with_name("catalogue_facts.json")
    resources = source.parent.parent / "resources"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else resources / "catalogue.json"
    quants = QuantTable.load(resources / "quants.json")
    facts = json.loads(source.read_text(encoding="utf-8"))
    gate = gates(facts["models"])
    entries: list[dict[str, Any]] = []
    for row in facts["models"]:
        try:
            entry = entry_of(row, gate.get(row["id"], {}), quants)
        except Missing as reason:
            sys.stderr.write(f"left out: {row['id']}: {reason}\n")
            continue
        if entry["id"] == "smollm2-135m-instruct":
            entry["quants"].insert(3, STARTER)
        entries.append(entry)
    head = {
        "compiled": facts["compiled"],
        "note": "Facts with their sources; made by packaging/make_catalogue.py.",
    }
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in entries)
    body = json.dumps(head)[1:-1]
    target.write_text(f'{{\n {body},\n "models": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    sys.stderr.write(f"{len(entries)} models\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
