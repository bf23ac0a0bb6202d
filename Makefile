# Every target does its own set-up: all it needs is Rust, and Go or pip.

CARGO ?= cargo
WITH_GO := scripts/with-go

.PHONY: build rehearse recording test lint deny bench bench-cache bench-relay bench-servers bench-distance bench-herd bench-record bench-compare fault-proof soak test-real conformance conformance-quick check-others fuzz dist dist-check install test-dropin test-fleet fleet lint-workflows

# Both executables, go and gofix, into target/debug.
build:
	$(CARGO) build --locked --workspace

# A bad network on loopback: plain go and gofix side by side. RELAY=on puts the relay in between.
rehearse: build
	$(WITH_GO) target/debug/gofix $(if $(RELAY),--relay $(RELAY)) rehearse $(SCENARIOS)

# docs/recording.svg, from a real run of plain go beside gofix.
recording: build
	$(WITH_GO) scripts/recording target/debug/gofix

# All tests, with a real go.
test: build
	$(WITH_GO) $(CARGO) test --locked --workspace --no-fail-fast

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Other systems: macOS is type-checked, Windows refused, wherever a standard library for them can be had.
check-others:
	CARGO="$(CARGO)" scripts/check-others

# Licences, bans and sources of what gofix is made of.
deny:
	scripts/with-deny check --hide-inclusion-graph bans licenses sources

# What standing in front of go costs, beside a C program, a shell script, rustup's proxies and mise's shims.
bench:
	$(WITH_GO) $(CARGO) bench --locked --bench startup $(if $(PAIRS),-- $(PAIRS))

# gofix cache verify beside go mod verify, on a cache of more than 2 GB made for it in TMPDIR.
bench-cache:
	$(WITH_GO) $(CARGO) bench --locked --bench cache_verify $(if $(BENCH),-- $(BENCH))

# Go's own script tests, as they are and with gofix where they call go; every one must end the same.
# CONFORMANCE='-long -relay on -run mod_' and the like; the program lists its flags.
conformance: build
	$(WITH_GO) go run scripts/conformance/main.go $(CONFORMANCE)

# The part of it that CI has time for: what has to do with modules.
conformance-quick: build
	$(WITH_GO) go run scripts/conformance/main.go -run '^(mod_(tidy|download|vendor|get|why|graph|verify|e$$|proxy|sum)|work_(sync|vendor|why)|list_|chdir|env_)' $(CONFORMANCE)

# What the relay costs, brings and needs: ratios of one run. Writes docs/relay-measured.md.
bench-relay:
	BENCH_WRITE=1 $(WITH_GO) $(CARGO) bench --locked --bench relay $(if $(BENCH),-- $(BENCH))

# Athens and goproxy between go and a bad line; builds both. Writes a table into docs/relay-measured.md.
bench-servers:
	$(WITH_GO) scripts/go-tool target/proxies athens goproxy
	BENCH_WRITE=1 $(WITH_GO) $(CARGO) bench --locked --bench relay -- servers $(BENCH)

# Ten thousand machines and one proxy that fails, played. Writes docs/fleet.md and its chart. Always the same numbers.
bench-herd:
	BENCH_WRITE=1 $(CARGO) bench --locked --profile dev --bench herd

# Three runs of the benches, kept in benches/history/ for this version and kind of machine: a release needs it.
bench-record:
	for run in 1 2 3; do \
		BENCH_RECORD=1 $(WITH_GO) $(CARGO) bench --locked --bench startup --bench cache_verify -- 100 || exit 1; \
		BENCH_RECORD=1 $(WITH_GO) $(CARGO) bench --locked --bench relay -- healthy || exit 1; \
	done >target/bench-record
	BENCH_RECORD=1 $(CARGO) bench --locked --profile dev --bench herd >>target/bench-record
	scripts/bench-history record <target/bench-record

# What got worse since the last version on such a machine, by more than the runs differ.
bench-compare:
	scripts/bench-history compare

# Cold fetches against the round-trip time, as ratios to plain go. Needs root and ip. Small modules that are made up by default;
# DISTANCE='-real github.com/mikefarah/yq/v4@v4.45.1 -record FOLDER' for real ones, through the machine's module proxy.
# DISTANCE='-h' lists the flags. Writes docs/performance.md and its chart.
bench-distance:
	$(CARGO) build --locked --release --workspace
	cd scripts/distance && ../with-go go build -o ../../target/distance . && ../with-go go build -o ../../target/lossy ../lossy/main.go
	$(WITH_GO) target/distance run -lossy target/lossy -shim target/release/go -results target/distance.jsonl \
		-write docs/performance.md $(DISTANCE)

# Whole go commands through the relay, every fault on every request, 20 seeds. Writes docs/relay-measured.md.
fault-proof: build
	BENCH_WRITE=1 __GOFIX_TEST_FAULT_SEEDS=$(or $(SEEDS),20) $(WITH_GO) \
		$(CARGO) test --locked --test suite fault_proof -- --include-ignored --nocapture

# Real networks: the machine's own module proxy through tc netem and toxiproxy. Needs root and the network.
test-real: build
	$(WITH_GO) scripts/test-real

# Thousands of go commands at once on one cache, faults at random, gofix and plain go mixed.
soak: build
	__GOFIX_TEST_SOAK=$(or $(COMMANDS),2000) $(WITH_GO) $(CARGO) test --locked --test suite soak:: -- --nocapture

# Any bytes for everything that reads what others wrote, FUZZ_SECONDS (240) long. Needs a nightly compiler.
fuzz:
	scripts/fuzz

# The workflows and the action: actionlint, zizmor, the schemas.
lint-workflows:
	scripts/lint-workflows

# What a release consists of, in target/dist: static programs, packages, checksums. The same bytes in any folder.
dist:
	CARGO="$(CARGO)" scripts/dist

# That they are the same bytes: two full builds in two folders, compared.
dist-check:
	CARGO="$(CARGO)" scripts/dist-check

# The static programs, built here and installed as a release is; INSTALL='--prefix /opt' and the like, see install.sh --help.
install:
	DIST_TARGETS=here CARGO="$(CARGO)" scripts/dist
	sh install.sh --from target/dist $(INSTALL)

# The recipes of docs/ci.md and the README, as they stand there: healthy, through a proxy that resets, stalls and cuts, and with
# an answer. The release where it is to be used. DROPIN=quick is the part that CI has time for.
test-dropin:
	DROPIN="$(DROPIN)" CARGO="$(CARGO)" scripts/test-dropin

# The files of deploy/ with promtool and a real collector.
test-fleet:
	CARGO="$(CARGO)" scripts/test-fleet

# Forty commands at once through two real Athens, one of them killed, the storage slow, the upstream gone. Writes docs/fleet.md.
fleet:
	CARGO="$(CARGO)" scripts/fleet
