# `make help` lists the targets.

GO            ?= go
BIN           := bin
TOOLS         := .tools/bin
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
# gVisor's runsc of the version whose packages are built in, which make bench compares with.
RUNSC := $(TOOLS)/runsc
# Kernels of the emulated machines, with what belongs to them.
SVM_KERNEL    := .tools/svm
ARM64_KERNEL  := .tools/arm64

# Bounds that keep a hang from lasting for ever; no test depends on them.
TEST_TIMEOUT  ?= 20m
SOAK_TIMEOUT  ?= 4h
SVM_TIMEOUT   ?= 2h
ARM64_TIMEOUT ?= 4h
# More arguments for go test, e.g. TESTFLAGS='-v -run Fork'.
TESTFLAGS     ?=

# The commit is stamped into the program where git can tell it; a copy without
# history, or one owned by somebody else, builds all the same.
BUILDVCS      := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo true || echo false)

.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

.PHONY: go
go:
	@command -v $(GO) >/dev/null 2>&1 || { echo 'make: no Go found; install Go 1.26 or newer and put it into PATH' >&2; exit 1; }

.PHONY: build
build: go ## build bin/kvmsandbox
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(BUILDVCS) -ldflags=-E=main.entry -o $(BIN)/kvmsandbox ./cmd/kvmsandbox

.PHONY: demo
demo: deps-demo build ## run real programs as two variants, then show a caught attack
	KVMSANDBOX=$(CURDIR)/$(BIN)/kvmsandbox examples/demo.sh

# -count=1: go test caches by the files a test opens, and does not see that the
# program it starts has changed. Tests of programs wait for half of their time, so more run at
# once than there are processors.
PARALLEL := $(shell echo $$(($$(nproc) * 2)))

# What runs in many ways takes turns with these here, and runs in all of them in `make test-ptrace`,
# `make test-kvm` and `make test-inproc`. The programs of tests are built once for all front-ends.
.PHONY: test
test: deps-test build ## run all tests, those of programs on each front-end
	@builds=$$(mktemp -d) && chmod 755 $$builds || exit 1; trap 'rm -rf $$builds' EXIT; trap 'exit 130' INT TERM; \
		MV_TEST_BUILDS=$$builds $(MAKE) --no-print-directory test-each
	@[ "$$(id -u)" = 0 ] || echo 'make: not root: the tests that need root were left out' >&2

.PHONY: test-each
test-each: build
	$(GO) vet ./...
	MV_REQUIRE_ALL=1 MV_TEST_FRONTEND=ptrace $(GO) test -count=1 -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) $(TESTFLAGS) ./...
	@$(MAKE) --no-print-directory test-kvm TESTFLAGS='-short $(TESTFLAGS)'
	@$(MAKE) --no-print-directory test-inproc-short

RESULTS := .results
# Runs the tests of programs on front-end $(1).
run_tests = MV_REQUIRE_ALL=1 MV_TEST_WIDE=1 MV_TEST_FRONTEND=$(1) $(GO) test -count=1 -parallel $(PARALLEL) -json -timeout $(TEST_TIMEOUT) \
	-skip '^Test(ProgsNative|RealProgramsNative|ProgsListed|Reaper|Doctor|ServiceUnit|Containerfile|LinksOfDocumentation|Demo|Examples)' $(TESTFLAGS) ./test >$(RESULTS)/$(1).json

.PHONY: test-ptrace
test-ptrace: deps-test build ## run the tests of programs under ptrace
	MV_REQUIRE_ALL=1 MV_TEST_WIDE=1 MV_TEST_FRONTEND=ptrace $(GO) test -count=1 -timeout $(TEST_TIMEOUT) $(TESTFLAGS) ./test

# TESTFLAGS=-short, as in `make test`, leaves out what ptrace and fewer variants have shown.
.PHONY: test-kvm
test-kvm: deps-test build ## run the tests of programs on virtual machines
	@mkdir -p $(RESULTS)
	-$(call run_tests,kvm)
	$(GO) run ./internal/cmd/parity -check kvm=$(RESULTS)/kvm.json

