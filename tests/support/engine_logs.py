"""Lines that vLLM's processes write when they fail."""

WORKER = "(Worker_TP0 pid=12) ERROR 11-21 06:00:00 [multiproc_executor.py:953] "
OTHER_WORKER = "(Worker_TP1 pid=13) ERROR 11-21 06:00:00 [multiproc_executor.py:953] "
CORE = "(EngineCore pid=9) ERROR 11-21 06:00:01 [core.py:1510] "

FRAMES = ('  File "a.py", line 1, in work', "    work()", "    ^^^^^^")


def traceback(prefix: str, raised: str) -> list[str]:
    """Return the lines of a traceback.

    Args:
        prefix: What the process's logger puts before each line.
        raised: The exception as Python prints it.
    """
    lines = ("Traceback (most recent call last):", *FRAMES, raised)
    return [f"{prefix}{line}" for line in lines]
