"""Exceptions are found in what several processes write at once."""

from entrypoint.diagnosis.exceptions import Gravity, Raised, find_exceptions
from entrypoint.diagnosis.lines import read_lines
from tests.support.tracebacks import OTHER, WORKER, traceback


def found(*lines: str) -> list[Raised]:
    return find_exceptions(read_lines(list(lines)))


class TestStreams:
    def test_processes_in_between_each_other(self) -> None:
        first, second = traceback(WORKER, "ValueError: one"), traceback(OTHER, "KeyError: 'two'")
        mixed = [line for pair in zip(first, second, strict=True) for line in pair]
        one, two = found(*mixed)
        assert (one.process, one.text) == ("Worker_TP0", "ValueError: one")
        assert (two.process, two.text) == ("Worker_TP1", "KeyError: 'two'")
        assert one.frames == ('  File "a.py", line 1, in work', "    work()", "    ^^^^^^")

    def test_another_thread_of_the_process_in_between(self) -> None:
        lines = traceback(WORKER, "ValueError: one")
        lines.insert(2, "(Worker_TP0 pid=12) INFO 11-21 06:00:00 [loader.py:1] Loading took 1 s")
        (raised,) = found(*lines)
        assert raised.text == "ValueError: one"

    def test_a_progress_bar_in_between(self) -> None:
        lines = traceback("", "ValueError: one")
        lines.insert(2, "Loading safetensors checkpoint shards:   0% Completed | 0/1 [00:00<?]")
        (raised,) = found(*lines)
        assert raised.text == "ValueError: one"

    def test_colours_and_a_collector_in_front(self) -> None:
        front = "2026-02-24T20:21:58.123Z stderr F \x1b[1;36m(EngineCore_DP0 pid=6940)\x1b[0;0m "
        (raised,) = found(*traceback(front, "ValueError: one"))
        assert (raised.process, raised.text) == ("EngineCore_DP0", "ValueError: one")

    def test_old_and_nested_prefixes(self) -> None:
        front = "(EngineCore_0 pid=1) (RayWorkerWrapper pid=7, ip=10.0.0.2) "
        front += "ERROR 04-26 01:59:07 worker_base.py:157] "
        (raised,) = found(*traceback(front, "torch.OutOfMemoryError: CUDA out of memory."))
        assert raised.process == "RayWorkerWrapper"
        assert raised.name == "torch.OutOfMemoryError"

    def test_a_record_of_json(self) -> None:
        text = "\\n".join(traceback("", "ValueError: one"))
        text = text.replace('"', '\\"')
        (raised,) = found(
            f'{{"levelname": "ERROR", "processName": "EngineCore", "message": "EngineCore failed '
            f'to start.\\n{text}"}}'
        )
        assert (raised.process, raised.text) == ("EngineCore", "ValueError: one")
        assert raised.gravity is Gravity.FATAL


class TestMessage:
    def test_several_lines(self) -> None:
        lines = [*traceback(WORKER, "ValueError: one"), f"{WORKER}  two", f"{WORKER}three"]
        (raised,) = found(*lines, "(APIServer pid=1) INFO 11-21 06:00:00 [a.py:1] Shutting down")
        assert raised.message == "one\n  two\nthree"

    def test_it_ends_where_another_writer_begins(self) -> None:
        after = "/usr/lib/python3.12/multiprocessing/resource_tracker.py:279: UserWarning: leaked"
        (raised,) = found(*traceback("", "ValueError: one"), after)
        assert raised.message == "one"

    def test_a_name_alone(self) -> None:
        (raised,) = found(*traceback("", "MemoryError"))
        assert (raised.name, raised.message, raised.text) == ("MemoryError", "", "MemoryError")

    def test_no_traceback(self) -> None:
        words = "out of resource: shared memory, Required: 66560, Hardware limit: 65536"
        (raised,) = found(f"triton.runtime.errors.OutOfResources: {words}")
        assert (raised.name, raised.message) == ("triton.runtime.errors.OutOfResources", words)
        assert found("torch.jit.TracerWarning: a tensor", "INFO: nothing") == []

    def test_it_announces_another_ones_words(self) -> None:
        (raised,) = found(
            "torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:",
            "CalledProcessError: Command '['gcc']' returned non-zero exit status 1.",
        )
        assert raised.message.endswith("returned non-zero exit status 1.")


class TestChains:
    def test_a_cause(self) -> None:
        said = "The above exception was the direct cause of the following exception:"
        lines = [
            f"{WORKER}WorkerProc failed to start.",
            *traceback(WORKER, "OSError: one"),
            WORKER,
            f"{WORKER}{said}",
            WORKER,
            *traceback(WORKER, "RuntimeError: two"),
        ]
        one, two = found(*lines)
        assert (one.text, one.led_to, one.gravity) == ("OSError: one", "cause", Gravity.FATAL)
        assert (two.text, two.led_to, two.gravity) == ("RuntimeError: two", "", Gravity.FATAL)

    def test_a_context(self) -> None:
        said = "During handling of the above exception, another exception occurred:"
        lines = [*traceback("", "KeyError: 1"), "", said, "", *traceback("", "ValueError: 2")]
        assert [each.led_to for each in found(*lines)] == ["context", ""]


class TestGravity:
    def test_not_caught(self) -> None:
        (raised,) = found("Process EngineCore:", *traceback("", "ValueError: one"))
        assert raised.gravity is Gravity.FATAL

    def test_logged_as_a_warning(self) -> None:
        front = "(APIServer pid=1) WARNING 11-21 06:00:00 [usage.py:1] "
        (raised,) = found(*traceback(front, "ValueError: one"))
        assert raised.gravity is Gravity.WARNED

    def test_one_request_failed(self) -> None:
        head = "(APIServer pid=1) ERROR:    Exception in ASGI application"
        (raised,) = found(head, *traceback("", "ValueError: one"))
        assert raised.gravity is Gravity.HARMLESS

    def test_while_the_interpreter_ended(self) -> None:
        head = "Exception ignored in: <function Handle.__del__ at 0x7f>"
        (raised,) = found(head, *traceback("", "AttributeError: one"))
        assert raised.gravity is Gravity.HARMLESS

    def test_logged_as_an_error(self) -> None:
        front = "(APIServer pid=1) ERROR 11-21 06:00:00 [serving.py:1] "
        head = f"{front}Error in preprocessing prompt inputs"
        (raised,) = found(head, *traceback(front, "ValueError: one"))
        assert raised.gravity is Gravity.LOGGED
