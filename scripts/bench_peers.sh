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

. "$root/scripts/llama_cpp.sh"
case " $* " in *" --help "* | *" -h "*) exec "$python" "$root/scripts/bench_peers.py" --help ;; esac

peers=()
if command -v g++ >/dev/null; then
  build_llama llama-gcc gcc g++ llama-bench
  peers+=(--peer "gcc=$dir/llama-gcc/bin/llama-bench")
fi
if version=$(clang_suffix); then
  build_llama llama-clang "clang$version" "clang++$version" llama-bench
  peers+=(--peer "clang=$dir/llama-clang/bin/llama-bench")
fi
if [ "${#peers[@]}" -eq 0 ]; then
  echo "neither g++ nor clang++ is there to build llama.cpp with" >&2
  exit 1
fi

(cd "$root" && cargo build --release --quiet --package wootz)
wootz=${CARGO_TARGET_DIR:-$root/target}/release/wootz
exec "$python" "$root/scripts/bench_peers.py" --wootz "$wootz" --models "$dir/models" "${peers[@]}" "$@"
