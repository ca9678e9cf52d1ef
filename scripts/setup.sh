# Sourced by ./quickstart and ./check: packages and build. Everything it does is quick the second time.
# Sets nothing but functions; the caller has `set -euo pipefail` and stands in the checkout's root.

say() { printf '== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# install_packages [LIST...]: installs what packages.txt and these files list and the machine lacks.
install_packages() {
  [ -z "${VMFERRY_SKIP_PACKAGES:-}" ] || return 0
  command -v dpkg-query >/dev/null || fail "this is not a Debian machine: install the packages in packages.txt${1:+ $*} by hand, then run with VMFERRY_SKIP_PACKAGES=1"
  local wanted missing=() package
  wanted=$(sed 's/#.*//' packages.txt "$@")
  for package in $wanted; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${#missing[@]} packages: ${missing[*]}"
  [ "$(id -u)" = 0 ] || fail "packages are missing and only root can install them: sudo apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local log
  log=$(mktemp)
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install them (see above): is the network there, and is this Debian 12?"
  fi
  rm -f "$log"
}

# build PRESET [TARGET...]: configures once, then builds; prints the compiler's output only where it fails.
build() {
  local preset=$1 log
  shift
  log=build/$preset.log
  mkdir -p build
  if [ ! -f "build/$preset/build.ninja" ]; then
    cmake --preset "$preset" >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail "cmake could not configure; the whole output is in $log"; }
  fi
  cmake --build --preset "$preset" ${1:+--target "$@"} >"$log" 2>&1 || { grep -E 'error|FAILED|ninja:' -A3 "$log" | head -n 40 >&2; fail "the build failed; the whole output is in $log"; }
}
