# A stand-in for the images of vLLM and Habana, so that tests need no access to their registries. It
# has a Python with some of the packages of those images, in other versions than the project's lock
# file, and a package vllm with metadata and one module.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        python3 python3-packaging python3-yaml \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY vllm /usr/local/lib/python3.11/dist-packages/vllm
COPY vllm.dist-info /usr/local/lib/python3.11/dist-packages/vllm-0.32.0.dist-info
ENTRYPOINT ["python3", "-m", "vllm"]
