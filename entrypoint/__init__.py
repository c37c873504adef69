"""The light half of the runtime: PID 1 and the command ``inference-server``.

Nothing here imports torch or vllm, and nothing slow is imported at module level.
"""
