"""OpenVINO behind vLLM's OpenAI front end.

vLLM's server and its ``AsyncLLM`` run unchanged. The engine core behind ``AsyncLLM`` is a
:class:`server.openvino.core.PipelineCore`, which runs ``openvino_genai``'s continuous batching
pipeline in a separate process.
"""
