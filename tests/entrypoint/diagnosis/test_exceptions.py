"""Exceptions are found in the interleaved output of several processes."""

from entrypoint.diagnosis.exceptions import LoggedException, Severity, find_exceptions
from entrypoint.diagnosis.lines import read_lines
from entrypoint.logs.engine_line import LINKS
from tests.support.engine_logs import FRAMES, OTHER_WORKER, WORKER, traceback

CAUSE_LINK, CONTEXT_LINK = LINKS


def found(*lines: str) -> list[LoggedException]:
    return find_exceptions(read_lines(list(lines)))


class TestProcesses:
    def test_interleaved_tracebacks_of_two_processes_are_both_found(self) -> None:
        first, second = (
            traceback(WORKER, "ValueError: one"),
            traceback(OTHER_WORKER, "KeyError: 'two'"),
        )
        mixed = [line for pair in zip(first, second, strict=True) for line in pair]
        one, two = found(*mixed)
        assert (one.process, one.text) == ("Worker_TP0", "ValueError: one")
        assert (two.process, two.text) == ("Worker_TP1", "KeyError: 'two'")
        assert one.frames == FRAMES

    def test_another_threads_record_does_not_end_a_traceback(self) -> None:
        lines = traceback(WORKER, "ValueError: one")
        lines.insert(2, "(Worker_TP0 pid=12) INFO 11-21 06:00:00 [loader.py:1] Loading took 1 s")
        (raised,) = found(*lines)
        assert raised.text == "ValueError: one"

    def test_a_progress_bar_does_not_end_a_traceback(self) -> None:
        lines = traceback("", "ValueError: one")
        lines.insert(2, "Loading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?]")
        (raised,) = found(*lines)
        assert raised.text == "ValueError: one"

    def test_colors_and_a_collectors_prefix_are_ignored(self) -> None:
        front = "2026-02-24T20:21:58.123Z stderr F \x1b[1;36m(EngineCore_DP0 pid=6940)\x1b[0;0m "
        (raised,) = found(*traceback(front, "ValueError: one"))
        assert (raised.process, raised.text) == ("EngineCore_DP0", "ValueError: one")

    def test_the_innermost_of_nested_prefixes_names_the_process(self) -> None:
        front = "(EngineCore_0 pid=1) (RayWorkerWrapper pid=7, ip=10.0.0.2) "
        front += "ERROR 04-26 01:59:07 worker_base.py:157] "
        (raised,) = found(*traceback(front, "torch.OutOfMemoryError: CUDA out of memory."))
        assert raised.process == "RayWorkerWrapper"
        assert raised.name == "torch.OutOfMemoryError"

    def test_a_traceback_in_a_json_record_is_found(self) -> None:
        text = "\\n".join(traceback("", "ValueError: one"))
        text = text.replace('"', '\\"')
        (raised,) = found(
            f'{{"levelname": "ERROR", "processName": "EngineCore", "message": "EngineCore failed '
            f'to start.\\n{text}"}}'
        )
        assert (raised.process, raised.text) == ("EngineCore", "ValueError: one")
        assert raised.severity is Severity.FATAL


class TestMessage:
    def test_a_message_can_have_several_lines(self) -> None:
        lines = [*traceback(WORKER, "ValueError: one"), f"{WORKER}  two", f"{WORKER}three"]
        (raised,) = found(*lines, "(APIServer pid=1) INFO 11-21 06:00:00 [a.py:1] Shutting down")
        assert raised.message == "one\n  two\nthree"

    def test_a_message_ends_at_another_writers_line(self) -> None:
        after = "/usr/lib/python3.12/multiprocessing/resource_tracker.py:279: UserWarning: leaked"
        (raised,) = found(*traceback("", "ValueError: one"), after)
        assert raised.message == "one"

    def test_an_exception_can_have_no_message(self) -> None:
        (raised,) = found(*traceback("", "MemoryError"))
        assert (raised.name, raised.message, raised.text) == ("MemoryError", "", "MemoryError")

    def test_an_exception_without_a_traceback_is_found(self) -> None:
        words = "out of resource: shared memory, Required: 66560, Hardware limit: 65536"
        (raised,) = found(f"triton.runtime.errors.OutOfResources: {words}")
        assert (raised.name, raised.message) == ("triton.runtime.errors.OutOfResources", words)
        assert found("torch.jit.TracerWarning: a tensor", "INFO: nothing") == []

    def test_a_message_can_contain_another_exception(self) -> None:
        (raised,) = found(
            "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:",
            "CalledProcessError: Command '['gcc']' returned non-zero exit status 1.",
        )
        assert raised.message.endswith("returned non-zero exit status 1.")


class TestChains:
    def test_an_exception_raised_from_another_is_linked_as_cause(self) -> None:
        lines = [
            f"{WORKER}WorkerProc failed to start.",
            *traceback(WORKER, "OSError: one"),
            WORKER,
            f"{WORKER}{CAUSE_LINK}",
            WORKER,
            *traceback(WORKER, "RuntimeError: two"),
        ]
        one, two = found(*lines)
        assert (one.text, one.link, one.severity) == ("OSError: one", "cause", Severity.FATAL)
        assert (two.text, two.link, two.severity) == ("RuntimeError: two", "", Severity.FATAL)

    def test_an_exception_raised_while_handling_another_is_linked_as_context(self) -> None:
        lines = [
            *traceback("", "KeyError: 1"),
            "",
            CONTEXT_LINK,
            "",
            *traceback("", "ValueError: 2"),
        ]
        assert [each.link for each in found(*lines)] == ["context", ""]


class TestSeverity:
    def test_an_uncaught_exception_is_fatal(self) -> None:
        (raised,) = found("Process EngineCore:", *traceback("", "ValueError: one"))
        assert raised.severity is Severity.FATAL

    def test_an_exception_logged_as_a_warning_is_warned(self) -> None:
        front = "(APIServer pid=1) WARNING 11-21 06:00:00 [usage.py:1] "
        (raised,) = found(*traceback(front, "ValueError: one"))
        assert raised.severity is Severity.WARNED

    def test_an_exception_that_fails_one_request_is_harmless(self) -> None:
        head = "(APIServer pid=1) ERROR:    Exception in ASGI application"
        (raised,) = found(head, *traceback("", "ValueError: one"))
        assert raised.severity is Severity.HARMLESS

    def test_a_chained_exception_is_as_severe_as_the_first_one(self) -> None:
        ignored = "(APIServer pid=1) Exception ignored in: <function Handle.__del__ at 0x7f>"
        first, second = traceback("", "KeyError: 1"), traceback("", "ValueError: 2")
        severities = [e.severity for e in found(ignored, *first, "", CONTEXT_LINK, "", *second)]
        assert severities == [Severity.HARMLESS, Severity.HARMLESS]

    def test_an_ignored_exception_is_harmless(self) -> None:
        head = "Exception ignored in: <function Handle.__del__ at 0x7f>"
        (raised,) = found(head, *traceback("", "AttributeError: one"))
        assert raised.severity is Severity.HARMLESS

    def test_an_exception_logged_as_an_error_is_logged(self) -> None:
        front = "(APIServer pid=1) ERROR 11-21 06:00:00 [serving.py:1] "
        head = f"{front}Error in preprocessing prompt inputs"
        (raised,) = found(head, *traceback(front, "ValueError: one"))
        assert raised.severity is Severity.LOGGED
