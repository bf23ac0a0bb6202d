#!/bin/sh
# Installs gofix, or takes it away; sh install.sh --help tells how.
#
# Everything is checked before anything is put in its place; what does not work out leaves nothing behind.

# All of it is read before any of it runs: half a script, from a line that broke off, does nothing.
main() {
    set -eu
    umask 022
    base= version= prefix= arch= sum= shim=yes system= uninstall= work= staged= old= placed=
    while [ $# -gt 0 ]; do
        case $1 in
        --from | --version | --prefix | --arch | --sha256)
            [ $# -gt 1 ] && [ -n "$2" ] || die "$1 needs a value; --help shows how"
            case $1 in
            --from) base=$2 ;;
            --version) version=${2#v} ;;
            --prefix) prefix=$2 ;;
            --arch) arch=$2 ;;
            --sha256) sum=$2 ;;
            esac
            shift
            ;;
        --no-shim) shim= ;;
        --system) system=--system ;;
        --uninstall) uninstall=yes ;;
        -h | --help)
            usage
            return
            ;;
        *) die "unknown option $1; --help shows all" ;;
        esac
        shift
    done
    if [ -z "$prefix" ]; then
        if [ "$(id -u)" = 0 ]; then
            prefix=/usr/local
        else
            [ -n "${HOME-}" ] || die "HOME is not set; --prefix names a folder"
            prefix=$HOME/.local
        fi
    fi
    case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
    esac
    case $prefix in *:*) die "$prefix: a folder with a colon cannot stand in PATH" ;; esac
    if [ -n "$uninstall" ]; then uninstall; else install; fi
}

usage() {
    cat <<'TEXT'
Installs gofix, or takes it away.

  sh install.sh                   the newest release, into ~/.local (root: /usr/local)
  sh install.sh --from DIR|URL    from a folder or a URL that holds the files of a release
  sh install.sh --uninstall       everything as it was

  --version V     that release and not the newest
  --prefix DIR    where to: DIR/bin/gofix, DIR/lib/gofix, DIR/share
  --arch ARCH     amd64 or arm64; this machine's where it is not given
  --sha256 SUM    the checksum that the archive must have, in place of that in SHA256SUMS
  --no-shim       puts the programs there and leaves PATH alone
  --system        the shim for every user of this machine (needs root)
TEXT
}

say() { printf 'gofix: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

install() {
    case $(uname -s) in
    Linux) system_name=linux ;;
    Darwin) system_name=darwin ;;
    *) die "no release for $(uname -s): cargo install builds gofix from its sources" ;;
    esac
    case ${arch:-$(uname -m)} in
    amd64 | x86_64) arch=amd64 ;;
    arm64 | aarch64) arch=arm64 ;;
    *) die "no release for ${arch:-$(uname -m)}: cargo install builds gofix from its sources" ;;
    esac
    for tool in tar gzip find; do has $tool || die "there is no $tool here, and the archive needs one"; done
    name=gofix-$system_name-$arch
    archive=$name.tar.gz
    if [ -z "$base" ]; then
        releases=https://github.com/OWNER/gofix/releases
        if [ -n "$version" ]; then base=$releases/download/v$version; else base=$releases/latest/download; fi
    fi

    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    work=$(mktemp -d "${TMPDIR:-/tmp}/gofix-install.XXXXXX") || die "no room for a temporary folder; TMPDIR names another"

    bring "$archive"
    check
    gzip -dc "$work/$archive" 2>/dev/null | (cd "$work" && tar -xf -) 2>/dev/null ||
        die "$archive cannot be unpacked: damaged, or no room in ${TMPDIR:-/tmp}; nothing was installed"
    tree=$work/$name
    for program in gofix go; do
        [ -f "$tree/lib/gofix/$program" ] || die "$archive holds no $program; nothing was installed"
    done
    said=$("$tree/lib/gofix/gofix" --version 2>&1) ||
        die "the gofix of $archive does not run on this machine ($(uname -s) $(uname -m)); nothing was installed"
    [ -z "$version" ] || [ "$said" = "gofix $version" ] || die "$archive holds $said and not $version; nothing was installed"

    place
    if [ -n "$shim" ]; then
        # It refuses what is somebody else's, and tells where it stands and what is left to do.
        # shellcheck disable=SC2086 # one word or none
        "$prefix/bin/gofix" shim install $system || die "the shim could not be put in front of go; nothing was installed"
    fi
    placed=
    say "installed $said: $prefix/bin/gofix"
}

# Copies or fetches one file of the release into $work.
bring() {
    case $base in
    http://* | https://*) fetch "$base/$1" "$work/$1" ;;
    *)
        [ -f "$base/$1" ] || die "there is no $1 in $base"
        cp "$base/$1" "$work/$1" 2>/dev/null || die "no room for $1 in ${TMPDIR:-/tmp}"
        ;;
    esac
}

# Six tries, with longer and longer waits; what is there already is not fetched again. A 4xx is an answer: no second try.
fetch() {
    try=0
    while :; do
        status=0
        if has curl; then
            code=$(curl -sS -L -f -C - --connect-timeout 10 --speed-limit 10 --speed-time 20 -o "$2" -w '%{http_code}' "$1" \
                2>"$work/error") || status=$?
            # 33 and 416: the server does not resume, or there is nothing left to resume.
            case $status:$code in
            0:*) return 0 ;;
            33:* | 22:416) rm -f "$2" ;;
            22:408 | 22:425 | 22:429 | 22:5*) ;;
            22:*) die "$1: the server answered $code" ;;
            23:*) die "no room for ${1##*/} in ${TMPDIR:-/tmp}" ;;
            esac
        elif has wget; then
            wget -q -T 20 -O "$2" "$1" 2>"$work/error" && return 0
            case $(cat "$work/error") in *" 404 "* | *" 403 "* | *" 401 "*) die "$1: $(tail -n 1 "$work/error")" ;; esac
        else
            die "there is neither curl nor wget here; --from names a folder"
        fi
        try=$((try + 1))
        [ $try -lt 6 ] || die "$1 could not be fetched: $(tail -n 1 "$work/error")"
        sleep $try
    done
}

