"""ALBERT-base in PyTorch beside the CUDA backend: the same shapes, in one run, on one GPU.

    python3 bench/gpu/compare.py build/gpu/albert_test [mode of torch.compile, max-autotune by default]

Times an ALBERT of torch.nn modules with scaled_dot_product_attention, eager and compiled, and Hugging Face's where
transformers is installed, and `albert_test --bench cuda` in turn with them; a line for each case, medians of milliseconds. Random
weights, bf16, no dropout, tokens of full length. The first product's fold, ragged batches and selected rows, in which
the backend would gain, are left out of the cases.
"""

import json
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional

HIDDEN, INNER, HEADS, LAYERS, VOCABULARY, EMBEDDING = 768, 3072, 12, 12, 30000, 128
SHAPES = [(1, 128), (8, 128), (64, 128), (256, 128), (64, 512)]
TRAINING_SHAPES = [(8, 128), (64, 128), (256, 128)]
WARM, RUNS, ROUNDS = 5, 15, 3


class Albert(nn.Module):
    """Embeddings, one block applied LAYERS times, and the logits of the masked-language head."""

    def __init__(self):
        super().__init__()
        self.word = nn.Embedding(VOCABULARY, EMBEDDING)
        self.position = nn.Embedding(512, EMBEDDING)
        self.embedding_norm = nn.LayerNorm(EMBEDDING, eps=1e-12)
        self.map = nn.Linear(EMBEDDING, HIDDEN)
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.output = nn.Linear(HIDDEN, HIDDEN)
        self.attention_norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.up = nn.Linear(HIDDEN, INNER)
        self.down = nn.Linear(INNER, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.transform = nn.Linear(HIDDEN, EMBEDDING)
        self.transform_norm = nn.LayerNorm(EMBEDDING, eps=1e-12)

    def forward(self, ids):
        batch, length = ids.shape
        positions = torch.arange(length, device=ids.device)
        x = self.map(self.embedding_norm(self.word(ids) + self.position(positions)))
        for _ in range(LAYERS):
            qkv = self.qkv(x).view(batch, length, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
            context = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
            context = context.transpose(1, 2).reshape(batch, length, HIDDEN)
            x = self.attention_norm(x + self.output(context))
            x = self.norm(x + self.down(functional.gelu(self.up(x), approximate="tanh")))
        return x

    def loss(self, ids, masked):
        rows = self(ids).view(-1, HIDDEN)[masked]
        y = self.transform_norm(functional.gelu(self.transform(rows), approximate="tanh"))
        return functional.cross_entropy((y @ self.word.weight.t()).float(), ids.view(-1)[masked])


def median_ms(body):
    for _ in range(WARM):
        body()
    times = []
    for _ in range(RUNS):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        body()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def forward(model, ids):
    def body():
        with torch.inference_mode():
            model(ids)

    return body


def training(model, ids):
    masked = torch.arange(ids.numel(), device=ids.device)[3::7]

    def body():
        model.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model.loss(ids, masked)
        loss.backward()

    return body


def hugging_face():
    try:
        from transformers import AlbertConfig, AlbertModel
    except ImportError:
        return None
    config = AlbertConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_attention_heads=HEADS,
        num_hidden_layers=LAYERS, embedding_size=EMBEDDING, attn_implementation="sdpa",
    )
    return AlbertModel(config).cuda().bfloat16().eval()


def ours(program, case):
    command = [program, "--bench", "cuda", "--dtype", "bf16", "--case", case]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return next(line["ms"] for line in lines if line.get("case") == case)


def main(program, mode="max-autotune"):
    print(torch.cuda.get_device_name(), "torch", torch.__version__, file=sys.stderr)
    plain = Albert().cuda().bfloat16().eval()
    trained = Albert().cuda()
    compiled, compiled_training = torch.compile(plain, mode=mode, dynamic=False), torch.compile(trained)
    compiled_training.loss = torch.compile(trained.loss, dynamic=False)
    transformer = hugging_face()
    cases = []
    for batch, length in SHAPES:
        ids = torch.randint(0, VOCABULARY, (batch, length), device="cuda")
        rivals = {"eager": plain, "compiled": compiled, "transformers": transformer}
        bodies = {name: forward(model, ids) for name, model in rivals.items() if model is not None}
        cases.append((f"encoder {batch}x{length}", bodies))
    for batch, length in TRAINING_SHAPES:
        ids = torch.randint(0, VOCABULARY, (batch, length), device="cuda")
        rivals = {"eager": trained, "compiled": compiled_training}
        cases.append((f"training {batch}x{length}", {name: training(model, ids) for name, model in rivals.items()}))

    for case, bodies in cases:
        times = {"albert-native": [], **{name: [] for name in bodies}}
        for _ in range(ROUNDS):
            times["albert-native"].append(ours(program, case))
            for name, body in bodies.items():
                times[name].append(median_ms(body))
        row = {name: statistics.median(values) for name, values in times.items()}
        best = min(ms for name, ms in row.items() if name != "albert-native")
        ratio = round(best / row["albert-native"], 2)
        row = {name: round(ms, 3) for name, ms in row.items()}
        print(json.dumps({"case": case, "ms": row, "best_rival_over_ours": ratio}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
