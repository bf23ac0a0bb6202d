#!/bin/sh
# What action.yml does: installs gofix for this job, puts it in front of go, and sets what the inputs say.
set -eu

case $REF in v[0-9]*.[0-9]*.[0-9]*) : "${VERSION:=$REF}" ;; esac
prefix=${RUNNER_TEMP:?}/gofix
set -- --prefix "$prefix" --no-shim
[ -z "$FROM" ] || set -- "$@" --from "$FROM"
[ -z "$VERSION" ] || set -- "$@" --version "$VERSION"
[ -z "$SHA256" ] || set -- "$@" --sha256 "$SHA256"
sh "$ACTION/install.sh" "$@"

# The bin folder of GOPATH: setup-go puts it in front of its go as well, so that it does not matter which of the two is first.
gopath=$(go env GOPATH 2>/dev/null || true)
gopath=${gopath:-${GOPATH:-$HOME/go}}
shims=${gopath%%:*}/bin
"$prefix/bin/gofix" shim install --dir "$shims"

newline='
'
set_variable() {
    case $2 in
    '') ;;
    *"$newline"*)
        echo "::error title=gofix::$1 has more than one line"
        exit 1
        ;;
    *) printf '%s=%s\n' "$1" "$2" >>"$GITHUB_ENV" ;;
    esac
}
set_variable GOFIX_ROUTES "$ROUTES"
set_variable GOFIX_BUDGET "$BUDGET"
set_variable GOFIX_RELAY "$RELAY"
set_variable GOFIX_REPORT "$REPORT"

version=$("$prefix/bin/gofix" --version)
{
    echo "version=${version#gofix }"
    echo "gofix=$prefix/bin/gofix"
    echo "shim=$shims/go"
    echo "report=$REPORT"
} >>"$GITHUB_OUTPUT"
