#!/usr/bin/env python3
"""Writes test/golden/torch: one tiny ALBERT state dictionary in each container torch.save has used, without torch.

    python3 scripts/make-torch-golden.py [folder]

zip.bin        zip archive as torch 1.6 and newer write it: data descriptors, 64-byte alignment, a buffer, a tied decoder that
               shares its storage, and one weight stored transposed
legacy.bin     the pickle stream of older versions, with the names of lonePatient/albert_pytorch under DataParallel
lightning.bin  a training checkpoint: nested 'state_dict', other state beside it, bfloat16 weights, Zip64 records
expect.safetensors   the values, as Hugging Face names them
"""
import collections
import io
import json
import os
import pickle
import struct
import sys
import types
import zlib

torch = types.ModuleType("torch")
torch._utils = types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": torch._utils})

TYPES = {"Float": ("f", 4), "Long": ("q", 8), "BFloat16": ("H", 2)}
for type_name in TYPES:
    setattr(torch, type_name + "Storage", type(type_name + "Storage", (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*arguments):
    raise NotImplementedError("only its name is written")


_rebuild_tensor_v2.__module__ = "torch._utils"
torch._utils._rebuild_tensor_v2 = _rebuild_tensor_v2


class Storage:
    def __init__(self, kind, values):
        self.kind, self.values = kind, values

    def raw(self):
        return struct.pack("<%d%s" % (len(self.values), TYPES[self.kind][0]), *self.values)


class Tensor:
    def __init__(self, storage, size, stride=None, offset=0):
        self.storage, self.size, self.offset = storage, tuple(size), offset
        self.stride = tuple(stride) if stride else contiguous(size)

    def __reduce_ex__(self, protocol):
        hooks = collections.OrderedDict()
        return torch._utils._rebuild_tensor_v2, (self.storage, self.offset, self.size, self.stride, False, hooks)


def contiguous(size):
    stride = [1] * len(size)
    for i in range(len(size) - 2, -1, -1):
        stride[i] = stride[i + 1] * size[i + 1]
    return tuple(stride)


class Pickler(pickle.Pickler):
    """Storages leave the pickle through persistent ids, as torch.serialization does it."""

    def __init__(self, out, legacy):
        super().__init__(out, protocol=2)
        self.legacy, self.storages = legacy, {}

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        if id(thing) not in self.storages:
            key = str(94000000000000 + 64 * len(self.storages)) if self.legacy else str(len(self.storages))
            self.storages[id(thing)] = (key, thing)
        key = self.storages[id(thing)][0]
        found = ("storage", getattr(torch, thing.kind + "Storage"), key, "cpu", len(thing.values))
        return found + (None,) if self.legacy else found


def save_legacy(path, thing):
    out = io.BytesIO()
    sizes = {"short": 2, "int": 4, "long": 4}
    for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}):
        pickle.dump(value, out, protocol=2)
    pickler = Pickler(out, True)
    pickler.dump(thing)
    storages = sorted(pickler.storages.values(), key=lambda entry: entry[0])
    pickle.dump([key for key, _ in storages], out, protocol=2)
    for _, storage in storages:
        out.write(struct.pack("<q", len(storage.values)) + storage.raw())
    with open(path, "wb") as file:
        file.write(out.getvalue())


def save_zip(path, thing, zip64):
    out = io.BytesIO()
    pickler = Pickler(out, False)
    pickler.dump(thing)
    entries = [("archive/data.pkl", out.getvalue()), ("archive/byteorder", b"little")]
    entries += [("archive/data/" + key, storage.raw()) for key, storage in pickler.storages.values()]
    entries += [("archive/version", b"3\n")]
    body, directory = b"", b""
    for name, content in entries:
        local, name, crc = len(body), name.encode(), zlib.crc32(content)
        padding = -(local + 30 + len(name) + 4) % 64
        extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        body += struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, 0x0808, 0, 0, 0, 0, 0, 0, len(name), len(extra)) + name + extra
        body += content + struct.pack("<IIII", 0x08074B50, crc, len(content), len(content))
        sizes, where, extra = (len(content), len(content)), local, b""
        if zip64:
            extra = struct.pack("<HHQQQ", 1, 24, *sizes, where)
            sizes, where = (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, 0x0808, 0, 0, 0, crc, *sizes, len(name), len(extra),
                                 0, 0, 0, 0, where) + name + extra
    count, start = len(entries), len(body)
    out = body + directory
    if zip64:
        out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, len(directory), start)
        out += struct.pack("<IIQI", 0x07064B50, 0, start + len(directory), 1)
        count, start = 0xFFFF, 0xFFFFFFFF
    out += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), start, 0)
    with open(path, "wb") as file:
        file.write(out)


def values(index, count):
    """Multiples of 1/64 below 2: exact in bfloat16 and easy to read in a debugger."""
    return [((index * 37 + i * 11) % 127 - 63) / 64 for i in range(count)]


