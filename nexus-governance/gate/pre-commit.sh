#!/usr/bin/env bash
# The entry for pre-commit: `nexus-governance check`, by the program that NEXUS_GOVERNANCE names, or by one that is built here once.
set -euo pipefail

if [ -n "${NEXUS_GOVERNANCE:-}" ]; then exec "$NEXUS_GOVERNANCE" check "$@"; fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# There, so that no configuration of the user's takes part.
(
    cd "$here"
    unset CARGO_BUILD_TARGET
    export CARGO_TARGET_DIR=$here/../target
    cargo build --quiet --release --locked --features cli --bin nexus-governance
)
exec "$here/../target/release/nexus-governance" check "$@"
