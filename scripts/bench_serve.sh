#!/usr/bin/env bash
# Measure `wootz serve` and llama.cpp's llama-server side by side on this machine, in turns, and print Markdown tables.
#
#   scripts/bench_serve.sh [--dir DIR] [--llama-server FILE] [options of bench_serve.py]
#
# Everything lies in DIR (default: target/peers; about 4 GB): llama.cpp's source and builds as for bench_peers.sh, and
# random-weight models of real shapes with a tokenizer. Without --llama-server it is built with clang if there is one,
# otherwise with gcc. The first run builds for about half an hour on two cores; later runs only measure. Needs python3,
# cmake, a C++ compiler, and the network once. Stop other work on the machine first.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/target/peers
server=
while :; do
  case "${1:-}" in
    --dir) dir=$2; shift 2 ;;
    --llama-server) server=$2; shift 2 ;;
    *) break ;;
  esac
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
. "$root/scripts/llama_cpp.sh"
case " $* " in *" --help "* | *" -h "*) exec "$python" "$root/scripts/bench_serve.py" --help ;; esac

if [ -z "$server" ]; then
  if version=$(clang_suffix); then
    build_llama llama-clang "clang$version" "clang++$version" llama-server
    server=$dir/llama-clang/bin/llama-server
  else
    build_llama llama-gcc gcc g++ llama-server
    server=$dir/llama-gcc/bin/llama-server
  fi
fi
(cd "$root" && cargo build --release --quiet --package wootz)
wootz=${CARGO_TARGET_DIR:-$root/target}/release/wootz
exec "$python" "$root/scripts/bench_serve.py" --wootz "$wootz" --llama-server "$server" --models "$dir/models" "$@"
