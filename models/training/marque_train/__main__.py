"""The steps of the recipe, each a command. `all` runs them in order."""

import argparse
import hashlib
import json
import pathlib
import platform

from . import episodes, sets
from .tokenizer import Tokenizer, learn

HERE = pathlib.Path(__file__).resolve().parent.parent
# How many episodes the vocabulary is learned from, and of which size it is.
VOCABULARY_EPISODES, VOCABULARY = 20_000, 2048
RECIPE = ("grammar", "words", "entities", "phrases", "idle", "everyday", "workaday", "tools", "author", "episodes", "tokenizer", "packing", "model", "train")


def vocabulary(args):
    """Learns the tokenizer."""
    writer = episodes.Writer(args.seed * 7919 + 1)
    texts = ("\n".join(text for text, special, _ in episodes.render(writer.episode()) if not special) for _ in range(VOCABULARY_EPISODES))
    tokenizer = Tokenizer(learn(texts, VOCABULARY))
    args.folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(args.folder / "tokenizer.json")
    print(f"vocabulary: {len(tokenizer.tokens)} tokens, {len(tokenizer.merges)} merges, {tokenizer.digest()}")


def train(args):
    """Trains, or goes on training."""
    from .model import Shape
    from .train import Run

    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    shape = Shape(width=args.width, layers=args.layers, heads=args.heads, inner=args.inner)
    run = Run(shape, tokenizer, args.folder, args.seed, int(args.tokens * 1e6), threads=args.threads)
    count = sum(parameter.numel() for parameter in run.network.parameters())
    print(f"parameters: {count}" + (", taken up again" if run.resume() else ""), flush=True)
    run.go(args.minutes or float("inf"))


def export(args):
    """Writes the GGUF files and the record beside them."""
    from . import export as gguf_file
    from .train import load, summary

    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    network, facts = load(args.folder, tokenizer)
    hashes = {}
    for form in ("Q8_0", "F16", "Q4_0"):
        path = args.folder / f"{args.name}-{form}.gguf"
        hashes[path.name] = gguf_file.write(path, network, tokenizer, form, args.name, summary(facts))
        print(f"{hashes[path.name]}  {path}  {path.stat().st_size} bytes")
    record = {
        "shape": network.shape.json(), "vocabulary": tokenizer.digest(), "files": hashes, "recipe": recipe(),
        "sample": sample(facts["seed"]), "machine": platform.processor() or platform.machine(), **facts,
    }
    (args.folder / "record.json").write_text(json.dumps(record, indent=1) + "\n")


def recipe():
    """One hash of everything that decides what the model becomes."""
    digest = hashlib.sha256()
    for name in RECIPE:
        digest.update((HERE / "marque_train" / f"{name}.py").read_bytes())
    return digest.hexdigest()


def sample(seed):
    """A hash of the first thousand episodes that are trained on."""
    writer = episodes.Writer(seed * 1_000_003)
    digest = hashlib.sha256()
    for _ in range(1000):
        digest.update("".join(text for text, _, _ in episodes.render(writer.episode())).encode())
    return digest.hexdigest()


def show(args):
    """Prints some episodes."""
    writer = episodes.Writer(args.seed, args.evaluation)
    for _ in range(args.count):
        print("".join(text for text, _, _ in episodes.render(writer.episode(args.kind))), "\n")


def write_sets(args):
    """Writes the evaluation sets as lines of JSON, for the example `evaluate` of marque-models."""
    sets.write(args.folder / "sets", args.seed)


def tokens(args):
    """Writes the ids of the tests' texts anew, after the vocabulary has changed."""
    path = HERE / "tests" / "tokens.json"
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    texts = [item["text"] for item in json.loads(path.read_text(encoding="utf-8"))["texts"]]
    fixture = {
        "vocabulary": tokenizer.digest(), "merges": tokenizer.merges,
        "texts": [{"text": text, "ids": tokenizer.encode(text)} for text in texts],
    }
    path.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def everything(args):
    """All steps."""
    if not (args.folder / "tokenizer.json").exists():
        vocabulary(args)
    train(args)
    export(args)
    write_sets(args)


def main():
    parser = argparse.ArgumentParser(prog="marque_train", description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE / "build", help="where everything is written")
    parser.add_argument("--seed", type=int, default=20261126)
    steps = parser.add_subparsers(required=True)
    for name, step in dict(vocabulary=vocabulary, train=train, export=export, sets=write_sets, tokens=tokens, all=everything, show=show).items():
        command = steps.add_parser(name, help=step.__doc__)
        command.set_defaults(step=step)
        if name in ("train", "all"):
            command.add_argument("--tokens", type=float, default=34.0, help="millions of tokens to train on")
            command.add_argument("--minutes", type=float, help="stop after so long; the same command goes on later")
            command.add_argument("--threads", type=int, default=1)
            command.add_argument("--width", type=int, default=160)
            command.add_argument("--layers", type=int, default=6)
            command.add_argument("--heads", type=int, default=5)
            command.add_argument("--inner", type=int, default=448)
        if name in ("export", "all"):
            command.add_argument("--name", default="tiny-agent")
        if name == "show":
            command.add_argument("--kind")
            command.add_argument("--count", type=int, default=5)
            command.add_argument("--evaluation", action="store_true")
    args = parser.parse_args()
    args.step(args)


main()
