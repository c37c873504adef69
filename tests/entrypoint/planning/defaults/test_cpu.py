"""The CPU's defaults: type, cache, threads, preload, and whether there is memory at all."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Hardware, Processor
from entrypoint.planning.defaults.cpu import cpu_defaults, loaded_bytes, thread_binding
from tests.support.defaults import GIB, a_model
from tests.support.samples import asked

OLD = frozenset({"sse2", "avx2", "avx512f", "avx512_vnni"})
NEW = OLD | {"avx512_bf16", "amx_bf16"}
ARM = frozenset({"asimd", "fphp"})


def machine(
    memory_gib: int | None = 24,
    cpus: tuple[int, ...] = (0, 1, 2, 3),
    preload: Mapping[str, str] | None = None,
    nodes: int = 1,
    **processor: Any,
) -> Hardware:
    memory = memory_gib * GIB if memory_gib is not None else None
    return Hardware(
        "cpu",
        nodes,
        memory,
        cpus,
        "0.32.0",
        processor=Processor(**{"flags": NEW, **processor}),
        preload=preload or {},
    )


class TestType:
    def test_float32_is_the_default_if_bfloat16_is_slow(self) -> None:
        made = cpu_defaults(asked(), a_model(1), machine(flags=OLD), 1)
        assert made.options == {"--dtype": "float32"}
        assert made.notes == ()

    @pytest.mark.parametrize("flags", [NEW, OLD | {"amx_bf16"}, ARM, frozenset()])
    def test_vllm_chooses_on_other_processors(self, flags: frozenset[str]) -> None:
        assert cpu_defaults(asked(), a_model(1), machine(flags=flags), 1).options == {}

    @pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
    def test_the_users_dtype_wins(self, dtype: str) -> None:
        made = cpu_defaults(asked(DTYPE=dtype), a_model(1), machine(flags=OLD), 1)
        assert made.options == {}

    def test_quantized_weights_keep_their_dtype(self) -> None:
        model = a_model(1, quantization_config={"quant_method": "awq"})
        assert cpu_defaults(asked(), model, machine(flags=OLD), 1).options == {}

    def test_a_note_explains_why_float32_does_not_fit(self) -> None:
        """6 GiB in bfloat16 are 12 in float32, twice that while they are loaded, and a cache."""
        made = cpu_defaults(asked(), a_model(6), machine(24, flags=OLD), 1)
        assert made.options == {}
        (note,) = made.notes
        assert note.variable == "DTYPE"
        assert "12.0 GiB" in note.message
        assert "24.0 GiB" in note.message
        assert "resources.limits.memory" in note.message
        assert cpu_defaults(asked(), a_model(6), machine(25, flags=OLD), 1).options

    def test_float32_weights_do_not_grow(self) -> None:
        made = cpu_defaults(asked(), a_model(6, dtype="float32"), machine(13, flags=OLD), 1)
        assert made.options == {"--dtype": "float32"}


@pytest.mark.parametrize(
    ("stored", "dtype", "gib"),
    [
        ("bfloat16", "auto", 4),
        ("bfloat16", "float32", 8),
        ("float16", "bfloat16", 4),
        ("float32", "auto", 2),
        ("float32", "float32", 4),
    ],
)
def test_weights_in_memory_follow_the_dtype(stored: str, dtype: str, gib: int) -> None:
    assert loaded_bytes(a_model(4, dtype=stored), dtype) == gib * GIB


class TestCache:
    @pytest.mark.parametrize(
        ("gib", "weights_gib", "ranks", "sequence_gib", "space"),
        [
            (24, 6, 1, None, "6"),  # twice 6 of weights: 12 left, half of it
            (24, 6, 2, None, "3"),  # each rank its share
            (24, 6, 1, 0.25, "4"),  # 16 sequences of full length
            (24, 6, 2, 0.25, "2"),
            (24, 6, 1, 10, "6"),  # never more than half of what is left
            (1, 6, 1, None, "1"),  # never less than one
            (24, 6, 1, 0.001, "1"),
        ],
    )
    def test_the_cache_fits_the_memory(
        self, gib: int, weights_gib: int, ranks: int, sequence_gib: float | None, space: str
    ) -> None:
        config = {}
        if sequence_gib is not None:  # one layer with one head of size one: 4 bytes a token
            config = {
                "num_attention_heads": 1,
                "hidden_size": 1,
                "num_hidden_layers": 1,
                "max_position_embeddings": int(sequence_gib * GIB / 4),
            }
        made = cpu_defaults(asked(), a_model(weights_gib, **config), machine(gib), ranks)
        assert made.environment["VLLM_CPU_KVCACHE_SPACE"] == space

    def test_a_float32_cache_is_twice_as_large(self) -> None:
        config = {
            "num_attention_heads": 1,
            "hidden_size": 1,
            "num_hidden_layers": 1,
            "max_position_embeddings": GIB // 16,
        }
        made = cpu_defaults(asked(), a_model(1, **config), machine(flags=OLD), 1)
        assert made.options == {"--dtype": "float32"}
        assert made.environment["VLLM_CPU_KVCACHE_SPACE"] == "8"

    def test_unknown_memory_sets_no_size(self) -> None:
        made = cpu_defaults(asked(), a_model(), machine(None), 1)
        assert "VLLM_CPU_KVCACHE_SPACE" not in made.environment


class TestMemory:
    @pytest.mark.parametrize(
        ("limited", "words"),
        [(True, "this container's limit is 5.0 GiB"), (False, "machine has 5.0")],
    )
    def test_weights_over_the_limit_are_refused(self, limited: bool, words: str) -> None:
        small = machine(4, memory_limit=5 * GIB, memory_limited=limited)
        with pytest.raises(MachineError) as raised:
            cpu_defaults(asked(), a_model(6), small, 1)
        assert "6.0 GiB" in raised.value.message
        assert words in raised.value.message
        assert "--memory" in str(raised.value.hint)
        assert "resources.limits.memory" in str(raised.value.hint)

    def test_the_size_in_memory_counts(self) -> None:
        """Weights stored in float32 are loaded in half, unless float32 is asked for."""
        small, model = machine(4, memory_limit=5 * GIB), a_model(6, dtype="float32")
        cpu_defaults(asked(), model, small, 1)
        with pytest.raises(MachineError):
            cpu_defaults(asked(DTYPE="float32"), model, small, 1)

    def test_memory_in_use_does_not_count(self) -> None:
        cpu_defaults(asked(), a_model(6), machine(1, memory_limit=7 * GIB), 1)


class TestThreads:
    def test_vllm_binds_one_rank_itself(self) -> None:
        environment = cpu_defaults(asked(), a_model(), machine(), 1).environment
        assert not {"VLLM_CPU_OMP_THREADS_BIND", "OMP_NUM_THREADS"} & environment.keys()

    @pytest.mark.parametrize(
        ("cores", "binding"),
        [((0, 1), "0,1"), ((4, 5, 6, 7), "4,5,6,7"), ((0,), None), (tuple(range(8)), None)],
    )
    def test_a_small_machine_keeps_no_core_free(
        self, cores: tuple[int, ...], binding: str | None
    ) -> None:
        environment = cpu_defaults(asked(), a_model(), machine(cores=cores), 1).environment
        assert environment.get("VLLM_CPU_OMP_THREADS_BIND") == binding

    def test_vllm_binds_one_rank_per_node_itself(self) -> None:
        environment = cpu_defaults(asked(), a_model(), machine(nodes=2), 2).environment
        assert "VLLM_CPU_OMP_THREADS_BIND" not in environment

    def test_more_ranks_share_the_processors(self) -> None:
        environment = cpu_defaults(asked(), a_model(), machine(), 2).environment
        assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"

    @pytest.mark.parametrize(
        ("cpus", "ranks", "binding"), [((4, 6), 2, "4|6"), ((0, 1, 2, 3, 4), 2, "0,1|2,3")]
    )
    def test_each_rank_gets_an_equal_share(
        self, cpus: tuple[int, ...], ranks: int, binding: str
    ) -> None:
        assert thread_binding(cpus, ranks) == binding

    @pytest.mark.parametrize(
        ("quota", "ranks", "threads"), [(2.0, 1, "2"), (2.5, 1, "2"), (0.5, 1, "1"), (3.0, 2, "1")]
    )
    def test_under_a_quota_threads_are_not_bound(
        self, quota: float, ranks: int, threads: str
    ) -> None:
        """Each pod of a node would bind to the same processors, all of which it sees."""
        node = machine(cpus=tuple(range(64)), quota=quota)
        environment = cpu_defaults(asked(), a_model(), node, ranks).environment
        assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
        assert environment["OMP_NUM_THREADS"] == threads

    def test_a_quota_of_all_processors_does_not_count(self) -> None:
        environment = cpu_defaults(asked(), a_model(), machine(quota=4.0), 1).environment
        assert "OMP_NUM_THREADS" not in environment

    def test_under_a_quota_intels_threads_spin_briefly(self) -> None:
        node = machine(quota=2.0, preload={"openmp": "/v/libiomp5.so"})
        assert cpu_defaults(asked(), a_model(), node, 1).environment["KMP_BLOCKTIME"] == "5"


def test_the_cache_of_compiled_products_is_bounded() -> None:
    environment = cpu_defaults(asked(), a_model(), machine(), 1).environment
    assert environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "256"


class TestPreload:
    LIBRARIES: ClassVar = {"tcmalloc": "/l/libtcmalloc_minimal.so.4", "openmp": "/v/libiomp5.so"}

    @pytest.mark.parametrize(
        ("mine", "both"),
        [
            ("", "/l/libtcmalloc_minimal.so.4:/v/libiomp5.so"),
            ("/x/liba.so", "/x/liba.so:/l/libtcmalloc_minimal.so.4:/v/libiomp5.so"),
            ("/other/libtcmalloc_minimal.so.4", "/other/libtcmalloc_minimal.so.4:/v/libiomp5.so"),
            ("/usr/lib/libgomp.so.1", "/usr/lib/libgomp.so.1:/l/libtcmalloc_minimal.so.4"),
        ],
    )
    def test_libraries_are_added_to_the_users(self, mine: str, both: str) -> None:
        made = cpu_defaults(asked(LD_PRELOAD=mine), a_model(), machine(preload=self.LIBRARIES), 1)
        assert made.environment["LD_PRELOAD"] == both

    def test_without_libraries_nothing_is_preloaded(self) -> None:
        assert "LD_PRELOAD" not in cpu_defaults(asked(), a_model(), machine(), 1).environment
