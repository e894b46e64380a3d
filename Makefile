# Crossfade's commands. Everything that they build or download is below .local, pinned and cached; nothing is
# installed for you by hand. A bare `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

INSTANCE ?= 0
NODES ?= 1
export INSTANCE NODES

# One set of flags for builds, tests and linters: Go's cache then serves them all, and a fresh machine compiles
# everything once instead of three times.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false

BIN := $(CURDIR)/.local/bin
export PATH := $(BIN):$(PATH)

# What the program says it is; a source tree without git is some version of development.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO_BUILD = go build -ldflags='-s -w -X main.version=$(VERSION)'

##@ See it
.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nVariables: INSTANCE=N (number of the local cluster, 0), NODES=K (of a local cluster that is started, 1)\n'

.PHONY: demo
demo: build ## watch a good version being promoted and a bad one rolled back, on a local cluster
	go run ./e2e/demo

##@ Change it
.PHONY: build
build: ## build crossfade and its kubectl plugin into .local/bin
	@.ci/progress "building crossfade" env $(GO_BUILD) -o $(BIN)/crossfade ./cmd/crossfade
	@.ci/progress "building kubectl-crossfade" env $(GO_BUILD) -o $(BIN)/kubectl-crossfade ./cmd/kubectl-crossfade

.PHONY: generate
generate: ## write what is generated from the sources: deep copies, CRD, RBAC, the page of analyze's rules
	@.ci/tool gen
	$(BIN)/controller-gen object paths=./api/...
	$(BIN)/controller-gen crd paths=./api/... output:crd:dir=config/crd
	$(BIN)/controller-gen rbac:roleName=crossfade-controller paths=./controllers/... output:rbac:dir=config/rbac
	go test ./delivery/advice -run TestPageGolden -update

.PHONY: fmt
fmt: ## format all Go files
	@.ci/tool lint
	$(BIN)/golangci-lint fmt

.PHONY: check
check: ## everything that can be said without running it: generated files, format, lint, vet, imports
	@.ci/check

.PHONY: test
test: ## all tests: unit, simulation, against a real API server, end to end on a local cluster
	@.ci/test

.PHONY: e2e
e2e: ## the end-to-end tests alone (RUN=regexp selects some, KEEP=1 leaves their cluster up)
	@.ci/e2e

.PHONY: golden
golden: ## write the golden files anew; read the diff before you commit it
	go test ./... -run 'Golden' -update

.PHONY: bench
bench: ## benchmarks, and what a sidecar costs on the local cluster (BENCH=regexp selects some, BENCH=ProxyCost the latter)
	@.ci/bench

##@ Run it
.PHONY: image
image: build ## make the images of the controller and the proxy, as archives in .local/images
	@.ci/image crossfade crossfade-proxy

.PHONY: cluster-up
cluster-up: ## start a local Kubernetes cluster; writes .local/kubeconfig
	@.ci/cluster up -instance $(INSTANCE) -nodes $(NODES)

.PHONY: cluster-down
cluster-down: ## stop it and leave nothing behind
	@.ci/cluster down -instance $(INSTANCE)

.PHONY: cluster-load
cluster-load: ## load an image archive into all its nodes: IMAGE=<archive>
	@[ -n "$(IMAGE)" ] || { echo "say which archive: make cluster-load IMAGE=path/to/image.tar" >&2; exit 2; }
	@.ci/cluster load -instance $(INSTANCE) $(abspath $(IMAGE))

.PHONY: install
install: build ## install Crossfade into the local cluster, or into that of KUBECONFIG (then with IMAGE=, PROXY_IMAGE=)
	@.ci/install

.PHONY: uninstall
uninstall: ## take Crossfade out again; Deployments and Services stay as you wrote them
	@.ci/uninstall
