"""The image of chapter 07: a program of some 200 bytes for two processors, and a card that it reads out.

::

    publish(registry)           # library/postcard:latest, an index with an image for each of two processors
                                # library/postcard:winter, the same program with another card

    remove_postcards()          # removes what an earlier visit to the chapter has pulled to this machine

It depends on nothing: the program is machine code, written byte by byte below, so the files, the archives and the image
ID are the same on every machine.  (Another zlib may compress the layers to other bytes.)
"""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
import zlib

from minict.engine.distribution import manifest as documents
from minict.engine.images import image as images_here

# open("/card"), read up to 4096 bytes to the stack, write them to 1, exit(0); a system call's number is in rax and x8.
_AMD64 = bytes.fromhex(
    "488d3d32000000 31f6 b802000000 0f05"  # lea rdi, [rip + 50]; xor esi, esi; mov eax, 2; syscall: open
    "89c7 4881ec00100000 4889e6 ba00100000 31c0 0f05"  # mov edi, eax; sub rsp, 4096; mov rsi, rsp; …: read
    "89c2 b801000000 89c7 0f05"  # mov edx, eax; mov eax, 1; mov edi, eax; syscall: write
    "b83c000000 31ff 0f05"  # mov eax, 60; xor edi, edi; syscall: exit
)
_ARM64 = struct.pack(
    "<19I",
    0x92800C60,  # movn x0, #99: AT_FDCWD
    0x10000241,  # adr  x1, . + 72: the path
    0xD2800002,  # mov  x2, #0
    0xD2800708,  # mov  x8, #56: openat
    0xD4000001,  # svc  #0
    0xD14007FF,  # sub  sp, sp, #4096
    0x910003E1,  # mov  x1, sp
    0xD2820002,  # mov  x2, #4096
    0xD28007E8,  # mov  x8, #63: read
    0xD4000001,
    0xAA0003E2,  # mov  x2, x0
    0xD2800020,  # mov  x0, #1
    0x910003E1,  # mov  x1, sp
    0xD2800808,  # mov  x8, #64: write
    0xD4000001,
    0xD2800000,  # mov  x0, #0
    0xD2800BA8,  # mov  x8, #93: exit
    0xD4000001,
    0xD503201F,  # nop
)
#: By the names that images use: the number of the processor in an ELF file (elf(5), e_machine), and the code.
PROCESSORS = {"amd64": (62, _AMD64), "arm64": (183, _ARM64)}

SUMMER = "Greetings from layer two. Wish you were here!\n"
WINTER = "Greetings from the mountains. Layer one is still at the sea.\n"


def program(architecture: str) -> bytes:
    """A static program of about 200 bytes that writes what is in ``/card``.  Source: elf(5)."""
    machine, code = PROCESSORS[architecture]
    code += b"/card\0"
    begin, header = 0x400000, 64 + 56  # its address in memory, and the size of the headers
    size = header + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian
    elf = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, begin + header, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, begin, begin, size, size, 0x1000)  # all of it, to read and execute
    return ident + elf + segment + code


def archive(files: dict[str, bytes]) -> bytes:
    """A tar archive with these files, {path: content}; executable, root's, of 1970: always the same bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class Image:
    """One image as its three kinds of data: ``blobs``, the compressed *archives*; ``config`` and ``manifest``, JSON.

    *level*: how hard gzip tries.
    """

    def __init__(self, architecture: str, archives: list[bytes], level: int = 9, command: str = "/greet"):
        self.architecture = architecture
        self.blobs = [zlib.compress(each, level, wbits=31) for each in archives]  # 31: gzip's format
        self.config = _json(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": [command]},
                "rootfs": {"type": "layers", "diff_ids": [documents.digest_of(each) for each in archives]},
            }
        )
        self.manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": documents.MANIFEST,
                "config": _descriptor(documents.CONFIG, self.config),
                "layers": [_descriptor(documents.LAYER_GZIP, blob) for blob in self.blobs],
            }
        )


def index(images: list[Image]) -> bytes:
    """One index for *images*, one for each processor."""
    entries = [
        _descriptor(documents.MANIFEST, each.manifest)
        | {"platform": {"os": "linux", "architecture": each.architecture}}
        for each in images
    ]
    return _json({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": entries})


def postcard(card: str, architecture: str, level: int = 9) -> Image:
    """An image of two layers: the program, and the *card*."""
    return Image(architecture, [archive({"greet": program(architecture)}), archive({"card": card.encode()})], level)


def publish(registry, repository: str = "library/postcard") -> None:
    """Put the two postcards into *registry*, as their owner would push them.  Source: OCI distribution specification,
    push."""
    for tag, card in (("latest", SUMMER), ("winter", WINTER)):
        put(registry, repository, tag, [postcard(card, architecture) for architecture in PROCESSORS])


def put(registry, repository: str, tag: str, images: list[Image]) -> None:
    """Put one index of *images* into *registry*: first all blobs, then the manifests, the index last."""
    for image in images:
        for blob in (*image.blobs, image.config):
            registry.put_blob(repository, blob)
        registry.put_manifest(repository, documents.digest_of(image.manifest), image.manifest)
    registry.put_manifest(repository, tag, index(images))


def remove_postcards(*repositories: str) -> None:
    """Remove the chapter's images from this machine, so that the next pull has to fetch everything.

    *repositories*: the last words of their names.  Images that have lost their names to others go, too, if they greet.
    Raises :class:`ContainerError` if a running container uses one.
    """
    wanted = repositories or ("postcard", "from-nothing")
    for found in images_here.images():
        names = [re.split("[:@]", name.rpartition("/")[2])[0] for name in (*found.names, *found.repo_digests)]
        greets = (found.document.get("config") or {}).get("Cmd") == ["/greet"]
        if set(names) & set(wanted) or (greets and not names):
            images_here.remove(found.id, force=True)


def _json(value: dict) -> bytes:
    return json.dumps(value, indent=1).encode()


def _descriptor(media_type: str, data: bytes) -> dict:
    return {"mediaType": media_type, "digest": documents.digest_of(data), "size": len(data)}
