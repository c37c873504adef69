"""An engine's end is named by its first cause, and worded."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoint.diagnosis import Ended, diagnose
from entrypoint.errors import EngineFailed
from entrypoint.shared.handover import Phase
from tests.support.tracebacks import OTHER, WORKER, traceback

CORE = "(EngineCore pid=9) ERROR 11-21 06:00:01 [core.py:1510] "
CONSEQUENCES = [
    f"{CORE}EngineCore failed to start.",
    *traceback(
        CORE,
        "Exception: WorkerProc initialization failed due to an exception in a background process. "
        "See stack trace for root cause.",
    ),
    *traceback(
        "",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {}",
    ),
]
TOO_LONG = (
    "ValueError: To serve at least one request with the model's max seq len (40960), (5.62 GiB KV "
    "cache is needed, which is larger than the available KV cache memory (1.71 GiB). Based on the "
    "available memory, the estimated maximum model length is 12432. Try increasing "
    "`gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
)
DISTRIBUTED = "torch.distributed.DistBackendError: NCCL error in: x.cpp:1, unhandled system error"


def of(*lines: str, code: int = 1, memory: str | None = None) -> EngineFailed:
    return diagnose(lines, Ended(code, Phase.WEIGHTS, memory))


def failed(prefix: str, raised: str) -> list[str]:
    return [f"{prefix}WorkerProc failed to start.", *traceback(prefix, raised)]


class TestCause:
    def test_it_has_the_facts_and_the_repair(self) -> None:
        error = of(*failed(CORE, TOO_LONG), *CONSEQUENCES)
        assert (error.code, error.exit_code) == ("context-longer-than-cache", 78)
        assert error.message == (
            "The engine ended by itself in phase weights, with exit code 1. In its process "
            "EngineCore: a context of 40960 tokens needs 5.62 GiB of key-value cache, and 1.71 GiB "
            "are there, enough for 12432 tokens."
        )
        assert "ARG='--max-model-len 12432'" in str(error.hint)
        assert error.excerpt[-1] == TOO_LONG

    def test_the_first_cause_counts(self) -> None:
        later = failed(OTHER, "OSError: [Errno 24] Too many open files")
        error = of(*failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory."), *later)
        assert error.code == "device-out-of-memory"

    def test_a_symptom_gives_way_to_a_cause_that_is_written_later(self) -> None:
        later = failed(OTHER, "torch.OutOfMemoryError: CUDA out of memory.")
        assert of(*failed(WORKER, DISTRIBUTED), *later).code == "device-out-of-memory"

    def test_a_symptom_alone(self) -> None:
        assert of(*failed(WORKER, DISTRIBUTED)).code == "collective-failed"

    def test_a_symptom_after_something_unknown_does_not_hide_it(self) -> None:
        error = of(*failed(WORKER, "ZeroDivisionError: oh"), *failed(OTHER, DISTRIBUTED))
        assert error.code == "engine-failed"
        assert "ZeroDivisionError: oh" in error.message

    def test_what_native_code_printed_beside_a_symptom(self) -> None:
        line = (
            "pod:36:40 [0] misc/shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-Ab "
            "to 9637892 bytes"
        )
        assert of(line, *failed(WORKER, DISTRIBUTED)).code == "shm-too-small"

    def test_a_cause_without_a_message_says_nothing(self) -> None:
        chain = [
            *traceback(CORE, "TimeoutError"),
            CORE,
            f"{CORE}The above exception was the direct cause of the following exception:",
            CORE,
            *traceback(CORE, "TimeoutError: RPC call to execute_model timed out."),
        ]
        assert of(*chain).code == "step-too-slow"

    def test_the_cause_is_only_quoted(self) -> None:
        quote = (
            "RuntimeError: Worker failed with error 'CUDA out of memory. Tried to allocate 2.00 "
            "MiB.', please check the stack trace above for the root cause"
        )
        assert of(*failed(CORE, quote)).code == "device-out-of-memory"

    def test_a_line_that_no_logger_wrote_counts_last(self) -> None:
        line = "Insufficient devices for 2D mesh: found 1, expected 8"
        assert of(line, *CONSEQUENCES).code == "too-few-devices"
        assert of(line, *failed(CORE, "ZeroDivisionError: oh")).code == "engine-failed"
        assert of(line, code=-signal.SIGKILL).code == "killed"
        assert of(f"[1] NCCL INFO {line}", *CONSEQUENCES).code == "killed"

    def test_a_library_that_fails_as_it_is_imported(self) -> None:
        lines = [
            "Traceback (most recent call last):",
            '  File "/usr/lib/python3/dist-packages/vllm/a.py", line 1, in <module>',
            "    import b",
            '  File "/usr/lib/python3/dist-packages/b/c.py", line 1, in <module>',
            "    d(e)",
            '  File "/usr/lib/python3/dist-packages/d/f.py", line 1, in d',
            "    raise ValueError(g)",
        ]
        raised = "ValueError: a thing must be said"
        assert of(*lines, raised).code == "library-broken"
        assert of(*lines[:3], *lines[5:], raised).code == "engine-failed"

    def test_what_failed_while_it_went_on_serving(self) -> None:
        served = '(APIServer pid=1) INFO:     10.0.0.1:5 - "POST /v1/completions HTTP/1.1" 200 OK'
        error = of(
            *failed(WORKER, "OSError: [Errno 24] Too many open files"),
            served,
            *failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory."),
        )
        assert error.code == "device-out-of-memory"

    def test_a_probe_that_is_answered_after_the_failure(self) -> None:
        probe = '(APIServer pid=1) INFO:     10.0.0.1:5 - "GET /health/live HTTP/1.1" 200 OK'
        cause = failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
        error = of(*cause, probe, *failed(CORE, "ZeroDivisionError: oh"))
        assert error.code == "device-out-of-memory"

    def test_its_beginning_was_dropped(self) -> None:
        error = of(*failed(CORE, TOO_LONG)[3:], *CONSEQUENCES)
        assert error.code == "context-longer-than-cache"


def raised_in(place: str, raised: str) -> list[str]:
    """A failure whose innermost frame is in such a file of vLLM, and function."""
    file, _, function = place.partition(":")
    lines = ["Traceback (most recent call last):"]
    for name, where in ((f"vllm/{file}", function), ("vllm/v1/engine/core.py", "run"))[::-1]:
        lines += [f'  File "/usr/lib/{name}", line 1, in {where}', "    a(b)", "    ^^^^"]
    return [f"{CORE}EngineCore failed to start.", *(f"{CORE}{line}" for line in [*lines, raised])]


class TestPlace:
    """What a part of vLLM raises is of that part, be its words new."""

    @pytest.mark.parametrize(
        ("place", "raised", "kind"),
        [
            ("lora/lora_model.py:load", "ValueError: a new word", "adapter-unusable"),
            ("v1/attention/backends/new.py:init", "ValueError: oh", "attention-unsupported"),
            (
                "model_executor/layers/quantization/new.py:create_weights",
                "NotImplementedError: oh",
                "quantization-unsupported",
            ),
            ("transformers_utils/configs/new.py:init", "AssertionError: oh", "config-unusable"),
            ("model_executor/layers/new.py:weight_loader", "IndexError: oh", "weights-mismatch"),
            ("platforms/new.py:check_and_update_config", "ValueError: oh", "invalid-option"),
            (
                "distributed/device_communicators/new.py:init",
                "RuntimeError: oh",
                "collective-failed",
            ),
            (
                "model_executor/models/registry.py:load",
                "ValueError: oh",
                "architecture-unsupported",
            ),
            ("distributed/kv_transfer/new.py:init", "KeyError: 'oh'", "connector-failed"),
            ("_custom_ops.py:new", "RuntimeError: oh", "device-code"),
            ("v1/spec_decode/new.py:init", "ValueError: oh", "invalid-option"),
            ("compilation/new.py:compile", "KeyError: 3", "compile-failed"),
            ("_custom_ops.py:new", "RuntimeError: Int8 is not supported", "invalid-option"),
            (
                "compilation/new.py:compile",
                "triton.compiler.errors.CompilationError: at 1:0: ValueError('type fp8e4nv not "
                "supported in this architecture.')",
                "quantization-unsupported",
            ),
            ("v1/worker/new.py:load_model", "ValueError: oh", "engine-failed"),
        ],
    )
    def test_the_innermost_frame_tells(self, place: str, raised: str, kind: str) -> None:
        assert of(*raised_in(place, raised)).code == kind

    def test_an_outer_frame_does_not(self) -> None:
        lines = raised_in("lora/lora_model.py:load", "ValueError: oh")
        inner = [f'{CORE}  File "/usr/lib/re.py", line 1, in match', f"{CORE}    c(d)"]
        assert of(*lines[:-1], *inner, lines[-1]).code == "engine-failed"


class TestRefusal:
    @pytest.mark.parametrize(
        "said",
        [
            "ValueError: A new method is not supported with a newer one.",
            "NotImplementedError: The runner does not yet support M-RoPE",
            "AssertionError: max_num_seqs must be greater than 0",
            "RuntimeError: Set --a-new-option to use this",
        ],
    )
    def test_it_is_of_an_option(self, said: str) -> None:
        error = of(*failed(CORE, said), *CONSEQUENCES)
        assert error.code == "invalid-option"
        assert said.partition(": ")[2].rstrip(".") in error.message

    @pytest.mark.parametrize(
        "said",
        [
            "TypeError: unsupported operand type(s) for +: 'Tensor' and 'Tensor'",
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)",
            "AssertionError: Expected number of multimodal embeddings to match number of items",
        ],
    )
    def test_an_error_of_the_program_is_none(self, said: str) -> None:
        assert of(*failed(CORE, said), *CONSEQUENCES).code == "engine-failed"


class TestUnknown:
    def test_it_shows_the_traceback(self) -> None:
        error = of(*failed(WORKER, "ZeroDivisionError: oh"), *CONSEQUENCES)
        assert (error.code, error.exit_code) == ("engine-failed", 70)
        assert "the cause is unknown" in error.message
        assert 'File "a.py", line 1, in work' in error.message
        assert error.excerpt[-1] == "ZeroDivisionError: oh"

    def test_what_is_quoted_was_said(self) -> None:
        quoted = "RuntimeError: Worker failed with error 'a strange thing', please check the stack"
        gone = "Worker proc VllmWorker-1 died unexpectedly, shutting down executor."
        assert of(*traceback(CORE, quoted), gone).code == "engine-failed"
        assert of(gone).code == "killed"

    def test_an_executor_without_workers_only_follows(self) -> None:
        later = traceback(CORE, "AttributeError: 'MultiprocExecutor' object has no attribute 'x'")
        assert (
            "ZeroDivisionError: oh" in of(*later, *failed(WORKER, "ZeroDivisionError: oh")).message
        )

    def test_no_output(self) -> None:
        error = of(code=3)
        assert (error.code, error.exit_code) == ("engine-failed", 70)
        assert "by itself in phase weights, with exit code 3" in error.message
        assert "no exception" in error.message


class TestSignal:
    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (signal.SIGKILL, "killed"),
            (signal.SIGSEGV, "segmentation-fault"),
            (signal.SIGBUS, "bus-error"),
            (signal.SIGILL, "illegal-instruction"),
            (signal.SIGABRT, "aborted"),
            (signal.SIGHUP, "killed-by-signal"),
        ],
    )
    def test_the_main_process(self, number: int, kind: str) -> None:
        error = of(*CONSEQUENCES, code=-number)
        assert (error.code, error.exit_code) == (kind, 128 + number)
        assert f"killed by {signal.Signals(number).name} in phase weights" in error.message

    def test_a_helper(self) -> None:
        line = f"{CORE}Worker proc VllmWorker-1 died unexpectedly (exit code: -11), shutting down."
        error = of(line, *CONSEQUENCES)
        assert (error.code, error.exit_code) == ("segmentation-fault", 70)
        assert "In its process VllmWorker-1" in error.message

    def test_a_helper_that_ended_without_a_word(self) -> None:
        error = of(*CONSEQUENCES)
        assert (error.code, error.exit_code) == ("killed", 70)
        assert "without a word" in error.message

    def test_a_signal_that_follows_from_a_cause(self) -> None:
        lines = failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
        error = of(*lines, code=-signal.SIGABRT)
        assert (error.code, error.exit_code) == ("device-out-of-memory", 134)


class TestMemory:
    def test_the_main_process_was_killed(self) -> None:
        error = of(code=-signal.SIGKILL, memory="the memory limit of 6.0 GiB was reached")
        assert (error.code, error.exit_code) == ("memory-limit", 137)
        assert "the memory limit of 6.0 GiB was reached" in error.message
        for word in ("docker: --memory", "VLLM_CPU_KVCACHE_SPACE", "--max-model-len"):
            assert word in str(error.hint)

    def test_a_helper_was_killed(self) -> None:
        error = of(*CONSEQUENCES, memory="the memory limit of 6.0 GiB was reached")
        assert (error.code, error.exit_code) == ("memory-limit", 71)
        assert "phase weights, with exit code 1, because the memory limit" in error.message

    def test_another_cause_showed_and_nothing_of_the_engine_was_killed(self) -> None:
        error = of(*failed(CORE, TOO_LONG), memory="the machine ran out of memory")
        assert error.code == "context-longer-than-cache"


ODD = st.text(st.characters(codec=None), max_size=300)
HOSTILE = st.sampled_from(
    [
        "Traceback (most recent call last):",
        "  | Traceback (most recent call last):",
        f"{WORKER}Traceback (most recent call last):",
        "ValueError: ",
        "During handling of the above exception, another exception occurred:",
        "(" * 2000,
        "CUDA out of memory. Tried to allocate " * 200,
        "[2026-01-01T00:00:00Z] " * 50,
        '{"message": ' + "[" * 5000,
        '{"message": {"a": 1}, "levelname": 3}',
        "\x1b[" * 1000,
        "a.b" * 3000,
        "x" * 1_000_000,
        "\udcff\udcfe",
    ]
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(ODD, HOSTILE), max_size=25),
    st.integers(-64, 255),
    st.sampled_from([None, "the machine ran out of memory"]),
)
def test_whatever_was_written_there_is_an_outcome(
    lines: list[str], code: int, memory: str | None
) -> None:
    error = diagnose(lines, Ended(code, Phase.WEIGHTS, memory))
    assert (
        error.exit_code == 128 - code
        if code < 0
        else error.exit_code in (65, 66, 69, 70, 71, 74, 78)
    )
    assert error.message


def test_a_long_output_is_looked_through_to_its_end() -> None:
    lines = [f"{WORKER}error {index} of the device's queue" for index in range(5000)]
    lines[2500:2500] = failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
    assert of(*lines).code == "device-out-of-memory"
