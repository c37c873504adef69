# A stand-in for the images of vLLM and Habana, which are on registries that builds of this project
# need not reach: a Python with some of what theirs have, in other versions than the project's lock,
# and a vllm that is metadata and one module.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        python3 python3-packaging python3-yaml \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY vllm /usr/local/lib/python3.11/dist-packages/vllm
COPY vllm.dist-info /usr/local/lib/python3.11/dist-packages/vllm-0.32.0.dist-info
ENTRYPOINT ["python3", "-m", "vllm"]
