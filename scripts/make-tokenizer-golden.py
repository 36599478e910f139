"""Writes tokenizer.json and sentencepiece.jsonl beside test/golden/vocabulary/spiece.model: make-tokenizer-golden.py FOLDER.

The golden lines are made without this project's code: Python prepares the text, spm_encode of the real library splits it.
"""

import base64
import json
import struct
import subprocess
import sys
import unicodedata

folder = sys.argv[1]
model_path = f"{folder}/spiece.model"


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif tag & 7 == 5:
            value, at = struct.unpack("<f", data[at : at + 4])[0], at + 4
        else:
            value, at = varint(data, at)
        yield tag >> 3, value


NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
pieces, charsmap = [], b""
for number, value in fields(open(model_path, "rb").read()):
    if number == 1:
        piece = dict(fields(value))
        pieces.append((piece[1].decode(), piece.get(2, 0.0), piece.get(3, NORMAL)))
    elif number == 3:
        charsmap = dict(fields(value))[2]
ids = {piece: i for i, (piece, _, _) in enumerate(pieces)}


# tokenizer.json as the converter of transformers writes it, user-defined symbols as added tokens and all.
def is_number(piece):
    return len(piece) >= 2 and piece[-1] == "," and piece[-2].isdigit()


def added(i, piece, special, lstrip=False):
    flags = {"single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": False, "special": special}
    return {"id": i, "content": piece, **flags}


def special(name, type_id):
    return {"SpecialToken": {"id": name, "type_id": type_id}}


tokenizer = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
        added(i, p, t != USER_DEFINED, p == "[MASK]") for i, (p, _, t) in enumerate(pieces) if t != NORMAL
    ],
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
            {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
            {"type": "NFKD"},
            {"type": "StripAccents"},
            {"type": "Lowercase"},
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ],
    },
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [special("[CLS]", 0), {"Sequence": {"id": "A", "type_id": 0}}, special("[SEP]", 0)],
        "pair": [special("[CLS]", 0), {"Sequence": {"id": "A", "type_id": 0}}, special("[SEP]", 0),
                 {"Sequence": {"id": "B", "type_id": 1}}, special("[SEP]", 1)],
        "special_tokens": {p: {"id": p, "ids": [ids[p]], "tokens": [p]} for p in ("[CLS]", "[SEP]")},
    },
    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    "model": {
        "type": "Unigram",
        "unk_id": 1,
        "vocab": [[p, s - 100 if is_number(p) else s] for p, s, _ in pieces],
        "byte_fallback": False,
    },
}
with open(f"{folder}/tokenizer.json", "w", encoding="utf8") as file:
    json.dump(tokenizer, file, ensure_ascii=False)
    file.write("\n")

TEXTS = [
    "", " ", "a", "Call me Ishmael.", "Some years ago--never mind how long precisely--", "  leading and   trailing  ",
    "tabs\tand\nnewlines\r\n\x0b\x1c\x85\u2028\u3000mixed", "no\u00a0break\u202fspaces", "zero\u200bwidth\u200cjoin\u200der\ufeff",
    "``Whale'' and ''more`` and '''three'''", "`one' quote", "In 1851, the ship; 1,851, 12,345,678, and x,", "5,", "18,51,", "a1851,b",
    "① , ②, ³, 𝟡, ９，", "٣, ४,", "(hello)", "( hello )", "£3,50 – 4.5 €", '"quoted" - (dash-ed).', "...---...", "xxxxxxxxxxxxxxxx",
    "zzzzzzz oooooooo eeeeeeeeeeeee ttttttttttt", "Crème brûlée, naïve façade, Ångström", "e\u0301te\u0301 o\u0308", "\u0301alone",
    "İstanbul ISTANBUL ıstanbul", "ΟΔΥΣΣΕΥΣ ΟΔΟΣ. ΣΑΣ’ς Σ ΑΣ\u0301 ΑΣ\u0301Α", "𝚺𝚺 α𝚺", "straße STRASSE ẞ", "ﬁne oﬀice ﷺ ½ № ™ ℃ ㎏",
    "한국어 각각 ᄒ\u1161ᆫ", "鯨 白鯨 鯨鯨鯨", "ﾓﾋﾞｰ・ﾃﾞｨｯｸ ガギグ", "👍 👍🏽 👨‍👩‍👧‍👦 🇫🇷", "two 😀😁 unknown", "mixed 鯨whale鯨 a鯨b",
    "[CLS] [SEP] [MASK] <pad> <unk> as text", "▁ metaspace ▁▁ in▁side▁", "soft\u00adhyphen", "\ufffd replaced", "a\u0315b\u0345c",
    "The whale's 'jaw' wasn't; they'd we've!", "e-mail: ishmael@pequod.example, http://pequod.example/a?b=c&d=1,000,",
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u0645\u0631\u062d\u0628\u0627 नमस्ते สวัสดี", "q" * 300, "9" * 60 + ",", "whale " * 200,
    "\u0f77\u0f73 \u0344 \u1e9b\u0323", "\u2000\u2001a\u200a", "\ud55c\uae00,1851,\ud55c", "1851,1852,1853,", "in 1851,in 1852,",
]  # fmt: skip


def prepare(text, cased):
    text = " ".join(text.strip().split()).replace("``", '"').replace("''", '"')
    if cased:
        return text
    text = unicodedata.normalize("NFKD", text)
    return "".join(c for c in text if not unicodedata.combining(c)).lower()


def encode(texts):
    command = ["spm_encode", f"--model={model_path}", "--output_format=piece"]
    result = subprocess.run(command, input="\n".join(texts) + "\n", capture_output=True, encoding="utf8", check=True)
    lines = result.stdout.split("\n")[:-1]
    assert len(lines) == len(texts)
    return [line.split(" ") if line else [] for line in lines]


def split_numbers(line):
    out = []
    for piece in line:
        if not is_number(piece):
            out.append(piece)
            continue
        parts = encode([piece[:-1].replace("▁", "")])[0]
        if piece[0] != "▁" and parts[0][0] == "▁":
            parts = parts[1:] if len(parts[0]) == 1 else [parts[0][1:]] + parts[1:]
        out += parts + [","]
    return out


lower, cased = ([split_numbers(line) for line in encode([prepare(t, c) for t in TEXTS])] for c in (False, True))
with open(f"{folder}/sentencepiece.jsonl", "w", encoding="utf8") as file:
    for text, a, b in zip(TEXTS, lower, cased):
        line = {"text": text, "pieces": a, "ids": [ids.get(p, 1) for p in a]}
        line |= {"cased_pieces": b, "cased_ids": [ids.get(p, 1) for p in b]}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
