#!/usr/bin/env bash
# The entry for pre-commit: `nexus-governance check`, by the program that NEXUS_GOVERNANCE names, or by one that is built here once.
set -euo pipefail

if [ -n "${NEXUS_GOVERNANCE:-}" ]; then exec "$NEXUS_GOVERNANCE" check "$@"; fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=$here/../target
cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" --features cli --bin nexus-governance
exec "$CARGO_TARGET_DIR/release/nexus-governance" check "$@"
