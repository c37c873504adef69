# The images for NVIDIA (target cuda, the default), AMD (rocm) and any x86 CPU (cpu).
# docs/images.md describes how to build and run them, and what they contain.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim
ARG VLLM_VERSION=0.32.0
ARG CUDA_IMAGE=docker.io/vllm/vllm-openai:v${VLLM_VERSION}
ARG ROCM_IMAGE=docker.io/vllm/vllm-openai-rocm:v${VLLM_VERSION}

# Tools for the other stages, in no image: uv in /opt/tools, our wheel in /opt/wheel.
FROM ${BASE_IMAGE} AS tools
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY requirements/uv.txt requirements/image-tools.txt /src/requirements/
RUN --mount=type=cache,target=/root/.cache \
    python3 -m venv /opt/tools \
    && /opt/tools/bin/python -m pip install ${SSL_CERT_FILE:+--cert "${SSL_CERT_FILE}"} \
        -r /src/requirements/uv.txt \
    && /opt/tools/bin/uv pip install --python /opt/tools/bin/python --link-mode copy --no-deps \
        -r /src/requirements/image-tools.txt
COPY LICENSE README.md pyproject.toml /src/
COPY entrypoint /src/entrypoint
COPY server /src/server
RUN /opt/tools/bin/uv build --wheel --no-build-isolation --python /opt/tools/bin/python \
        --out-dir /opt/wheel /src

