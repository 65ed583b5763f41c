# make help lists the targets.
.DEFAULT_GOAL := help

GO     ?= go
TOOL   := $(GO) tool -modfile=$(CURDIR)/tools/go.mod
# The released module, the modules of tests and benchmarks, and those of examples.
MODULES := . e2e bench examples/external-provider examples/signed/go
each   = set -e; for module in $(MODULES); do (cd $$module; $(1)); done
# The time limit of each fuzz target.
FUZZTIME ?= 20s

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "%-14s %s\n", $$1, $$2 }'

.PHONY: build
build: ## build Caddy with this module as build/caddy
	$(GO) build -o build/caddy ./caddy

.PHONY: demo
demo: build python ## send good and bad deliveries to real Flask and FastAPI apps behind Caddy
	$(GO) run ./examples/demo -caddy build/caddy -python .venv/bin/python

.PHONY: run
run: build python ## keep the demo's apps running, and print commands to try by hand
	$(GO) run ./examples/demo -caddy build/caddy -python .venv/bin/python -run

# The packages whose tests try every attack or every cause of a refusal with every preset.
WHOLE_CATALOGUE = -e /conformance$$ -e /diagnose$$

.PHONY: test
test: prepared ## run all unit and end-to-end tests with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v $(WHOLE_CATALOGUE))
	# Without the race detector: they send tens of thousands of requests one after another.
	$(GO) test -timeout 10m $$($(GO) list ./... | grep $(WHOLE_CATALOGUE))
	cd bench && CGO_ENABLED=1 $(GO) test -race ./...
	cd examples/external-provider && CGO_ENABLED=1 $(GO) test -race ./...
	# -count 1: go test does not detect changes to files outside the module.
	# -parallel 4: the fault tests wait more than they work, on two cores, too.
	cd e2e && CGO_ENABLED=1 $(GO) test -race -count 1 -parallel 4 -timeout 10m ./...
	# Without the race detector, which makes sync.Pool drop items at random.
	$(GO) test -run Allocations ./body ./signature ./caddymodule ./queue/file ./replay/...
	cd bench && $(GO) test ./hostile

# In either of the formats of docs/vectors.md.
VECTORS ?= catalogue/testdata/vectors/*.json
.PHONY: vectors
vectors: build ## run conformance vectors: make vectors VECTORS='../shared/providers/*/vectors.json'
	rm -rf build/vectors
	python3 catalogue/testdata/convert.py --into build/vectors $(VECTORS)
	build/caddy verify-webhook test build/vectors/*.json

.PHONY: soak
soak: prepared ## run the long fault tests, and print their figures
	cd e2e && $(GO) test -count 1 -timeout 30m -v ./faults -soak

.PHONY: redis-versions
redis-versions: ## run the Redis tests against Redis 6.2 to 8.0 and Valkey 8.1 and 9.1 (Debian on amd64)
	e2e/redisversions/prepare.sh
	e2e/redisversions/run.sh

# The soak continues where it was stopped: PARTS=3 runs three of its twenty parts.
PARTS ?= 0
.PHONY: soak-full
soak-full: prepared ## a million deliveries with all faults at once; resumable
	mkdir -p build
	cd e2e && $(GO) test -count 1 -timeout 0 -v -run TestEverythingAtOnce ./faults -full-state $(CURDIR)/build/soak-full.json -full-parts $(PARTS)

.PHONY: lint
lint: ## check formatting, vet, golangci-lint, go.mod files, generated files, workflows
	$(call each,$(GO) vet ./...)
	.ci/crossvet
	$(GO) tool -modfile=tools/workflows/go.mod actionlint
	$(call each,$(TOOL) golangci-lint run)
	$(call each,$(GO) mod tidy -diff)
	cd tools && $(GO) vet ./... && $(GO) mod tidy -diff
	.ci/generated

.PHONY: release-check
release-check: ## build and test a release of the last commit (root on Debian, 10 minutes)
	.ci/release-check

.PHONY: tidy
tidy: ## run go mod tidy in every module
	$(call each,$(GO) mod tidy)
	cd tools && $(GO) mod tidy

.PHONY: vuln
vuln: ## check dependencies for known vulnerabilities (needs the internet)
	$(call each,$(TOOL) govulncheck ./...)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

.PHONY: xcaddy
xcaddy: ## build with xcaddy, from the checkout and as a published version
	.ci/xcaddy

# An earlier run to compare with: make bench AGAINST=build/before.json
AGAINST ?=
.PHONY: bench
bench: build benchmarked ## benchmark against Caddy alone, nginx and apps (less than 3 minutes); AGAINST=FILE compares with an earlier run
	build/bench -short -scale 0.2 -rounds 9 -most 2m20s $(if $(AGAINST),-against $(AGAINST))

.PHONY: bench-full
bench-full: build benchmarked ## benchmark with all workloads and a queue of 1,000,000 (15 minutes), and update the docs
	build/bench -rounds 12 -scale 0.4 -most 9m -backlogs 2 -drains 2 -json build/bench-full.json
	build/bench -render build/bench-full.json

.PHONY: growth
growth: build benchmarked ## measure and draw growth with connections and endpoints
	build/bench -grow connections
	build/bench -grow endpoints
	build/bench -curves

.PHONY: curves
curves: ## draw the charts of bench/results
	cd bench && $(GO) run . -curves -docs ..

# The benchmark, and the programs that it compares.
.PHONY: benchmarked
benchmarked: python
	cd bench && $(GO) build -o ../build/bench . && $(GO) build -o ../build/caddy-floor ./floor
	bench/prepare.sh

.PHONY: python
python:
	examples/python-env.sh

# The programs that the tests need in addition to Go.
.PHONY: prepared
prepared: python
	e2e/prepare.sh

.PHONY: clean
clean: ## remove all build results
	rm -rf build .venv e2e/crosscheck/node_modules examples/express/node_modules
