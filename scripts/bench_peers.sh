#!/usr/bin/env bash
# Measure Wootz and llama.cpp side by side on this machine, in turns, and print a Markdown table of ratios.
#
#   scripts/bench_peers.sh [--dir DIR] [options of bench_peers.py]
#
# Everything lies in DIR (default: target/peers; about 12 GB with every model): llama.cpp's source, taken from the
# PyPI package llama-cpp-python, one build of it with gcc and one with clang (where one is found: its prompt
# processing of K-quants is faster), a Python environment, and random-weight models of real shapes. The first run
# builds for about 20 minutes on two cores; later runs only measure. Needs python3, cmake, a C++ compiler, and the
# network once. Stop other work on the machine first: the figures are of whatever cores are left.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/target/peers
if [ "${1:-}" = --dir ]; then
  dir=$2
  shift 2
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ ! -x "$dir/python/bin/python" ]; then
  python3 -m venv "$dir/python"
  "$dir/python/bin/pip" install --quiet gguf numpy cmake
fi
python=$dir/python/bin/python
case " $* " in *" --help "* | *" -h "*) exec "$python" "$root/scripts/bench_peers.py" --help ;; esac

# The newest versions that were measured against; an upgrade is a change of this line and of the table.
llama_package=llama-cpp-python==0.3.36
source=$dir/llama.cpp
if [ ! -d "$source" ]; then
  echo "fetching llama.cpp's source" >&2
  (cd "$dir" && "$python" -m pip download --quiet --no-deps --no-binary :all: "$llama_package")
  rm -rf "$source.part"
  mkdir "$source.part"
  tar xzf "$dir"/llama_cpp_python-*.tar.gz -C "$source.part" --strip-components=3 --wildcards '*/vendor/llama.cpp/*'
  mv "$source.part" "$source"
fi

# build_llama NAME CC CXX: llama-bench in DIR/NAME/bin.
build_llama() {
  [ -x "$dir/$1/bin/llama-bench" ] && return
  echo "building llama.cpp with $2" >&2
  CC=$2 CXX=$3 "$dir/python/bin/cmake" -S "$source" -B "$dir/$1" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF \
    -DLLAMA_BUILD_APP=OFF >"$dir/$1.log" 2>&1
  "$dir/python/bin/cmake" --build "$dir/$1" -j"$(getconf _NPROCESSORS_ONLN)" --target llama-bench >>"$dir/$1.log" 2>&1 ||
    { tail -20 "$dir/$1.log" >&2; exit 1; }
}
peers=()
if command -v g++ >/dev/null; then
  build_llama llama-gcc gcc g++
  peers+=(--peer "gcc=$dir/llama-gcc/bin/llama-bench")
fi
for version in -21 -20 -19 -18 ""; do
  if command -v "clang++$version" >/dev/null; then
    build_llama llama-clang "clang$version" "clang++$version"
    peers+=(--peer "clang=$dir/llama-clang/bin/llama-bench")
    break
  fi
done
if [ "${#peers[@]}" -eq 0 ]; then
  echo "neither g++ nor clang++ is there to build llama.cpp with" >&2
  exit 1
fi

(cd "$root" && cargo build --release --quiet --package wootz)
wootz=${CARGO_TARGET_DIR:-$root/target}/release/wootz
exec "$python" "$root/scripts/bench_peers.py" --wootz "$wootz" --models "$dir/models" "${peers[@]}" "$@"
