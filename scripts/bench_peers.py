#!/usr/bin/env python3
"""Run `wootz bench` and llama.cpp's `llama-bench` in turns and print a Markdown table of medians and ratios.

Called by bench_peers.sh, which builds both. Models are made where they are missing. In every round each program
runs once on each case, so that a slow minute of the machine falls on all of them; a ratio is taken inside each
round, against the better peer of that round, and the median over the rounds is printed. A round whose ratio is far
from the others shows in the spread (lowest to highest).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPES = ["llama3.2-1b", "qwen2.5-0.5b"]
TYPES = ["q8_0", "q4_0", "q4_k_m", "q6_k", "f16", "bf16"]
SYNTH = Path(__file__).with_name("synth_gguf.py")


def run_measured(command):
    """Standard output of a command, and the most memory it held, in bytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if child.returncode != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace")[-2000:]
            sys.exit(f"{' '.join(map(str, command))} failed ({child.returncode}):\n{text}")
        peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
        return out.read().decode(), peak


def llama_bench(program, model, case, threads):
    command = [program, "-m", model, "-t", threads, "-p", case.prompt, "-n", case.generate, "-r", 1, "-o", "json"]
    text, peak = run_measured(list(map(str, command)))
    rates = {"prompt" if row["n_prompt"] else "generation": row["avg_ts"] for row in json.loads(text)}
    return {**rates, "peak": peak}


def wootz_bench(program, model, case, threads):
    command = [program, "bench", model, "-t", threads, "-p", case.prompt, "-n", case.generate, "-r", 1, "--json",
               "--no-limits"]
    text, peak = run_measured(list(map(str, command)))
    rates = {row["kind"]: row["tokens_per_second"]["median"] for row in json.loads(text)["results"]}
    return {**rates, "peak": peak}


def model_file(folder, shape, kind):
    path = folder / f"{shape}.{kind}.gguf"
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        subprocess.run([sys.executable, SYNTH, shape, kind, partial], check=True)
        partial.rename(path)
    return path


def measure(options, model, threads):
    """One list of results for each program, a result each round."""
    results = {name: [] for name in ["wootz", *options.peers]}
    for _ in range(options.rounds):
        results["wootz"].append(wootz_bench(options.wootz, model, options, threads))
        for name, program in options.peers.items():
            results[name].append(llama_bench(program, model, options, threads))
    return results


def summarise(results, kind):
    """Medians of each program for prompt or generation, and the ratios to the better peer, lowest first."""
    rates = {name: [result[kind] for result in rounds] for name, rounds in results.items()}
    best = [max(rates[name][i] for name in rates if name != "wootz") for i in range(len(rates["wootz"]))]
    ratios = sorted(ours / theirs for ours, theirs in zip(rates["wootz"], best))
    return {name: statistics.median(values) for name, values in rates.items()}, ratios


def cells(results, kind, peers):
    medians, ratios = summarise(results, kind)
    numbers = [f"{medians[name]:.0f}" if medians[name] >= 100 else f"{medians[name]:.1f}" for name in ["wootz", *peers]]
    return [*numbers, f"**{statistics.median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f})"]


def memory(results, model):
    peak = max(result["peak"] for result in results["wootz"])
    return f"{peak / 2**20:.0f} MiB ({peak / model.stat().st_size:.2f} of the file)"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wootz", required=True, help="the wootz binary (bench_peers.sh gives it)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH", help="a llama-bench (likewise)")
    parser.add_argument("--models", type=Path, required=True, help="folder of the models (likewise)")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES + ["tiny"])
    parser.add_argument("--types", nargs="+", default=TYPES, metavar="TYPE", help=f"default: {' '.join(TYPES)}")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt")
    parser.add_argument("--generate", type=int, default=64, help="tokens generated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--raw", type=Path, help="also write every single result here, as JSON")
    options = parser.parse_args()
    options.peers = dict(peer.split("=", 1) for peer in options.peer)
    return options


def main():
    options = parse()
    peers = list(options.peers)
    what = [f"pp{options.prompt}", f"tg{options.generate}"]
    header = ["model", "type", "threads"]
    for test in what:
        header += [f"{test} wootz", *(f"llama.cpp {name}" for name in peers), "ratio to the better"]
    header.append("peak memory")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    raw = []
    for shape in options.shapes:
        for kind in options.types:
            model = model_file(options.models, shape, kind)
            for threads in options.threads:
                results = measure(options, model, threads)
                raw.append({"shape": shape, "type": kind, "threads": threads, "rounds": results})
                row = [shape, kind, str(threads), *cells(results, "prompt", peers), *cells(results, "generation", peers)]
                print("| " + " | ".join([*row, memory(results, model)]) + " |", flush=True)
    if options.raw:
        options.raw.write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