# CPU: a plain base, and everything from the package indexes. g++ and Python's headers stay,
# because torch.compile builds kernels for the model and the CPU at run time.
FROM ${BASE_IMAGE} AS cpu-base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates g++ libnuma1 libpython3-dev libtcmalloc-minimal4 python3 \
    && apt-get clean && rm -rf /var/lib/apt/lists/*

FROM cpu-base AS cpu-app
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
# the source of PyTorch's CPU build
ARG TORCH=--torch-backend=cpu
ENV PATH=/opt/venv/bin:${PATH}
# COPY instead of a bind mount for files that change: podman's layer cache compares the content of
# a COPY, but not of a mount.
COPY requirements/image-cpu.txt requirements/torch.txt /tmp/build/
# Removed: PyTorch's test programs, the packages' tests, and the symbol tables of the largest
# libraries, which only a debugger reads.
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    --mount=type=cache,target=/root/.cache \
    /opt/tools/bin/uv venv --python /usr/bin/python3 /opt/venv \
    && /opt/tools/bin/uv pip install --python /opt/venv/bin/python --link-mode copy --no-deps \
        --compile-bytecode ${TORCH} -r /tmp/build/image-cpu.txt -r /tmp/build/torch.txt \
    && site="$(/opt/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')" \
    && rm -rf "${site}"/torch/test "${site}"/numba/tests "${site}"/numba/cuda/tests /tmp/build \
    && find "${site}"/torch/bin -type f ! -name torch_shm_manager -delete \
    && find "${site}"/sympy "${site}"/networkx -type d -name tests -prune -exec rm -rf {} + \
    && strip --strip-unneeded "${site}"/vllm/*.so "${site}"/torch/lib/*.so \
        "${site}"/llvmlite/binding/*.so
COPY --from=tools /opt/wheel /tmp/wheel
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/uv pip install --python /opt/venv/bin/python --link-mode copy --no-cache \
        --no-deps --compile-bytecode /tmp/wheel/*.whl \
    && rm -r /tmp/wheel

FROM cpu-app AS cpu-sbom
COPY images/sbom.py requirements/image-tools.txt pyproject.toml /src/
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/cyclonedx-py environment --output-reproducible --pyproject /src/pyproject.toml \
        --output-file /src/python.json /opt/venv/bin/python \
    && /opt/venv/bin/python /src/sbom.py /src/inference-server.cdx.json /src/python.json

FROM cpu-app AS cpu
COPY --from=cpu-sbom /src/inference-server.cdx.json /usr/share/sbom/
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="inference-server" \
      org.opencontainers.image.description="vLLM on a CPU, configured by environment variables" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV HUGGINGFACE_HUB_CACHE=/mnt/models \
    HF_HOME=/nonexistent \
    HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1
USER 65534:65534
WORKDIR /
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=15s --start-period=30m CMD ["inference-server", "health"]
ENTRYPOINT ["inference-server"]
CMD ["serve"]

# AMD: based on vLLM's image.
FROM ${ROCM_IMAGE} AS rocm-app
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
COPY images/environment.py requirements/image-light.txt /tmp/build/
COPY --from=tools /opt/wheel /tmp/build
# No package of the base changes. Everything is compiled to bytecode, which is not possible later
# on a read-only root.
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    python3 /tmp/build/environment.py missing /tmp/build/image-light.txt > /tmp/build/missing.txt \
    && /opt/tools/bin/uv pip install --python "$(command -v python3)" --break-system-packages \
        --link-mode copy --no-cache --no-deps -r /tmp/build/missing.txt /tmp/build/*.whl \
    && python3 /tmp/build/environment.py check inference-server \
    && python3 /tmp/build/environment.py compile \
    && rm -r /tmp/build

FROM rocm-app AS rocm-sbom
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
COPY images/sbom.py requirements/image-tools.txt pyproject.toml /src/
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/uv venv --python "$(command -v python3)" /src/venv \
    && /opt/tools/bin/uv pip install --python /src/venv/bin/python --no-cache --no-deps \
        -r /src/image-tools.txt \
    && /src/venv/bin/cyclonedx-py environment --output-reproducible \
        --pyproject /src/pyproject.toml --output-file /src/python.json "$(command -v python3)" \
    && python3 /src/sbom.py /src/inference-server.cdx.json /src/python.json

FROM rocm-app AS rocm
COPY --from=rocm-sbom /src/inference-server.cdx.json /usr/share/sbom/
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="inference-server" \
      org.opencontainers.image.description="vLLM on AMD GPUs, configured by environment variables" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV HUGGINGFACE_HUB_CACHE=/mnt/models \
    HF_HOME=/nonexistent \
    HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1
USER 65534:65534
WORKDIR /
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=15s --start-period=30m CMD ["inference-server", "health"]
ENTRYPOINT ["inference-server"]
CMD ["serve"]

# NVIDIA: based on vLLM's image.
FROM ${CUDA_IMAGE} AS cuda-app
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
COPY images/environment.py requirements/image-light.txt /tmp/build/
COPY --from=tools /opt/wheel /tmp/build
# The same steps as for AMD.
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    python3 /tmp/build/environment.py missing /tmp/build/image-light.txt > /tmp/build/missing.txt \
    && /opt/tools/bin/uv pip install --python "$(command -v python3)" --break-system-packages \
        --link-mode copy --no-cache --no-deps -r /tmp/build/missing.txt /tmp/build/*.whl \
    && python3 /tmp/build/environment.py check inference-server \
    && python3 /tmp/build/environment.py compile \
    && rm -r /tmp/build

FROM cuda-app AS cuda-sbom
ARG UV_DEFAULT_INDEX
ARG SSL_CERT_FILE
COPY images/sbom.py requirements/image-tools.txt pyproject.toml /src/
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/uv venv --python "$(command -v python3)" /src/venv \
    && /opt/tools/bin/uv pip install --python /src/venv/bin/python --no-cache --no-deps \
        -r /src/image-tools.txt \
    && /src/venv/bin/cyclonedx-py environment --output-reproducible \
        --pyproject /src/pyproject.toml --output-file /src/python.json "$(command -v python3)" \
    && python3 /src/sbom.py /src/inference-server.cdx.json /src/python.json

FROM cuda-app AS cuda
COPY --from=cuda-sbom /src/inference-server.cdx.json /usr/share/sbom/
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="inference-server" \
      org.opencontainers.image.description="vLLM on NVIDIA GPUs, configured by environment variables" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV HUGGINGFACE_HUB_CACHE=/mnt/models \
    HF_HOME=/nonexistent \
    HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1
USER 65534:65534
WORKDIR /
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=15s --start-period=30m CMD ["inference-server", "health"]
ENTRYPOINT ["inference-server"]
CMD ["serve"]
