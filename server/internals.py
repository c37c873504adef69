"""What this project relies on in uvicorn and vLLM beyond their documented interfaces.

:data:`INTERNALS` lists each class or function that ``server/`` subclasses, replaces, or wraps: who
uses it, why, and what to check when its package is updated. ``tests/server/test_internals.py``
compares each signature and attribute with the installed packages and runs before all other tests,
so that an incompatible update fails with the name of what has changed.

After an update:

1. Run the test. Adapt the modules in ``used_by``, then the entries here.
2. Read the new version's source of every entry, and answer its ``check``.
3. Run ``make catalogue``, ``make routes``, and ``make test``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Internal:
    """A class, a function, or a module that the project relies on.

    Attributes:
        name: ``module:name``, or only the module.
        used_by: The module that relies on it.
        reason: How the module uses it, and why.
        check: What to check after an update, apart from the signatures.
        signatures: Parameters of each function, without annotations and defaults. An empty name
            stands for the entry itself.
        attributes: Names that instances or the module must have.
    """

    name: str
    used_by: str
    reason: str
    check: str
    signatures: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()


INTERNALS = (
    Internal(
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol",
        used_by="server.gate.protocol",
        reason="Subclassed: uvicorn has no limits on the time and size of a head, on slow readers, "
        "or on the number of connections, and loses the body of a request that offers an upgrade. "
        "data_received is replaced.",
        check="Does on_headers_complete still set self.cycle for each request except WebSockets, "
        "and take the path from self.url? Does data_received do anything besides parsing? Does "
        "__init__ still set the same leniencies of the parser? Does anything else call "
        "_should_upgrade? Is there a new callback, or a new place that closes the transport?",
        signatures={
            "__init__": "self, config, server_state, app_state, _loop",
            "connection_made": "self, transport",
            "connection_lost": "self, exc",
            "data_received": "self, data",
            "shutdown": "self",
            "pause_writing": "self",
            "resume_writing": "self",
            "on_message_begin": "self",
            "on_url": "self, url",
            "on_header": "self, name, value",
            "on_headers_complete": "self",
            "on_body": "self, body",
            "on_message_complete": "self",
            "on_response_complete": "self",
            "handle_websocket_upgrade": "self",
            "_should_upgrade": "self",
            "_should_upgrade_to_ws": "self",
            "_unset_keepalive_if_required": "self",
        },
        attributes=(
            "connections",
            "cycle",
            "expect_100_continue",
            "flow",
            "headers",
            "logger",
            "loop",
            "parser",
            "pipeline",
            "scope",
            "transport",
            "url",
        ),
    ),
    Internal(
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle",
        used_by="server.gate.protocol",
        reason="Its transport is wrapped, so that closing it waits for the remaining body, and "
        "clients of HTTP/1.0 get no chunks; on pipelined requests, each cycle is disconnected, not "
        "only the last. keep_alive is set while a client waits for 100 Continue.",
        check="Does the cycle use more of its transport than write, is_closing, and close? Does it "
        "still write the head at once, and then at most one chunk at a time with the last one? Is "
        "keep_alive still read as the answer starts?",
        attributes=(
            "disconnected",
            "keep_alive",
            "message_event",
            "response_complete",
            "response_started",
            "transport",
        ),
    ),
    Internal(
        "uvicorn.protocols.http.flow_control:FlowControl",
        used_by="server.gate.protocol",
        reason="Reading resumes while a closed connection lingers.",
        check="Does resume_reading still have no effect if reading is not paused?",
        signatures={"resume_reading": "self"},
    ),
    Internal(
        "httptools:HttpRequestParser",
        used_by="server.gate.protocol",
        reason="Calls on_chunk_header if the protocol has it. Its HttpParserUpgrade has the place "
        "where the head ends, and the context of its other errors is what a callback has raised.",
        check="Does it still look up callbacks by name? Do the cases of "
        "tests/support/framing.py still cover what llhttp accepts?",
    ),
    Internal(
        "uvicorn:Server",
        used_by="server.gate.http_server",
        reason="Run and stopped by the gate's own serve function.",
        check="Does should_exit still end serve()?",
        signatures={
            "startup": "self, sockets",
            "serve": "self, sockets",
            "shutdown": "self, sockets",
        },
        attributes=("config", "server_state", "should_exit"),
    ),
    Internal(
        "starlette._utils:get_route_path",
        used_by="server.gate.gate",
        reason="The gate must decide on the same path that the router matches.",
        check="Does starlette.routing still match this function's result?",
        signatures={"": "scope"},
    ),
    Internal(
        "vllm.entrypoints.launchers.launcher:NoSignalServer",
        used_by="server.gate.http_server",
        reason="Subclassed: it leaves signals to the caller and balances the API servers' load.",
        check="Does vLLM still freeze its heap before the server starts?",
        signatures={"__init__": "self, config, peer_loads", "startup": "self, sockets"},
    ),
    Internal(
        "vllm.entrypoints.launchers.launcher:serve_http",
        used_by="server.endpoints",
        reason="Replaced in launchers.api_server.entry by server.gate.http_server.serve: vLLM's "
        "stops the engine before its answers have ended.",
        check="Does it do anything new besides running uvicorn? Does entry still await its result "
        "after the engine has stopped?",
        signatures={"": "app, sock, enable_ssl_refresh, peer_loads, **uvicorn_kwargs"},
    ),
    Internal(
        "vllm.entrypoints.launchers.api_server.entry",
        used_by="server.endpoints",
        reason="serve_http is replaced here.",
        check="Does build_and_serve still call serve_http after the plugins were attached?",
        attributes=("serve_http",),
    ),
    Internal(
        "vllm.entrypoints.launchers.launcher:create_server_socket",
        used_by="server.engine",
        reason="Replaced: the engine serves on the socket that the entrypoint has opened.",
        check="Does setup_server still create exactly one socket, with one of these functions?",
        signatures={"": "addr, *, reuse_port"},
    ),
    Internal(
        "vllm.entrypoints.launchers.launcher:create_server_unix_socket",
        used_by="server.engine",
        reason="Replaced, as create_server_socket.",
        check="As create_server_socket.",
        signatures={"": "path"},
    ),
    Internal(
        "vllm.entrypoints.cli.serve:ServeSubcommand",
        used_by="server.engine",
        reason="`vllm serve` without its command line, because options may contain keys.",
        check="Does vllm.entrypoints.cli.main do anything new before it runs a command?",
        signatures={"validate": "self, args", "cmd": "args"},
        attributes=("name",),
    ),
    Internal(
        "vllm.entrypoints.openai.models.serving:OpenAIServingModels",
        used_by="server.asked_names and server.endpoints",
        reason="is_base_model and model_name are wrapped, so that an answer has the name that was "
        "asked for, not the first served one. /v1/models/{name} shows an entry of its list.",
        check="Does every route check a request's name and then read the answer's, once each and "
        "in the same context? Has vLLM learned to answer with the name that was asked for?",
        signatures={
            "is_base_model": "self, model_name",
            "model_name": "self, lora_request",
            "show_available_models": "self",
        },
    ),
    Internal(
        "vllm.entrypoints.serve.exception_handling.error_response:create_error_response",
        used_by="server.gate.mistakes",
        reason="Called: the status that vLLM gives an exception separates a client's mistake "
        "from a fault of the server.",
        check="Do vLLM's handlers still answer with its result? Which messages does "
        "server.gate.vllm_errors have to recognize that are new? Does benchmarks.hostile still log "
        "no traceback?",
        signatures={"": "message, err_type, status_code, param"},
    ),
    Internal(
        "vllm.entrypoints.anthropic.serving:AnthropicServingMessages",
        used_by="server.corrections",
        reason="The converters are wrapped: they fail on a tool call that was cut short, and "
        "report an error of the engine as their own.",
        check="Do they still? Then the correction can go.",
        signatures={
            "messages_full_converter": "self, generator",
            "message_stream_converter": "self, generator",
        },
    ),
    Internal(
        "vllm.entrypoints.openai.responses.utils:_construct_message_from_response_item",
        used_by="server.corrections",
        reason="Wrapped: it fails on a history with a refusal.",
        check="Does it still? Then the correction can go.",
        signatures={"": "item, prev_msg"},
    ),
    Internal(
        "vllm.sampling_params:SamplingParams",
        used_by="server.corrections",
        reason="_validate_structured_outputs is wrapped: for each request, it chooses a backend "
        "for structured outputs that may not be the one that the engine uses for all requests.",
        check="Does the engine still have one backend, that of its first request? Are _backend and "
        "_backend_was_auto still set here?",
        signatures={
            "_validate_structured_outputs": "self, model_config, structured_outputs_config, "
            "tokenizer",
        },
    ),
    Internal(
        "vllm.v1.engine.async_llm:AsyncLLM",
        used_by="server.gate.activity and server.openvino.engine",
        reason="generate and encode are wrapped to count tokens and detect stalls. For OpenVINO, a "
        "subclass refuses what the pipeline does not support.",
        check="Does every request of every route pass through generate or encode?",
        signatures={
            "generate": "self, prompt, sampling_params, request_id, *, prompt_text, lora_request, "
            "tokenization_kwargs, trace_headers, priority, data_parallel_rank, session_id, "
            "kv_hints, reasoning_ended, reasoning_parser_kwargs",
            "encode": "self, prompt, pooling_params, request_id, lora_request, trace_headers, "
            "priority, tokenization_kwargs, reasoning_ended",
        },
        attributes=("engine_core",),
    ),
    Internal(
        "vllm.v1.engine.core_client:EngineCoreClient",
        used_by="server.gate.activity and server.openvino.core",
        reason="get_output_async is wrapped to detect stalls. For OpenVINO, a subclass is the "
        "engine core.",
        check="Does AsyncLLM call a method that PipelineCore does not implement?",
        signatures={
            "make_async_mp_client": "vllm_config, executor_class, log_stats, client_addresses, "
            "client_count, client_index, renderer",
            "get_supported_tasks_async": "self",
            "add_request_async": "self, request",
            "abort_requests_async": "self, request_ids",
            "get_output_async": "self",
            "reset_mm_cache_async": "self",
            "is_sleeping_async": "self",
            "shutdown": "self, timeout",
        },
    ),
    Internal(
        "vllm.v1.engine.async_llm",
        used_by="server.openvino.engine",
        reason="AsyncLLM and EngineCoreClient are replaced here.",
        check="Does the API server still import AsyncLLM from here when it builds its engine?",
        attributes=("AsyncLLM", "EngineCoreClient"),
    ),
    Internal(
        "vllm.model_executor.model_loader.default_loader:DefaultModelLoader",
        used_by="server.tarball",
        reason="Subclassed: reads safetensors files directly from a tarball.",
        check="Does _get_weights_iterator do anything new with each tensor?",
        signatures={
            "__init__": "self, load_config",
            "_get_weights_iterator": "self, source",
            "_prepare_weights": "self, model_name_or_path, subfolder, revision, fall_back_to_pt, "
            "allow_patterns_overrides",
        },
        attributes=("counter_before_loading_weights", "local_expert_ids"),
    ),
    Internal(
        "transformers.dynamic_module_utils:get_cached_module_file",
        used_by="server.remote_code",
        reason="Replaced: runs a model's Python code only from allowed directories.",
        check="Does all remote code still pass through this function?",
        signatures={
            "": "pretrained_model_name_or_path, module_file, cache_dir, force_download, proxies, "
            "token, revision, local_files_only, repo_type, **deprecated_kwargs",
        },
    ),
    Internal(
        "vllm.engine.arg_utils",
        used_by="server.catalogue",
        reason="NEEDS_HELP is set while the parser is built, so that options have help texts.",
        check="Does the catalogue still contain help texts?",
        attributes=("NEEDS_HELP", "_compute_kwargs"),
    ),
    Internal(
        "vllm.plugins",
        used_by="server.catalogue",
        reason="plugins_loaded is set while the parser is built, so that no plugin adds options.",
        check="Is this still the only thing that loads plugins?",
        attributes=("plugins_loaded",),
    ),
    Internal(
        "vllm.envs",
        used_by="server.catalogue",
        reason="The names in environment_variables are those of vLLM's own variables.",
        check="Does vLLM read variables elsewhere?",
        attributes=("environment_variables",),
    ),
    Internal(
        "vllm.transformers_utils.chat_templates.registry",
        used_by="entrypoint.planning.chat_template",
        reason="--chat-template may be the name of a file in CHAT_TEMPLATES_DIR, which is this "
        "module's folder.",
        check="Is it still the folder that load_chat_template searches?",
        attributes=("CHAT_TEMPLATES_DIR",),
    ),
    Internal(
        "vllm.v1.structured_output.request:get_structured_output_key",
        used_by="server.openvino.grammar",
        reason="Called: returns the kind and the text of a structured output.",
        check="Is there a new kind?",
        signatures={"": "params"},
    ),
    Internal(
        "vllm.sampling_params:StructuredOutputsParams",
        used_by="server.openvino.grammar",
        reason="_backend is read: only xgrammar's grammars can be translated.",
        check="Is there a new backend?",
        attributes=("_backend",),
    ),
)
"""Every internal that ``server/`` relies on. The log lines of vLLM that report its phases are in
:mod:`server.phases`, those about clients' mistakes in :mod:`server.gate.mistakes`."""
