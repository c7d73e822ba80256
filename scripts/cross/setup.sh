#!/usr/bin/env bash
# Makes, in DIR, a Rust toolchain that checks, lints and compiles for Apple-silicon Macs and 64-bit Arm Linux, from
# Debian's own packages (their newest rustc and the source of its standard library) and zig from PyPI, which stands
# in as the C compiler and linker. Nothing outside DIR is changed; about 1.5 GB, a few minutes the first time.
#
#   setup.sh DIR && . DIR/env && cargo clippy --target aarch64-apple-darwin
#
# Debian's rustc is newer than the one the project is built with, so its lints may be stricter too.
set -euo pipefail

dir=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$dir"
targets=(aarch64-apple-darwin aarch64-unknown-linux-gnu)

first_dependency() { # PACKAGE PATTERN: the first dependency of PACKAGE that matches PATTERN
  apt-cache depends "$1" | sed -n "s/.*Depends: \($2\)$/\1/p" | head -n 1
}

unpack_rust() {
  rm -rf debs root
  mkdir -p debs root
  local std llvm
  std=$(first_dependency libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
  if [ -z "$std" ]; then
    echo "apt knows no package rust-web: run 'apt-get update', or use Debian 12 or newer" >&2
    exit 1
  fi
  llvm=$(first_dependency "$std" 'libllvm[0-9]*')
  [ -n "$llvm" ] || llvm=$(first_dependency rustc-web 'libllvm[0-9]*')
  (cd debs && apt-get download -q rustc-web cargo-web rust-web-src rust-web-clippy libstd-rust-web-dev "$std" \
    "${llvm:-libllvm22}" libgit2-1.5 libhttp-parser2.9 libmbedcrypto7 libmbedtls14 libmbedx509-1 libssh2-1)
  for package in debs/*.deb; do dpkg -x "$package" root; done
  rm -rf debs
  touch root/complete
}

# A command that runs one of the unpacked tools with the unpacked libraries.
write_rust_tools() {
  mkdir -p bin
  local tool
  for tool in rustc cargo rustdoc cargo-clippy clippy-driver; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu exec %s/root/usr/bin/%s "$@"\n' \
      "$dir" "$dir" "$tool" > "bin/$tool"
    chmod +x "bin/$tool"
  done
}

# zig as a C compiler and linker for each target, dropping the options that only Apple's clang and gcc know.
write_c_tools() {
  [ -x zig/bin/python3 ] || python3 -m venv zig
  zig/bin/python3 -c 'import ziglang' 2>/dev/null || zig/bin/pip install -q ziglang==0.17.0
  cat > bin/zig_driver.py <<PYTHON
import os, pathlib, sys
name = pathlib.Path(sys.argv[0]).name
target = {"darwin": "aarch64-macos.14.0-none", "linux": "aarch64-linux-gnu.2.36"}[name.split("-")[0]]
language = "c++" if name.endswith("++") else "cc"
arguments, rest = [], sys.argv[1:]
while rest:
    argument = rest.pop(0)
    if argument == "-arch":
        rest.pop(0)
    elif not argument.startswith(("-mmacosx-version-min", "--target=", "-Wl,--fix-cortex")):
        arguments.append(argument)
for variable in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
    os.environ.setdefault(variable, "$dir/zig/cache")
import ziglang
zig = str(pathlib.Path(ziglang.__file__).parent / "zig")
os.execv(zig, ["zig", language, "-target", target] + arguments)
PYTHON
  local tool
  for tool in darwin-cc darwin-c++ linux-cc linux-c++; do
    printf '#!%s/zig/bin/python3\n' "$dir" | cat - bin/zig_driver.py > "bin/$tool"
    chmod +x "bin/$tool"
  done
  printf '#!/bin/sh\nexec %s/zig/bin/python3 -m ziglang ar "$@"\n' "$dir" > bin/zig-ar
  chmod +x bin/zig-ar
}

write_environment() {
  cat > env <<SHELL
export PATH=$dir/bin:\$PATH CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
export CC_aarch64_apple_darwin=$dir/bin/darwin-cc CXX_aarch64_apple_darwin=$dir/bin/darwin-c++
export CC_aarch64_unknown_linux_gnu=$dir/bin/linux-cc CXX_aarch64_unknown_linux_gnu=$dir/bin/linux-c++
export AR_aarch64_apple_darwin=$dir/bin/zig-ar AR_aarch64_unknown_linux_gnu=$dir/bin/zig-ar
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$dir/bin/linux-cc
SHELL
}

build_standard_library() { # TARGET
  local libraries=root/usr/lib/rustlib/$1/lib
  [ ! -e "$libraries/complete" ] || return 0
  rm -rf std "$libraries"
  mkdir -p std/src "$libraries"
  printf '[package]\nname = "std-build"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' > std/Cargo.toml
  echo > std/src/lib.rs
  (cd std && CARGO_TARGET_DIR=target RUSTC_BOOTSTRAP=1 \
    cargo build -q --release -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test --target "$1")
  cp "std/target/$1/release/deps/"*.rlib "$libraries/"
  rm -rf std "$libraries"/libstd_build*.rlib
  touch "$libraries/complete"
}

[ -e root/complete ] || unpack_rust
write_rust_tools
write_c_tools
write_environment
# shellcheck disable=SC1091
. ./env
for target in "${targets[@]}"; do build_standard_library "$target"; done
rustc --version