def parameters(vocabulary=11, embedding=4, hidden=6, inner=8, positions=5):
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0."
    shapes = [("albert.embeddings.word_embeddings.weight", (vocabulary, embedding)),
              ("albert.embeddings.position_embeddings.weight", (positions, embedding)),
              ("albert.embeddings.token_type_embeddings.weight", (2, embedding)),
              ("albert.embeddings.LayerNorm.weight", (embedding,)), ("albert.embeddings.LayerNorm.bias", (embedding,)),
              ("albert.encoder.embedding_hidden_mapping_in.weight", (hidden, embedding)),
              ("albert.encoder.embedding_hidden_mapping_in.bias", (hidden,)),
              (layer + "full_layer_layer_norm.weight", (hidden,)), (layer + "full_layer_layer_norm.bias", (hidden,))]
    for part in ("query", "key", "value", "dense"):
        shapes += [(layer + "attention." + part + ".weight", (hidden, hidden)), (layer + "attention." + part + ".bias", (hidden,))]
    shapes += [(layer + "attention.LayerNorm.weight", (hidden,)), (layer + "attention.LayerNorm.bias", (hidden,)),
               (layer + "ffn.weight", (inner, hidden)), (layer + "ffn.bias", (inner,)),
               (layer + "ffn_output.weight", (hidden, inner)), (layer + "ffn_output.bias", (hidden,)),
               ("predictions.bias", (vocabulary,)),
               ("predictions.LayerNorm.weight", (embedding,)), ("predictions.LayerNorm.bias", (embedding,)),
               ("predictions.dense.weight", (embedding, hidden)), ("predictions.dense.bias", (embedding,))]
    table = collections.OrderedDict()
    for index, (name, shape) in enumerate(shapes):
        count = 1
        for extent in shape:
            count *= extent
        table[name] = (shape, values(index, count))
    return table


LONE_PATIENT = [  # longer names before their beginnings
    ("albert.encoder.albert_layer_groups.0.albert_layers.0.", "bert.encoder.transformer.group.0.inner_group.0."),
    ("albert.", "bert."),
    ("predictions.bias", "cls.predictions.bias"),
    ("predictions.", "cls.predictions.transform."),
]
LONE_PATIENT_BLOCK = [
    ("attention.dense.", "attention.output.dense."), ("attention.LayerNorm.", "LayerNorm."),
    ("attention.", "attention.self."), ("full_layer_layer_norm.", "LayerNorm_1."),
    ("ffn_output.", "ffn.intermediate.output.dense."), ("ffn.", "ffn.intermediate.dense."),
]


def rename(name, table):
    for old, new in table:
        if name.startswith(old):
            return new, name[len(old):]
    return "", name


def lone_patient(name):
    """The name the same parameter has in lonePatient/albert_pytorch, under DataParallel, with TF1's LayerNorm names."""
    start, rest = rename(name, LONE_PATIENT)
    middle, rest = rename(rest, LONE_PATIENT_BLOCK if "inner_group" in start else [])
    name = "module." + start + middle + rest
    if "LayerNorm" in name:
        name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
    return name


def bfloat16(numbers):
    return [struct.unpack("<I", struct.pack("<f", number))[0] >> 16 for number in numbers]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "test", "golden", "torch")
    os.makedirs(folder, exist_ok=True)
    table = parameters()

    modern = collections.OrderedDict()
    for name, (shape, numbers) in table.items():
        modern[name] = Tensor(Storage("Float", numbers), shape)
    ffn = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    rows, columns = table[ffn][0]
    transposed = [table[ffn][1][row * columns + column] for column in range(columns) for row in range(rows)]
    modern[ffn] = Tensor(Storage("Float", [9.0] + transposed), (rows, columns), (1, rows), 1)
    modern["albert.embeddings.position_ids"] = Tensor(Storage("Long", list(range(5))), (1, 5))
    word = modern["albert.embeddings.word_embeddings.weight"]
    modern["predictions.decoder.weight"] = Tensor(word.storage, word.size)
    modern._metadata = collections.OrderedDict([("", {"version": 1})])
    save_zip(os.path.join(folder, "zip.bin"), modern, False)

    old = collections.OrderedDict((lone_patient(name), Tensor(Storage("Float", numbers), shape))
                                  for name, (shape, numbers) in table.items())
    save_legacy(os.path.join(folder, "legacy.bin"), old)

    training = {"epoch": 3, "best": 0.5, "callbacks": {}, "hparams": {"lr": 1e-5, "name": "tiny", "tags": ["a"], "none": None},
                "optimizer": {"state": {0: {"exp_avg": Tensor(Storage("Float", [0.0, 1.0]), (2,))}}},
                "state_dict": collections.OrderedDict(
                    ("model." + name, Tensor(Storage("BFloat16", bfloat16(numbers)), shape))
                    for name, (shape, numbers) in table.items())}
    save_zip(os.path.join(folder, "lightning.bin"), training, True)

    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, numbers) in table.items():
        raw = struct.pack("<%df" % len(numbers), *numbers)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "expect.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


main()
