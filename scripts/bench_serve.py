#!/usr/bin/env python3
"""Put the same load on `wootz serve` and on llama.cpp's `llama-server`, in turns, and print Markdown tables.

Called by bench_serve.sh, which builds both. Models are made where they are missing. For each model both servers are
started with the same file and number of threads, and `wootz bench serve` measures them: a round of one, then a round of
the other, the same prompts for both. A ratio is that of the medians over the rounds; the lowest and the highest ratio of
a round stand in brackets. llama-server runs as it is fastest here: continuous batching and flash attention as it
chooses by default, as many slots as there are streams, and a context that holds all of them.
"""
import argparse
import json
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).parent
SHIPPED = SCRIPTS.parent / "models/tales-46m.Q4_K_M.gguf"
SHAPES = ["qwen2.5-0.5b", "llama3.2-1b"]
TYPES = ["q4_k_m", "q8_0"]
LOADS = ["streams", "prefix", "beside"]
# Seconds that a server may take to load.
PATIENCE = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, port):
    """The address of a server while it runs."""
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        try:
            end = time.monotonic() + PATIENCE
            while not answers(address):
                if child.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    text = log.read().decode(errors="replace")[-2000:]
                    sys.exit(f"{' '.join(map(str, command))} does not serve:\n{text}")
                time.sleep(0.2)
            yield address
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def wootz_command(options, model, port, room):
    return [options.wootz, "serve", model, "--host", "127.0.0.1", "--port", port, "--threads", options.threads,
            "--no-kv-disk", *options.wootz_arguments]


def llama_command(options, model, port, room):
    return [options.llama_server, "-m", model, "--host", "127.0.0.1", "--port", port, "-t", options.threads,
            "-tb", options.threads, "-np", room.slots, "-c", room.slots * room.tokens, *options.llama_arguments]


class Room:
    """How many requests a server must hold at a time, and how long each is, with some to spare."""

    def __init__(self, slots, tokens):
        self.slots = slots
        self.tokens = -(-(tokens + 64) // 256) * 256


def measure(options, model, room, load):
    """The report of `wootz bench serve` on both servers."""
    commands = {"wootz": wootz_command}
    if options.llama_server:
        commands["llama.cpp"] = llama_command
    with ExitStack() as stack:
        urls = []
        for name, command in commands.items():
            port = free_port()
            urls += ["--url", f"{name}={stack.enter_context(running(command(options, model, port, room), port))}"]
        command = [options.wootz, "bench", "serve", *urls, "--rounds", options.rounds, "--json", *load]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    report = json.loads(done.stdout)
    for measured in report["loads"]:
        for server in measured["servers"]:
            for error in server["together"]["errors"]:
                print(f"{server['server']}, {measured['name']}: {error['count']} x {error['kind']}: {error['example']}",
                      file=sys.stderr)
    return report


def compared(load, figure, scale=1):
    """Cells of a figure: the medians over the rounds of both servers, and their ratio with its spread."""
    for comparison in load["comparisons"]:
        if comparison["figure"] == figure:
            ratio = f"**{comparison['ratio']:.2f}** ({comparison['lowest']:.2f} to {comparison['highest']:.2f})"
            medians = [comparison["median_of_first"], comparison["median_of_other"]]
            return [*(cell(scale * median) for median in medians), ratio]
    # Without a peer there is nothing to compare with.
    together = load["servers"][0]["together"]
    alone = {"output tokens/s": lambda: together["output_tokens_per_second"],
             "inter-token, p95": lambda: together["inter_token"]["p95"],
             "time to first token, median": lambda: together["time_to_first_token"]["p50"]}
    return [cell(scale * alone[figure]()), "", ""]


def cell(value, digits=1):
    return "" if value is None else f"{value:.{0 if value >= 100 else digits}f}"


def header(names):
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names), flush=True)


def row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def streams(options, models):
    """Output tokens a second and inter-token latency at several numbers of streams."""
    names = ["model", "streams", "output tokens/s: wootz", "llama.cpp", "ratio", "inter-token p95 ms: wootz", "llama.cpp",
             "ratio", "first token median ms: wootz", "llama.cpp", "ratio"]
    print(f"\n{options.prompt} tokens of prompt, {options.output} of answer, {options.each} requests for each stream\n")
    header(names)
    room = Room(max(options.streams), options.prompt + options.output)
    for name, model in models:
        load = ["--streams", ",".join(map(str, options.streams)), "--requests-per-stream", options.each,
                "-p", options.prompt, "-n", options.output]
        report = measure(options, model, room, load)
        yield name, report
        for count, measured in zip(options.streams, report["loads"]):
            row([name, str(count), *compared(measured, "output tokens/s"), *compared(measured, "inter-token, p95", 1e3),
                 *compared(measured, "time to first token, median", 1e3)])