.PHONY: test-inproc
test-inproc: deps-test build ## run the tests of programs in the programs' own processes
	@mkdir -p $(RESULTS)
	-$(call run_tests,inproc)
	$(GO) run ./internal/cmd/parity -check inproc=$(RESULTS)/inproc.json

.PHONY: test-inproc-short
test-inproc-short: deps-test build ## run what is the in-process front-end's own, and programs with frequent calls beside them
	MV_REQUIRE_ALL=1 MV_TEST_FRONTEND=inproc $(GO) test -count=1 -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) \
		-run '^Test(Seal|SealLetsPass|Scribble|SwitchesOfRings|Vsyscall)$$' $(TESTFLAGS) ./test
	MV_REQUIRE_ALL=1 MV_TEST_FRONTEND=inproc MV_TEST_FLAGS='--fast on' $(GO) test -count=1 -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) \
		-run '^Test(AgentsSpareTheMonitor|Rewritten|RealPrograms|Servers|Negative|Ends|Leaves)$$' $(TESTFLAGS) ./test
	MV_REQUIRE_ALL=1 MV_TEST_FRONTEND=inproc MV_TEST_FLAGS='--verify-fast' $(GO) test -count=1 -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) \
		-short -run '^TestProgs$$/^(ev_[^w]|file_|iovec|ipc_|mem_protect|mmap_writer|mv_|net_|opens|reg_|sig_once|thread_files|thread_life|time_|turns$$)' $(TESTFLAGS) ./test

FAST_FRONTEND ?= inproc
.PHONY: test-fast
test-fast: deps-test build ## run the tests of programs with frequent calls beside them
	MV_REQUIRE_ALL=1 MV_TEST_WIDE=1 MV_TEST_FRONTEND=$(FAST_FRONTEND) MV_TEST_FLAGS='--fast on' $(GO) test -count=1 -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) \
		-skip '^Test(ProgsNative|RealProgramsNative|ProgsListed|Reaper|Doctor|ServiceUnit|Containerfile|LinksOfDocumentation)' $(TESTFLAGS) ./test

.PHONY: test-verify
test-verify: deps-test build ## run programs with frequent calls beside them, each of which the monitor checks
	MV_REQUIRE_ALL=1 MV_TEST_FRONTEND=$(FAST_FRONTEND) MV_TEST_FLAGS='--verify-fast' $(GO) test -count=1 -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) \
		-run '^Test(Progs|RealPrograms|Servers|Threads|ThreadServers|Negative|Ends|Leaves|Rewritten)$$' $(TESTFLAGS) ./test

.PHONY: parity
parity: deps-test build ## write docs/parity.md from the tests on all front-ends
	@mkdir -p $(RESULTS)
	-$(call run_tests,ptrace)
	-$(call run_tests,kvm)
	-$(call run_tests,inproc)
	$(GO) run ./internal/cmd/parity ptrace=$(RESULTS)/ptrace.json kvm=$(RESULTS)/kvm.json inproc=$(RESULTS)/inproc.json

# TESTFLAGS=-short runs the small set.
.PHONY: test-svm
test-svm: deps-svm build ## run static programs in an emulated machine that has SVM
	MV_REQUIRE_ALL=1 $(GO) test -count=1 -tags svm -timeout $(SVM_TIMEOUT) -run SVM $(TESTFLAGS) ./test

# As test-svm, for the front-end that depends on the kernel: the machine's is Linux 6.1.
.PHONY: test-floor
test-floor: deps-svm build ## run static programs in their processes on an old kernel
	MV_REQUIRE_ALL=1 $(GO) test -count=1 -tags svm -timeout $(SVM_TIMEOUT) -run Floor $(TESTFLAGS) ./test

# Five minutes on processors that do little else, twenty on busy ones, which matters to no
# limit. TESTFLAGS=-short runs the small set, two minutes; MV_STEPS='sig_|conformance' runs, here and in
# test-svm, what has such a name.
.PHONY: test-arm64
test-arm64: deps-arm64 ## run static programs in an emulated arm64 machine
	MV_REQUIRE_ALL=1 $(GO) test -count=1 -tags emulated_arm64 -timeout $(ARM64_TIMEOUT) -run ARM64 $(TESTFLAGS) ./test

