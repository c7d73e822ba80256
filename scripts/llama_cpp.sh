# Sourced by the scripts that measure beside llama.cpp: a Python environment, its source, and builds of it.
# Expects `dir`, the folder that holds all of it; sets `python`.

# What is installed last says that all of it is there.
if [ ! -x "$dir/python/bin/cmake" ]; then
  python3 -m venv "$dir/python"
  "$dir/python/bin/pip" install --quiet gguf numpy cmake
fi
python=$dir/python/bin/python

# The newest versions that were measured against; an upgrade is a change of this line and of the tables.
llama_package=llama-cpp-python==0.3.36

# Fetches llama.cpp's source, which the PyPI package carries.
fetch_llama() {
  local source=$dir/llama.cpp
  [ -d "$source" ] && return
  echo "fetching llama.cpp's source" >&2
  (cd "$dir" && "$python" -m pip download --quiet --no-deps --no-binary :all: "$llama_package")
  rm -rf "$source.part"
  mkdir "$source.part"
  tar xzf "$dir"/llama_cpp_python-*.tar.gz -C "$source.part" --strip-components=3 --wildcards '*/vendor/llama.cpp/*'
  mv "$source.part" "$source"
}

# build_llama NAME CC CXX TARGET: TARGET in DIR/NAME/bin.
build_llama() {
  [ -x "$dir/$1/bin/$4" ] && return
  fetch_llama
  echo "building llama.cpp's $4 with $2" >&2
  CC=$2 CXX=$3 "$dir/python/bin/cmake" -S "$dir/llama.cpp" -B "$dir/$1" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF \
    -DLLAMA_BUILD_APP=OFF >"$dir/$1.log" 2>&1
  "$dir/python/bin/cmake" --build "$dir/$1" -j"$(getconf _NPROCESSORS_ONLN)" --target "$4" >>"$dir/$1.log" 2>&1 ||
    { tail -20 "$dir/$1.log" >&2; exit 1; }
}

# Prints a clang++ there is (newest first), as the suffix of its name; fails without one.
clang_suffix() {
  local version
  for version in -21 -20 -19 -18 ""; do
    if command -v "clang++$version" >/dev/null; then
      echo "$version"
      return
    fi
  done
  return 1
}
