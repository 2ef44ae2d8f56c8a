import pytest

from localllm.core.hub.addresses import parse_address
from localllm.core.hub.offers import chosen, offers_of, recommended
from localllm.core.hub.records import RemoteFile, Repository
from localllm.core.quants import QuantTable
from localllm.errors import HubError
from localllm.gguf.types import FILE_TYPES
from localllm.paths import resources_folder

TABLE = QuantTable.load(resources_folder() / "quants.json")
WEIGHTS = 8_030_261_312
# sizes in bytes of real files of an 8 B model
LLAMA = {
    "Q2_K": 3_179_131_584, "IQ3_M": 3_784_823_488, "Q3_K_L": 4_321_956_544, "IQ4_XS": 4_447_662_784, "Q4_K_M": 4_920_734_272,
    "Q5_K_M": 5_732_987_584, "Q6_K": 6_596_006_592, "Q8_0": 8_540_770_816, "F16": 16_068_890_912,
}  # fmt: skip


def repository(*names, parameters=None, **sizes):
    files = tuple(RemoteFile(name, sizes.get(name, 1000)) for name in names)
    return Repository("u/m", "a" * 40, False, False, "", (), files, (), "", "", parameters=parameters)


def llama(*left_out):
    files = tuple(
        RemoteFile(f"Llama-8B-{quant}.gguf", size) for quant, size in LLAMA.items() if quant not in left_out
    )
    return Repository("u/m", "a" * 40, False, False, "", (), files, (), "", "", parameters=WEIGHTS)