# An hour on two processors that do nothing else. Front-ends take turns, round for round, unless
# MV_TEST_FRONTEND names one. More programs than processors run at once, all of them beside the load, so what hangs has more time to end.
# Without the name of a package go test shows lines as they come.
.PHONY: soak
soak: deps-test build ## run the long tests
	cd test && MV_REQUIRE_ALL=1 MV_WATCHDOG=5m $(GO) test -count=1 -tags soak -run Soak -skip FuzzCode -parallel 4 -timeout $(SOAK_TIMEOUT) $(TESTFLAGS)

# An hour.
.PHONY: soak-fuzz
soak-fuzz: deps-test build ## execute random code on virtual machines
	cd test && MV_REQUIRE_ALL=1 MV_REQUIRE_KVM=1 MV_TEST_FRONTEND=kvm MV_WATCHDOG=5m $(GO) test -count=1 -v -tags soak -run SoakFuzzCode -timeout $(SOAK_TIMEOUT) $(TESTFLAGS)

# A few minutes.
.PHONY: model
model: deps-test ## check the models of turns, signals and rings for deadlocks
	docs/model/check.sh

.PHONY: bench
bench: deps-test build $(RUNSC) ## measure the cost per system call
	$(GO) run ./internal/cmd/bench -runsc $(RUNSC)

.PHONY: lint
lint: go $(GOLANGCI_LINT) ## check style, and which package imports which
	@files=$$(find . -name '.?*' -prune -o -name '*.go' -print | xargs gofmt -l); \
	if [ -n "$$files" ]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$files" >&2; exit 1; fi
	$(GOLANGCI_LINT) run ./...

.PHONY: generate
generate: go ## write the generated files anew
	$(GO) generate ./...

.PHONY: deps
deps: deps-svm deps-arm64 $(GOLANGCI_LINT) ## install what all targets need and is missing (Debian)

# Only what `make demo` needs; fewer packages than the tests.
.PHONY: deps-demo
deps-demo:
	@internal/deps/deps.sh demo

# All but the linter, which takes more than a minute to build.
.PHONY: deps-test
deps-test:
	@internal/deps/deps.sh test

.PHONY: deps-svm
deps-svm:
	@internal/deps/deps.sh svm
	@internal/deps/kernel.sh svm $(SVM_KERNEL)

.PHONY: deps-arm64
deps-arm64:
	@internal/deps/deps.sh arm64
	@internal/deps/kernel.sh arm64 $(ARM64_KERNEL)

$(RUNSC): go.mod | go
	@mkdir -p $(TOOLS)
	@echo 'building runsc, some minutes' >&2
	@version=$$(awk '$$1 == "gvisor.dev/gvisor" { print $$2 }' go.mod) && \
		cd / && GOBIN=$(CURDIR)/$(TOOLS) CGO_ENABLED=0 $(GO) install gvisor.dev/gvisor/runsc@$$version
	@touch $@

$(GOLANGCI_LINT): | go
	@mkdir -p $(TOOLS)
	@echo 'building golangci-lint $(GOLANGCI_LINT_VERSION), a minute or two' >&2
	@GOBIN=$(CURDIR)/$(TOOLS) CGO_ENABLED=0 $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION) >$(TOOLS)/log 2>&1 \
		|| { cat $(TOOLS)/log >&2; exit 1; }
	@mv $(TOOLS)/golangci-lint $@

PREFIX ?= /usr/local

.PHONY: install
install: build ## install the program, its manual page and completions below PREFIX
	install -D -m 755 $(BIN)/kvmsandbox $(DESTDIR)$(PREFIX)/bin/kvmsandbox
	install -D -m 644 docs/kvmsandbox.1 $(DESTDIR)$(PREFIX)/share/man/man1/kvmsandbox.1
	install -D -m 644 docs/completion/kvmsandbox.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/kvmsandbox
	install -D -m 644 docs/completion/_kvmsandbox $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kvmsandbox
	install -D -m 644 docs/completion/kvmsandbox.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/kvmsandbox.fish

.PHONY: clean
clean: ## remove what make has built, but for the tools
	rm -rf $(BIN)