def prefix(options, models):
    """Time to the first token of requests that share a prefix."""
    print(f"\n16 requests, one after the other, that share {options.shared} tokens and have 32 of their own\n")
    header(["model", "server", "first ms", "later ms", "factor", "cache hits"])
    for name, model in models:
        load = ["--streams", 1, "--requests", 16, "--shared-prefix", f"1:{options.shared}", "-p", 32, "-n", 8]
        report = measure(options, model, Room(1, options.shared + 64), load)
        yield name, report
        for server in report["loads"][0]["servers"]:
            summary, shared = server["together"], server["together"]["shared_prefix"]
            hits = "not given" if summary["cache_hit_rate"] is None else f"{100 * summary['cache_hit_rate']:.1f}%"
            row([name, server["server"], cell(1e3 * shared["first"]["p50"]), cell(1e3 * shared["later"]["p50"]),
                 f"**{shared['ratio']:.1f}**", hits])


def beside(options, models):
    """Inter-token latency of streams before and while a long prompt is processed."""
    print(f"\n{options.beside_streams} streams, and a prompt of {options.long} tokens that comes when they flow and ends them\n")
    header(["model", "server", "before: median ms", "p95", "beside: median ms", "p95", "ratio of medians", "of p95",
            "the prompt's first token, s"])
    for name, model in models:
        load = ["--streams", options.beside_streams, "--requests-per-stream", 1, "-p", 64, "-n", options.beside_output,
                "--beside", options.long]
        room = Room(options.beside_streams + 1, max(options.long, options.beside_output) + 64)
        report = measure(options, model, room, load)
        yield name, report
        for server in report["loads"][0]["servers"]:
            found = server["together"]["beside"]
            if not found or not found["quiet"] or not found["during"]:
                row([name, server["server"], "too short to say", "", "", "", "", "", ""])
                continue
            times = [cell(1e3 * found[when][what]) for when in ("quiet", "during") for what in ("p50", "p95")]
            row([name, server["server"], *times, f"{found['ratio_of_p50']:.2f}", f"**{found['ratio_of_p95']:.2f}**",
                 cell(found["time_to_first_token"]["p50"])])


def models_of(options):
    """Names and files, made where they are missing."""
    for shape in options.shapes:
        if shape == "tales-46m":
            yield "tales-46m Q4_K_M", SHIPPED
            continue
        for kind in options.types:
            path = options.models / f"{shape}.{kind}.tokenizer.gguf"
            if not path.exists():
                print(f"making {path.name}", file=sys.stderr)
                options.models.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".part")
                made = [sys.executable, SCRIPTS / "synth_gguf.py", shape, kind, partial, "--tokenizer", options.tokenizer]
                subprocess.run(list(map(str, made)), check=True)
                partial.rename(path)
            yield f"{shape} {kind.upper()}", path


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wootz", required=True, help="the wootz binary (bench_serve.sh gives it)")
    parser.add_argument("--llama-server", help="the llama-server binary (likewise); empty measures Wootz alone")
    parser.add_argument("--models", type=Path, required=True, help="folder of the models (likewise)")
    parser.add_argument("--loads", nargs="+", default=LOADS, choices=LOADS)
    parser.add_argument("--shapes", nargs="+", default=[*SHAPES, "tales-46m"], choices=[*SHAPES, "tales-46m", "tiny"])
    parser.add_argument("--types", nargs="+", default=TYPES, metavar="TYPE", help=f"default: {' '.join(TYPES)}")
    parser.add_argument("--tokenizer", default=SHIPPED, help="a GGUF file whose tokenizer the made models get")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--each", type=int, default=2, help="requests for each stream in a round")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--output", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--shared", type=int, default=1000, help="tokens of the shared prefix")
    parser.add_argument("--long", type=int, default=8000, help="tokens of the long prompt")
    parser.add_argument("--beside-streams", type=int, default=4, help="streams beside the long prompt")
    parser.add_argument("--beside-output", type=int, default=4096,
                        help="the most tokens of their answers, which end when the long prompt is answered")
    parser.add_argument("--wootz-arguments", type=shlex.split, default=[], metavar="=ARGS",
                        help='more for wootz serve, as one word: --wootz-arguments="--target-latency 100"')
    parser.add_argument("--llama-arguments", type=shlex.split, default=[], metavar="=ARGS",
                        help="more for llama-server, likewise")
    parser.add_argument("--raw", type=Path, help="also write every figure here, as JSON")
    return parser.parse_args()


def main():
    options = parse()
    measured = []
    for load in options.loads:
        # The shipped model holds 1,024 tokens, which is too short for a long prefix or prompt.
        models = [(name, path) for name, path in models_of(options) if load == "streams" or path != SHIPPED]
        for name, report in {"streams": streams, "prefix": prefix, "beside": beside}[load](options, models):
            measured.append({"load": load, "model": name, "report": report})
            if options.raw:
                options.raw.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
