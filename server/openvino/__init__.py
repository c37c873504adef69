"""OpenVINO behind vLLM's OpenAI front end.

vLLM's server and its ``AsyncLLM`` run as they are; the engine core that ``AsyncLLM`` asks for is
:class:`server.openvino.core.PipelineCore`, which talks to ``openvino_genai``'s continuous batching
pipeline in a process of its own.
"""