check() {
    if [ -z "$sum" ]; then
        bring SHA256SUMS
        sum=$(sed -n "s/^\([0-9a-f]\{64\}\)[ *]*$archive\$/\1/p" "$work/SHA256SUMS")
        [ -n "$sum" ] || die "SHA256SUMS does not name $archive; nothing was installed"
    fi
    if has sha256sum; then
        found=$(sha256sum "$work/$archive")
    elif has shasum; then
        found=$(shasum -a 256 "$work/$archive")
    elif has openssl; then
        found=$(openssl dgst -r -sha256 "$work/$archive")
    else
        die "there is no sha256sum, shasum or openssl here to check $archive with; nothing was installed"
    fi
    found=${found%% *}
    [ "$found" = "$sum" ] || die "$archive has the checksum $found and not $sum: damaged, or not what was released; nothing was installed"
}

# Everything that can fail for want of room or rights happens beside its place; then there are only renames.
place() {
    lib=$prefix/lib/gofix
    link=$prefix/bin/gofix
    if [ -e "$lib" ] && ! [ -f "$lib/gofix" ]; then die "$lib is there and is not gofix's; --prefix names another place"; fi
    if [ -e "$link" ] || [ -L "$link" ]; then
        [ "$(readlink "$link" || true)" = ../lib/gofix/gofix ] || die "$link is there and is not ours; --prefix names another place"
    fi
    : >"$work/made"
    # What an earlier installation made is taken away with this one.
    [ ! -f "$lib/made" ] || cp "$lib/made" "$work/made"
    for folder in "$prefix/lib" "$prefix/bin" "$prefix/share"; do
        make_folder "$folder" && [ -w "$folder" ] || die "$folder may not be written; --prefix names another place"
    done
    (cd "$tree" && find share -type f) >"$work/documents"
    staged=$prefix/lib/.gofix-$$
    mkdir "$staged" && cp -p "$tree/lib/gofix/gofix" "$tree/lib/gofix/go" "$staged/" 2>/dev/null ||
        die "no room in $prefix/lib; nothing was installed"
    while read -r file; do
        make_folder "$prefix/${file%/*}" && cp "$tree/$file" "$prefix/$file.gofix-$$" 2>/dev/null ||
            die "no room in $prefix/share; nothing was installed"
    done <"$work/documents"
    cp "$work/documents" "$work/made" "$staged/" 2>/dev/null || die "no room in $prefix/lib; nothing was installed"

    if [ -e "$lib" ]; then
        old=$prefix/lib/.gofix-old-$$
        mv "$lib" "$old"
    fi
    placed=yes
    mv "$staged" "$lib"
    staged=
    [ -L "$link" ] || ln -s ../lib/gofix/gofix "$link"
    while read -r file; do mv -f "$prefix/$file.gofix-$$" "$prefix/$file"; done <"$work/documents"
}

# Makes a folder and those above it, and notes which.
make_folder() {
    [ ! -d "$1" ] || return 0
    make_folder "$(dirname "$1")" && mkdir "$1" 2>/dev/null && echo "$1" >>"$work/made"
}

# Runs at the end, whatever it is: takes away what is half done, and puts back what was there.
cleanup() {
    status=$?
    if [ -n "$placed" ] && [ $status -ne 0 ]; then
        if [ -n "$old" ]; then
            rm -rf "$prefix/lib/gofix"
            mv "$old" "$prefix/lib/gofix"
        else
            remove_files "$work/documents"
        fi
    fi
    [ -z "$old" ] || rm -rf "$old"
    [ -z "$staged" ] || rm -rf "$staged"
    [ -n "$work" ] || return 0
    if [ -f "$work/documents" ]; then
        while read -r file; do rm -f "$prefix/$file.gofix-$$"; done <"$work/documents"
    fi
    if [ $status -ne 0 ] && [ -f "$work/made" ] && ! [ -e "$prefix/lib/gofix" ]; then remove_folders "$work/made"; fi
    rm -rf "$work"
}

uninstall() {
    lib=$prefix/lib/gofix
    [ -f "$lib/gofix" ] && [ -f "$lib/documents" ] || die "there is no gofix of this script's in $prefix; --prefix names another place"
    [ -w "$lib" ] && [ -w "$prefix/bin" ] || die "$prefix may not be written"
    # shellcheck disable=SC2086 # one word or none
    "$lib/gofix" shim uninstall $system || die "the shim could not be taken away; nothing was removed"
    made=$(cat "$lib/made")
    remove_files "$lib/documents"
    echo "$made" | remove_folders -
    say "removed gofix from $prefix"
}

remove_files() {
    while read -r file; do rm -f "$prefix/$file"; done <"$1"
    if [ "$(readlink "$prefix/bin/gofix" 2>/dev/null || true)" = ../lib/gofix/gofix ]; then rm -f "$prefix/bin/gofix"; fi
    rm -rf "$prefix/lib/gofix"
}

# The folders of a list, those below others first; what somebody else has put something into stays.
remove_folders() {
    sort -r "$1" | while read -r folder; do rmdir "$folder" 2>/dev/null || true; done
}

main "$@"
