"""The error states the first cause of the engine's exit."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.errors import EngineFailed
from entrypoint.shared.handover import Phase
from tests.support.engine_logs import CORE, OTHER_WORKER, WORKER, traceback

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
    return diagnose(lines, EngineExit(code, Phase.WEIGHTS, memory))


def failed(prefix: str, raised: str) -> list[str]:
    return [f"{prefix}WorkerProc failed to start.", *traceback(prefix, raised)]


class TestCause:
    def test_the_message_has_the_numbers_and_the_hint_the_fix(self) -> None:
        error = of(*failed(CORE, TOO_LONG), *CONSEQUENCES)
        assert (error.code, error.exit_code) == ("context-longer-than-cache", 78)
        assert error.message == (
            "The engine exited in phase weights with exit code 1. In process EngineCore: a context "
            "of 40960 tokens needs 5.62 GiB of KV cache, and 1.71 GiB is available, enough "
            "for 12432 tokens."
        )
        assert "ARG='--max-model-len 12432'" in str(error.hint)
        assert error.excerpt[-1] == TOO_LONG

    def test_the_first_of_two_causes_counts(self) -> None:
        later = failed(OTHER_WORKER, "OSError: [Errno 24] Too many open files")
        error = of(*failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory."), *later)
        assert error.code == "device-out-of-memory"

    def test_a_later_cause_counts_before_an_earlier_symptom(self) -> None:
        later = failed(OTHER_WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
        assert of(*failed(WORKER, DISTRIBUTED), *later).code == "device-out-of-memory"

    def test_a_symptom_counts_if_there_is_no_cause(self) -> None:
        assert of(*failed(WORKER, DISTRIBUTED)).code == "collective-failed"

    def test_a_symptom_does_not_hide_an_earlier_unknown_exception(self) -> None:
        error = of(*failed(WORKER, "ZeroDivisionError: oh"), *failed(OTHER_WORKER, DISTRIBUTED))
        assert error.code == "engine-failed"
        assert "ZeroDivisionError: oh" in error.message

    def test_a_cause_that_native_code_printed_counts_before_a_symptom(self) -> None:
        line = (
            "pod:36:40 [0] misc/shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-Ab "
            "to 9637892 bytes"
        )
        assert of(line, *failed(WORKER, DISTRIBUTED)).code == "shm-too-small"

    def test_an_exception_without_a_message_gives_way_to_the_one_raised_from_it(self) -> None:
        chain = [
            *traceback(CORE, "TimeoutError"),
            CORE,
            f"{CORE}The above exception was the direct cause of the following exception:",
            CORE,
            *traceback(CORE, "TimeoutError: RPC call to execute_model timed out."),
        ]
        assert of(*chain).code == "step-too-slow"

    def test_a_cause_that_another_process_quotes_is_found(self) -> None:
        quote = (
            "RuntimeError: Worker failed with error 'CUDA out of memory. Tried to allocate 2.00 "
            "MiB.', please check the stack trace above for the root cause"
        )
        assert of(*failed(CORE, quote)).code == "device-out-of-memory"

    def test_a_line_without_a_level_counts_only_if_nothing_else_explains_the_exit(self) -> None:
        line = "Insufficient devices for 2D mesh: found 1, expected 8"
        assert of(line, *CONSEQUENCES).code == "too-few-devices"
        assert of(line, *failed(CORE, "ZeroDivisionError: oh")).code == "engine-failed"
        assert of(line, code=-signal.SIGKILL).code == "killed"
        assert of(f"[1] NCCL INFO {line}", *CONSEQUENCES).code == "killed"

    def test_an_exception_during_an_import_is_a_broken_library(self) -> None:
        lines = [
            "Traceback (most recent call last):",
            '  File "/usr/lib/python3/dist-packages/vllm/a.py", line 1, in <module>',
            "    import b",
            '  File "/usr/lib/python3/dist-packages/b/c.py", line 1, in <module>',
            "    d(e)",
            '  File "/usr/lib/python3/dist-packages/d/f.py", line 1, in d',
            "    raise ValueError(g)",
        ]
        raised = "ValueError: a thing must be given"
        assert of(*lines, raised).code == "library-broken"
        assert of(*lines[:3], *lines[5:], raised).code == "engine-failed"

    def test_an_exception_before_a_served_request_does_not_count(self) -> None:
        served = '(APIServer pid=1) INFO:     10.0.0.1:5 - "POST /v1/completions HTTP/1.1" 200 OK'
        error = of(
            *failed(WORKER, "OSError: [Errno 24] Too many open files"),
            served,
            *failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory."),
        )
        assert error.code == "device-out-of-memory"

    def test_an_exception_before_an_answered_probe_counts(self) -> None:
        probe = '(APIServer pid=1) INFO:     10.0.0.1:5 - "GET /health/live HTTP/1.1" 200 OK'
        cause = failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
        error = of(*cause, probe, *failed(CORE, "ZeroDivisionError: oh"))
        assert error.code == "device-out-of-memory"

    def test_a_traceback_without_its_first_lines_is_recognized(self) -> None:
        error = of(*failed(CORE, TOO_LONG)[3:], *CONSEQUENCES)
        assert error.code == "context-longer-than-cache"


def raised_in(place: str, raised: str) -> list[str]:
    """Return the lines of a failure in a file and function of vLLM, ``file:function``."""
    file, _, function = place.partition(":")
    lines = ["Traceback (most recent call last):"]
    for name, where in ((f"vllm/{file}", function), ("vllm/v1/engine/core.py", "run"))[::-1]:
        lines += [f'  File "/usr/lib/{name}", line 1, in {where}', "    a(b)", "    ^^^^"]
    return [f"{CORE}EngineCore failed to start.", *(f"{CORE}{line}" for line in [*lines, raised])]


class TestPlace:
    """An unknown message is classified by the part of vLLM that raised it."""

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
    def test_the_innermost_frame_decides(self, place: str, raised: str, kind: str) -> None:
        assert of(*raised_in(place, raised)).code == kind

    def test_the_innermost_known_frame_decides_below_an_unknown_one(self) -> None:
        lines = raised_in("lora/lora_model.py:load", "ValueError: oh")
        inner = [f'{CORE}  File "/usr/lib/re.py", line 1, in match', f"{CORE}    c(d)"]
        assert of(*lines[:-1], *inner, lines[-1]).code == "adapter-unusable"


class TestRefusal:
    @pytest.mark.parametrize(
        "raised",
        [
            "ValueError: A new method is not supported with a newer one.",
            "NotImplementedError: The runner does not yet support M-RoPE",
            "AssertionError: max_num_seqs must be greater than 0",
            "RuntimeError: Set --a-new-option to use this",
        ],
    )
    def test_a_message_about_an_option_is_an_invalid_option(self, raised: str) -> None:
        error = of(*failed(CORE, raised), *CONSEQUENCES)
        assert error.code == "invalid-option"
        assert raised.partition(": ")[2].rstrip(".") in error.message

    @pytest.mark.parametrize(
        "raised",
        [
            "TypeError: unsupported operand type(s) for +: 'Tensor' and 'Tensor'",
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)",
            "AssertionError: Expected number of multimodal embeddings to match number of items",
        ],
    )
    def test_a_bug_in_the_engine_is_not_an_invalid_option(self, raised: str) -> None:
        assert of(*failed(CORE, raised), *CONSEQUENCES).code == "engine-failed"


class TestUnknown:
    def test_the_message_of_an_unknown_cause_has_the_traceback(self) -> None:
        error = of(*failed(WORKER, "ZeroDivisionError: oh"), *CONSEQUENCES)
        assert (error.code, error.exit_code) == ("engine-failed", 70)
        assert "the cause is unknown" in error.message
        assert 'File "a.py", line 1, in work' in error.message
        assert error.excerpt[-1] == "ZeroDivisionError: oh"

    def test_a_quoted_message_means_that_the_process_did_not_exit_silently(self) -> None:
        quoted = "RuntimeError: Worker failed with error 'a strange thing', please check the stack"
        gone = "Worker proc VllmWorker-1 died unexpectedly, shutting down executor."
        assert of(*traceback(CORE, quoted), gone).code == "engine-failed"
        assert of(gone).code == "killed"

    def test_a_missing_attribute_of_the_executor_is_a_consequence(self) -> None:
        later = traceback(CORE, "AttributeError: 'MultiprocExecutor' object has no attribute 'x'")
        error = of(*later, *failed(WORKER, "ZeroDivisionError: oh"))
        assert "ZeroDivisionError: oh" in error.message

    def test_the_cause_is_unknown_without_output(self) -> None:
        error = of(code=3)
        assert (error.code, error.exit_code) == ("engine-failed", 70)
        assert "exited in phase weights with exit code 3" in error.message
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
    def test_a_signal_that_killed_the_main_process_decides(self, number: int, kind: str) -> None:
        error = of(*CONSEQUENCES, code=-number)
        assert (error.code, error.exit_code) == (kind, 128 + number)
        assert f"killed by {signal.Signals(number).name} in phase weights" in error.message

    def test_a_signal_that_killed_a_worker_names_the_worker(self) -> None:
        line = f"{CORE}Worker proc VllmWorker-1 died unexpectedly (exit code: -11), shutting down."
        error = of(line, *CONSEQUENCES)
        assert (error.code, error.exit_code) == ("segmentation-fault", 70)
        assert "In process VllmWorker-1" in error.message

    def test_a_worker_that_exited_silently_counts_as_killed(self) -> None:
        error = of(*CONSEQUENCES)
        assert (error.code, error.exit_code) == ("killed", 70)
        assert "without a message" in error.message

    def test_a_cause_counts_before_the_abort_that_it_led_to(self) -> None:
        lines = failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
        error = of(*lines, code=-signal.SIGABRT)
        assert (error.code, error.exit_code) == ("device-out-of-memory", 134)


class TestMemory:
    def test_an_out_of_memory_kill_of_the_main_process_states_the_limit(self) -> None:
        error = of(code=-signal.SIGKILL, memory="the memory limit of 6.0 GiB was reached")
        assert (error.code, error.exit_code) == ("memory-limit", 137)
        assert "the memory limit of 6.0 GiB was reached" in error.message
        for word in ("docker: --memory", "VLLM_CPU_KVCACHE_SPACE", "--max-model-len"):
            assert word in str(error.hint)

    def test_an_out_of_memory_kill_of_a_worker_states_the_limit(self) -> None:
        error = of(*CONSEQUENCES, memory="the memory limit of 6.0 GiB was reached")
        assert (error.code, error.exit_code) == ("memory-limit", 71)
        assert (
            "phase weights with exit code 1: the memory limit of 6.0 GiB was reached, and one of "
            "its processes was killed."
        ) in error.message

    def test_a_cause_in_the_output_counts_before_an_unrelated_out_of_memory_kill(self) -> None:
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
def test_any_output_and_exit_code_yield_an_error(
    lines: list[str], code: int, memory: str | None
) -> None:
    error = diagnose(lines, EngineExit(code, Phase.WEIGHTS, memory))
    assert (
        error.exit_code == 128 - code
        if code < 0
        else error.exit_code in (65, 66, 69, 70, 71, 74, 78)
    )
    assert error.message


def test_a_cause_in_the_middle_of_a_long_output_is_found() -> None:
    lines = [f"{WORKER}error {index} of the device's queue" for index in range(5000)]
    lines[2500:2500] = failed(WORKER, "torch.OutOfMemoryError: CUDA out of memory.")
    assert of(*lines).code == "device-out-of-memory"


class TestUsage:
    @pytest.mark.parametrize(
        "program", ["vllm serve", "vllm", "api_server.py", "/opt/bin/vllm serve"]
    )
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            ("unrecognized arguments: --fancy 3", ["vLLM does not have the option --fancy"]),
            ("argument --dtype: invalid choice: 'x' (choose from 'a')", ["--dtype", "'x'"]),
            ("argument --max-num-seqs: invalid int value: 'x'", ["--max-num-seqs", "'x'"]),
            ("argument --max-model-len: expected one argument", ["--max-model-len"]),
            ("ambiguous option: --max-l could match --max-a, --max-b", ["--max-l ", "--max-b"]),
            ("the following arguments are required: --a", ["required: --a"]),
            (
                "argument --a/-b: 1 validation error for A\nmode\n  Must be 0",
                ["--a/-b", "Must be 0"],
            ),
            ("Invalid JSON format for --lora-modules: x", ["--lora-modules"]),
        ],
    )
    def test_an_error_of_the_command_line_names_the_option(
        self, program: str, error: str, words: list[str]
    ) -> None:
        lines = f"usage: {program} [-h] [--headless]\n{program}: error: {error}".split("\n")
        found = of(*lines, code=2)
        assert (found.code, found.exit_code) == ("invalid-option", 78)
        for word in words:
            assert word in found.message


class TestReference:
    def test_an_exception_that_refers_to_the_log_is_explained_by_the_logged_one(self) -> None:
        logged = traceback(
            "ERROR 11-21 06:00:00 [registry.py:1] ", "ImportError: No module named 'a'"
        )
        fatal = [
            "Traceback (most recent call last):",
            '  File "a.py", line 1, in a',
            "ValueError: Model architectures ['A'] failed to be inspected. Check the logs.",
        ]
        assert of(*logged, *fatal).code == "package-missing"
        assert of(*fatal).code == "architecture-unsupported"

    def test_a_stage_counts_only_before_the_engine_serves(self) -> None:
        lines = raised_in("v1/attention/backends/new.py:build", "TypeError: oh")
        ended = EngineExit(1, Phase.READY)
        assert diagnose(lines, ended).code == "engine-failed"


class TestDetail:
    def test_a_cause_without_a_group_quotes_the_exception(self) -> None:
        error = of(*failed(CORE, "ValueError: size mismatch for model.norm.weight"))
        assert error.code == "weights-mismatch"
        assert error.message.endswith("(ValueError: size mismatch for model.norm.weight).")

    def test_an_exception_without_a_message_is_quoted_with_its_code(self) -> None:
        error = of(*raised_in("model_executor/layers/new.py:weight_loader", "AssertionError"))
        assert error.code == "weights-mismatch"
        assert "AssertionError at: a(b)" in error.message

    def test_the_input_of_a_validation_is_not_quoted(self) -> None:
        error = of(
            "Traceback (most recent call last):",
            '  File "a.py", line 1, in a',
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
            "seed",
            "  Input should be valid [type=int, input_value='a', input_type=str]",
            "    For further information visit https://errors.pydantic.dev/2/v/int",
        )
        assert error.code == "invalid-option"
        assert error.message.endswith("(ModelConfig): seed Input should be valid.")
