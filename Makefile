# `make demo` and `make test` are all that a new machine needs.

.PHONY: demo test check bench soak build

demo:  ## Build what is needed and show everything on a simulated account
	@scripts/require rust node
	@cargo run --locked -p flareward -- demo $(DEMO)

test:  ## Every test: format, lints, both databases, official clients, a real browser, the README
	@scripts/require rust node nextest postgres python chromium
	@scripts/test

check:  ## The fast loop: compile, lint, unit tests on SQLite
	@scripts/require rust node
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --lib --bins

bench:  ## Measure; prints figures and ratios, asserts nothing (one part: make bench PART=rules)
	@scripts/require rust node
	@scripts/bench $(PART)

soak:  ## Kill servers and commands at random for an hour, on both databases (SECONDS=600 for ten minutes each)
	@scripts/require rust node nextest postgres
	@scripts/soak $(SECONDS)

build:  ## The release binary, target/release/flareward
	@scripts/require rust node
	cargo build --release -p flareward
