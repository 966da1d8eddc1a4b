# Everything a developer or CI does here. `./justw RECIPE` brings its own `just` and `uv`.

set positional-arguments

export UV_PROJECT_ENVIRONMENT := ".venv"
# A private CA stands in the system's certificate store; uv looks only into its own unless told.
export UV_SYSTEM_CERTS := env("UV_SYSTEM_CERTS", path_exists("/etc/ssl/certs/ca-certificates.crt"))

bin := ".venv/bin"
pytest := ".venv/bin/pytest -n 2 --dist loadfile"

# Lint, and the tests that need no container engine (the default)
[no-exit-message]
check *args: lint
    {{ pytest }} -m "not docker and not e2e" "$@"

# Repair what can be repaired by machine: import order, simple lints, layout
[no-exit-message]
fmt: _sync
    {{ bin }}/ruff check --fix-only .
    {{ bin }}/ruff format .

# ruff, mypy --strict, and the layers of the code
[no-exit-message]
lint: _sync
    {{ bin }}/ruff check .
    {{ bin }}/ruff format --check .
    {{ bin }}/mypy
    {{ bin }}/lint-imports

# Set everything up, then run all tests, those in real containers included
[no-exit-message]
test *args: _images
    {{ pytest }} "$@"

# Only the tests of single parts in real containers
[no-exit-message]
test-docker *args: _images
    {{ pytest }} -m docker "$@"

# Only the tests of the command line from end to end
[no-exit-message]
e2e *args: _images
    {{ pytest }} -m e2e "$@"

# Kill an orchestrator at every failpoint, resume it, and compare what it comes to: half an hour
[no-exit-message]
crash-matrix *args: _images
    {{ bin }}/python -m tests.crash.matrix "$@"

# Kill an orchestrator at random times, three times a trial, and its resumes too
[no-exit-message]
crash-random *args: _images
    {{ bin }}/python -m tests.crash.killer "$@"

# Build the toolchain images (does nothing when they are up to date)
[no-exit-message]
build-images *args: _sync _engine
    {{ bin }}/runner build-images "$@"

# Set everything up, then watch a whole run on the bundled example repository
[no-exit-message]
@demo *args: _images
    {{ bin }}/runner demo "$@"

# Remove what can be made again: caches, .venv, .tools; not images, not what runs left behind
clean:
    rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
    find runner tests images bench -name __pycache__ -type d -prune -exec rm -rf {} +

[no-exit-message]
[private]
@_sync:
    command -v uv >/dev/null || { echo "error: uv is not on the PATH: use ./justw, which brings it" >&2; exit 4; }
    [ -x {{ bin }}/runner ] || echo "Installing the Python packages of uv.lock into .venv"
    uv sync --frozen --quiet

[no-exit-message]
[private]
@_engine:
    images/engine.sh

[no-exit-message]
[private]
@_images: _sync _engine
    {{ bin }}/runner build-images
