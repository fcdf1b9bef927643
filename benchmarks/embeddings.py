"""Embeddings against the loop that people write, the machine's multiplications and plain files.

`embeddings-loop`: sound through a randomly weighted network of XLS-R-300M's size (24 blocks, width
1024, stable layer norm), all 25 layers in one NetCDF file, against plain transformers with one pass
a layer and one .npy file each; the loop runs a few layers and is extrapolated.
`embeddings-limit`: floating-point operations of the transformer blocks over their time, against the
machine's rate in the blocks' own matrix product (sgemm); and the share of the wall time that is not
the network's.
`embeddings-netcdf`: the file that holds all layers and reading one of them, against raw float32.

Each measurement runs in a process of its own. HIGHGAMMA_BENCH_THREADS sets the threads (default 2),
HIGHGAMMA_BENCH_SCALE shortens the sound (default 1: 60 s).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

THREADS = int(os.environ.get("HIGHGAMMA_BENCH_THREADS", "2"))
SECONDS = 60.0 * float(os.environ.get("HIGHGAMMA_BENCH_SCALE", "1"))
RATE = 16000
BLOCKS, WIDTH, INNER, HEADS = 24, 1024, 4096, 16
WINDOW, CONTEXT = 20.0, 2.0
LAYERS_TIMED = (8, 16)
LAYER_READ = 12


def sound() -> np.ndarray:
    """Noise whose loudness comes and goes like syllables, float32 at 16 kHz."""
    rng = np.random.default_rng(0)
    n = round(SECONDS * RATE)
    swell = 1 + np.sin(2 * np.pi * 4 * np.arange(n) / RATE)
    return (0.05 * swell * rng.standard_normal(n)).astype(np.float32)


def configuration() -> Any:
    """Sizes of XLS-R 300M (arXiv 2111.09296; torchaudio, wav2vec2_xlsr_300m)."""
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
        conv_bias=True,
    )


def held() -> float:
    """Peak memory of this process, MiB."""
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def network(folder: Path) -> Any:
    """The network as the stage loads it, its weights drawn from a seed."""
    from highgamma.embeddings.pretrained import load_network

    configuration().save_pretrained(folder)
    entry = {"kind": "speech", "layers": BLOCKS, "width": WIDTH, "untrained": True, "seed": 0}
    return load_network(entry, folder, device="cpu", threads=THREADS)


def sgemm_rate() -> float:
    """Operations per second of the blocks' largest product, the best of several."""
    import torch

    a, b = torch.randn(1000, WIDTH), torch.randn(WIDTH, INNER)
    best = np.inf
    for _ in range(12):
        began = time.perf_counter()
        for _ in range(5):
            torch.mm(a, b)
        best = min(best, (time.perf_counter() - began) / 5)
    return 2 * 1000 * WIDTH * INNER / best


def block_operations(frames: int) -> float:
    """Operations of one block: four projections, two of the feed-forward part, and attention."""
    return 2.0 * frames * (4 * WIDTH**2 + 2 * WIDTH * INNER) + 4.0 * frames**2 * WIDTH


# ---- one measurement each, run in a process of its own


def measure_ours(folder: Path) -> dict[str, Any]:
    """All layers to disk, with the time inside the network and inside its blocks."""
    import torch

    from highgamma.embeddings import speech, writing
    from highgamma.embeddings.stream import Audio, Words

    ready = network(folder)
    samples = sound()
    inside = {"network": 0.0, "blocks": 0.0, "operations": 0.0}
    timed(ready.module, inside, "network")
    for block in ready.module.encoder.layers:
        timed(block, inside, "blocks")
    speech.hear(ready, speech.ear_of(ready), samples[None, :RATE])  # a warm-up
    inside.update(dict.fromkeys(inside, 0.0))
    before = sgemm_rate()
    model = {"context": CONTEXT, "window": WINDOW}
    none = np.empty(0)
    words = Words((), none.astype(np.int64), none, none, none, none)
    began = time.perf_counter()
    made = speech.speech_embeddings(
        model, audio=Audio(samples, RATE, (0,), (0,), (0.0,)), words=words, network=ready
    )
    writing.write_embeddings(
        made, folder / "ours.nc", parameters={}, attributes={}, writers=int(THREADS > 1)
    )
    seconds = time.perf_counter() - began
    mib, inside = held(), dict(inside)  # later passes are not counted
    # The machine is shared and its clock varies: the rate before and after, their mean.
    rate = (before + sgemm_rate()) / 2
    whole = speech.normalised(samples)
    first, stop, _, upto = speech.windows(
        len(samples), speech.ear_of(ready), window=WINDOW, context=CONTEXT
    )[0]
    with torch.no_grad():
        plain = ready.module(torch.from_numpy(whole[None, first:stop]), output_hidden_states=True)
    expected = plain.hidden_states[LAYER_READ][0, :upto].numpy()
    from highgamma import store

    with store.open_dataset(folder / "ours.nc") as stored:
        got = stored["embedding"].sel(layer=LAYER_READ)[:upto].to_numpy()
    return {
        "s": seconds,
        "mib": mib,
        "outside": 1 - inside["network"] / seconds,
        "in_blocks_s": inside["blocks"],
        "rate": inside["operations"] / inside["blocks"],
        "sgemm": rate,
        "difference": float(np.abs(got - expected).max() / np.abs(expected).max()),
    }


