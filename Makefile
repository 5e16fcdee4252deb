# Go, make, git and gcc are all that must be there; the rest is fetched into .cache or by apt-get.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: run build web test lint generate bench fuzz torture demo screenshots clean packages

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# No cgo: the same static binary runs on every Linux. The version is all that git says about a build.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)'

# A tool's file name has its version in it, so that a new version is a new file.
TOOLS := .cache/tools
STATICCHECK := $(TOOLS)/staticcheck-v0.8.2
GOTESTSUM := $(TOOLS)/gotestsum-v1.13.0
# The S3 server that tests start; internal/blob/s3test has the same version.
VERSITYGW := $(TOOLS)/versitygw-v1.8.0
AGE := $(TOOLS)/age

# The page is built where npm is there; a server without it says so on its page.
PAGE := web/dist/index.html
build: $(if $(shell command -v npm),$(PAGE))
	mkdir -p bin
	$(GO_BUILD) -o bin/ ./cmd/stonevaultd ./cmd/stonevault

run: build
	exec bin/stonevaultd serve --data ./data --listen 127.0.0.1:8080 --create-admin

web: $(PAGE)

$(PAGE): web/node_modules/.package-lock.json api/openapi.json $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/screenshots/*' -not -path 'web/test/*' -not -name '*.go' -not -path 'web/src/api/generated/*')
	cd web && npm run build

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund

# standard-quiet is go test's own "ok package time"; at the end come a list of what was skipped and why,
# one of what failed, and a line of totals.
test: packages lint build $(PAGE) $(GOTESTSUM) $(VERSITYGW)
	scripts/check-generated
	cd web && npm test
	$(GOTESTSUM) --format standard-quiet --raw-command --ignore-non-json-output-lines -- scripts/test-go

lint: $(STATICCHECK)
	scripts/check-format
	go vet ./...
	$(STATICCHECK) ./...

generate:
	go generate ./...

# FUZZTIME is what each fuzz target gets.
fuzz:
	scripts/fuzz $(or $(FUZZTIME),30s)

# BENCH is flags of scripts/bench, for instance BENCH='-only offline -mib 256'.
bench: build $(AGE)
	go run ./scripts/bench $(BENCH)

torture: packages $(GOTESTSUM) $(VERSITYGW)
	GOTESTSUM=$(GOTESTSUM) scripts/torture

demo: build
	scripts/demo.sh

# Pictures of every page, in both themes and two widths, below web/screenshots.
screenshots: packages build $(PAGE)
	scripts/screenshots

clean:
	rm -rf bin .cache web/dist/assets web/dist/index.html web/node_modules

packages:
	scripts/install-test-packages

# The peer that seal and open are measured beside.
$(AGE):
	GOBIN='$(CURDIR)/$(TOOLS)' go install filippo.io/age/cmd/...@v1.3.2

$(TOOLS)/staticcheck-%: TOOL = honnef.co/go/tools/cmd/staticcheck
$(TOOLS)/gotestsum-%: TOOL = gotest.tools/gotestsum
$(TOOLS)/versitygw-%: TOOL = github.com/versity/versitygw/cmd/versitygw
$(TOOLS)/staticcheck-% $(TOOLS)/gotestsum-% $(TOOLS)/versitygw-%:
	GOBIN='$(CURDIR)/$(TOOLS)/new' go install $(TOOL)@$*
	mv '$(TOOLS)/new/$(notdir $(TOOL))' '$@'