@pytest.mark.parametrize(
    ("name", "quant", "model"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M", "Llama-3.2-1B-Instruct"),
        ("qwen2.5-7b-instruct-q4_k_m.gguf", "Q4_K_M", "qwen2.5-7b-instruct"),
        ("model.i1-IQ2_XXS.gguf", "IQ2_XXS", "model.i1"),
        ("SmolLM2-135M.Q8_0.gguf", "Q8_0", "SmolLM2-135M"),
        ("gemma-UD-Q4_K_XL.gguf", "UD-Q4_K_XL", "gemma"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4", "gpt-oss-20b"),
        ("gpt-oss-20b-MXFP4_MOE.gguf", "MXFP4_MOE", "gpt-oss-20b"),
        ("phi-fp16.gguf", "F16", "phi"),
        ("phi-BF16.gguf", "BF16", "phi"),
        ("Q5_K_M/deep.gguf", "Q5_K_M", "deep"),
        ("deep.gguf", "", "deep"),
        ("Q4KIDS-model.gguf", "", "Q4KIDS-model"),
    ],
)
def test_the_quantization_is_read_from_the_name(name, quant, model):
    (offer,) = offers_of(repository(name)).models
    assert (offer.quant, offer.model, offer.name) == (quant, model, quant or name)


@pytest.mark.parametrize("quant", [name for name in FILE_TYPES.values() if name != "F32"])
def test_every_file_type_of_the_engine_is_known(quant):
    (offer,) = offers_of(repository(f"m-{quant}.gguf")).models
    assert offer.quant == quant
    assert offer.bits is not None
    assert not offer.bits_known


def test_a_split_model_is_one_offer():
    names = [f"Q8_0/big-Q8_0-{number:05d}-of-00003.gguf" for number in (2, 1, 3)]
    (offer,) = offers_of(repository(*names)).models
    assert [file.name[-18:-5] for file in offer.files] == [
        f"{number:05d}-of-00003"[-13:] for number in (1, 2, 3)
    ]
    assert (offer.size, offer.complete, offer.quant) == (3000, True, "Q8_0")
    (broken,) = offers_of(repository(*names[:2])).models
    assert not broken.complete
    assert recommended([broken], TABLE) is None


def test_companions_are_named_apart():
    found = offers_of(
        repository(
            "m-Q4_K_M.gguf", "mmproj-F16.gguf", "m-mmproj-bf16.gguf", "mtp-m-Q8_0.gguf", "draft-m.gguf", "m-lora.gguf", "imatrix.dat",
            "m.imatrix", "imatrix_unsloth.gguf_file", "ggml-vocab-m.gguf", "README.md", "mmproj.txt", "explorable-Q8_0.gguf",
        )
    )  # fmt: skip
    assert [offer.files[0].name for offer in found.models] == ["m-Q4_K_M.gguf", "explorable-Q8_0.gguf"]
    assert [companion.kind for companion in found.companions] == [
        *["projector"] * 2, *["draft"] * 2, "adapter", *["importance"] * 3, "vocabulary",
    ]  # fmt: skip
    assert len(found.of_kind("projector")) == 2


def test_groups_and_bits():
    offers = offers_of(llama()).models
    assert [offer.quant for offer in offers] == sorted(LLAMA, key=LLAMA.__getitem__)
    groups = {offer.quant: offer.group for offer in offers}
    assert groups == {
        "Q2_K": "small", "IQ3_M": "small", "Q3_K_L": "small", "IQ4_XS": "balanced", "Q4_K_M": "balanced", "Q5_K_M": "balanced",
        "Q6_K": "large", "Q8_0": "large", "F16": "large",
    }  # fmt: skip
    bits = {offer.quant: offer.bits for offer in offers}
    assert bits["Q4_K_M"] == pytest.approx(4.90, abs=0.01)
    assert bits["F16"] == pytest.approx(16.01, abs=0.01)
    assert all(offer.bits_known for offer in offers)


def test_weights_of_another_model_of_the_repository_are_not_believed():
    (offer,) = offers_of(repository("tiny-Q4_K_M.gguf", parameters=WEIGHTS)).models
    assert (offer.bits, offer.bits_known) == (4.5, False)


def test_the_best_that_fits_is_recommended():
    offers = offers_of(llama()).models

    def pick(limit):
        found = recommended(offers, TABLE, lambda offer: offer.size <= limit)
        return found and found.quant

    assert pick(100e9) == "Q8_0"
    assert pick(6e9) == "Q5_K_M"
    assert pick(4.5e9) == "IQ4_XS"
    assert pick(4.4e9) == "Q3_K_L"
    assert pick(1e9) is None


def test_the_usual_one_where_nothing_is_known():
    assert recommended(offers_of(llama()).models, TABLE).quant == "Q4_K_M"
    assert recommended(offers_of(llama("Q4_K_M")).models, TABLE).quant == "IQ4_XS"
    assert recommended(offers_of(repository("m-F16.gguf")).models, TABLE).quant == "F16"
    assert recommended((), TABLE) is None


def test_quality_grows_with_bits_for_types_without_a_measurement():
    offers = offers_of(
        repository("m-Q2_K_S.gguf", "m-TQ1_0.gguf", "m-IQ3_XS.gguf", "m-NVFP4.gguf", "m-Q6_K.gguf")
    ).models
    for left_out, best in (((), "Q6_K"), (("Q6_K",), "NVFP4"), (("Q6_K", "NVFP4"), "IQ3_XS")):
        rest = [offer for offer in offers if offer.quant not in left_out]
        assert recommended(rest, TABLE, lambda offer: True).quant == best


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("u/m", "Q4_K_M"),
        ("u/m:q6_k", "Q6_K"),
        ("u/m/Llama-8B-Q2_K.gguf", "Q2_K"),
    ],
)
def test_an_address_chooses(pasted, expected):
    assert chosen(offers_of(llama()), parse_address(pasted), TABLE).quant == expected


def test_an_address_that_chooses_nothing():
    with pytest.raises(HubError, match="is not in its repository") as caught:
        chosen(offers_of(llama()), parse_address("u/m:Q5_0"), TABLE)
    assert "Q4_K_M" in str(caught.value.hint)
    with pytest.raises(HubError, match="has no GGUF model"):
        chosen(offers_of(repository("README.md")), parse_address("u/m"), TABLE)