def timed(module: Any, inside: dict[str, float], name: str) -> None:
    """Add a module's time, and a block's operations, to `inside` at every pass."""
    began: list[float] = []

    def enter(*_: Any) -> None:
        began.append(time.perf_counter())

    def leave(_module: Any, args: Any, _out: Any) -> None:
        inside[name] += time.perf_counter() - began.pop()
        if name == "blocks":
            inside["operations"] += args[0].shape[0] * block_operations(args[0].shape[1])

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)


def measure_loop(folder: Path) -> dict[str, Any]:
    """What people write: for each layer a pass over the whole sound, and a file."""
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(configuration()).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    samples = sound()
    with torch.no_grad():
        model(torch.from_numpy(samples[None, :RATE]))
    passes = []
    for layer in LAYERS_TIMED:
        began = time.perf_counter()
        inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            out = model(**inputs, output_hidden_states=True)
        np.save(folder / f"layer-{layer}.npy", out.hidden_states[layer][0].numpy())
        passes.append(time.perf_counter() - began)
    # The fastest stands for all, so that other work on the machine does not count against it.
    return {"s": min(passes) * (BLOCKS + 1), "mib": held(), "timed": len(LAYERS_TIMED)}


def measure_read_ours(folder: Path) -> dict[str, Any]:
    from highgamma import store

    times = []
    for _ in range(3):
        began = time.perf_counter()
        with store.open_dataset(folder / "ours.nc") as stored:
            values = stored["embedding"].sel(layer=LAYER_READ).to_numpy()
        times.append(time.perf_counter() - began)
    np.save(folder / "one.npy", values)
    return {"s": min(times), "mib": (folder / "ours.nc").stat().st_size / 2**20}


def measure_read_raw(folder: Path) -> dict[str, Any]:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        np.load(folder / f"layer-{LAYERS_TIMED[0]}.npy", allow_pickle=False)
        times.append(time.perf_counter() - began)
    size = (folder / f"layer-{LAYERS_TIMED[0]}.npy").stat().st_size / 2**20
    return {"s": min(times), "mib": size * (BLOCKS + 1)}


MEASUREMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    name[8:]: function for name, function in list(globals().items()) if name[:8] == "measure_"
}


def apart(name: str, folder: str) -> dict[str, Any]:
    """One measurement in a fresh process."""
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS)
    )
    done = subprocess.run(
        [sys.executable, __file__, name, folder],
        env={**os.environ, **limits, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ---- the comparisons


def results() -> list[dict[str, Any]]:
    """All comparisons of this file, which share one pass over the sound."""
    with tempfile.TemporaryDirectory() as folder:
        ours, loop = apart("ours", folder), apart("loop", folder)
        stored, raw = apart("read_ours", folder), apart("read_raw", folder)
    return [
        {
            "name": "embeddings-loop",
            "against": f"transformers, one pass a layer; {loop['timed']} of {BLOCKS + 1} timed",
            **_sides(ours, loop),
            "agreement": f"layer {LAYER_READ} within {ours['difference']:.1e} of the largest "
            "value of a plain pass over the same window",
            "seconds": SECONDS,
            "threads": THREADS,
        },
        {
            "name": "embeddings-limit",
            "against": f"sgemm at {ours['sgemm'] / 1e9:.0f} Gflop/s",
            "ratio": round(ours["rate"] / ours["sgemm"], 3),
            "ours_s": round(ours["in_blocks_s"], 3),
            "theirs_s": round(ours["in_blocks_s"] * ours["rate"] / ours["sgemm"], 3),
            "ours_mib": round(ours["mib"]),
            "theirs_mib": None,
            "agreement": f"{ours['outside']:.1%} of the wall time outside the network",
            "outside": round(ours["outside"], 4),
            "threads": THREADS,
        },
        {
            "name": "embeddings-netcdf",
            "against": "raw float32 .npy: reading one layer; size of all layers",
            **_sides(stored, raw),
            "size_ratio": round(stored["mib"] / raw["mib"], 3),
            "agreement": "4 significant digits",
        },
    ]


def _sides(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    return {
        "ratio": round(theirs["s"] / ours["s"], 3),
        "ours_s": round(ours["s"], 4),
        "theirs_s": round(theirs["s"], 4),
        "ours_mib": round(ours["mib"]),
        "theirs_mib": round(theirs["mib"]),
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, folder]:
            print(json.dumps(MEASUREMENTS[name](Path(folder))))
        case _:
            print(json.dumps(results(), indent=1))
