"""Sets sheets into PDF, one after the other: a program of its own, run by pdf.py. It imports nothing of ours.

A request is the length of a JSON object and the object: the sheet, the structured invoice to attach (or ""), and the
seconds of its date. The answer is the length of the PDF and the PDF. It ends when there are no more requests, and at
the first that cannot be set.
"""

import json
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import typst

LENGTH = struct.Struct(">I")
HERE = Path(__file__).parent


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[HERE / "fonts"])
    compiler = typst.Compiler(HERE / "invoice.typ", root=HERE, font_paths=fonts)
    while head := requests.read(LENGTH.size):
        request = json.loads(requests.read(*LENGTH.unpack(head)))
        document = compiler.compile(
            format="pdf",
            sys_inputs={"sheet": request["sheet"], "invoice": request["invoice"]},
            pdf_standards="a-3b",
            timestamp=request["at"],
        )
        assert isinstance(document, bytes)
        answers.write(LENGTH.pack(len(document)) + document)
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
