#!/usr/bin/env bash
# The gate of the GitHub Action: checks once, tells people, and leaves the findings as SARIF.
#
#   NEXUS_GOVERNANCE  the program [nexus-governance, in the path]
#   NEXUS_DIRECTORY   where schemas/, policies/ and Cargo.toml are [.]
#   NEXUS_AGAINST     a git revision to compare with [none]
#   NEXUS_ARGUMENTS   more arguments of `check`, parted by spaces or lines [none]
#   NEXUS_ANNOTATE    code-scanning, or workflow for annotations of the run [code-scanning]
#   NEXUS_SARIF       where the findings go [nexus-governance.sarif]
#
# It ends with what `nexus-governance check` ends with.
set -euo pipefail

program=${NEXUS_GOVERNANCE:-nexus-governance}
program=${program/#\~/$HOME}
case $program in /* | [A-Za-z]:*) ;; */*) program=$PWD/$program ;; esac
sarif=${NEXUS_SARIF:-nexus-governance.sarif}
case $sarif in /* | [A-Za-z]:*) ;; *) sarif=$PWD/$sarif ;; esac
annotate=${NEXUS_ANNOTATE:-code-scanning}
case $annotate in
code-scanning | workflow) ;;
*)
    echo "error: annotate is $annotate: expected code-scanning or workflow" >&2
    exit 2
    ;;
esac

cd "${NEXUS_DIRECTORY:-.}"
check=("$program" check)
if [ -n "${NEXUS_AGAINST:-}" ]; then check+=(--against "$NEXUS_AGAINST"); fi
read -r -d '' -a more <<<"${NEXUS_ARGUMENTS:-}" || true
if [ "${#more[@]}" -gt 0 ]; then check+=("${more[@]}"); fi

code=0
"${check[@]}" --format sarif >"$sarif" || code=$?
if [ "$code" -gt 1 ]; then
    # What it says of itself is no SARIF.
    rm -f "$sarif"
    exit "$code"
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "sarif=$sarif" >>"$GITHUB_OUTPUT"; fi
"${check[@]}" || true
if [ "$annotate" = workflow ]; then "${check[@]}" --format github || true; fi
exit "$code"
