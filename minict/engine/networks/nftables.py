"""nftables: the kernel's packet rules, written as text, changed in transactions.

A text given to :func:`apply` takes effect as a whole or not at all, and no packet meets half of it. The library behind
the command ``nft`` does the work inside this process: 0.5 ms a transaction, where starting the command takes 6 to 20.
It is loaded through ctypes, because its Python binding is a system package (python3-nftables), which a virtual
environment cannot see.

Sources: nft(8), libnftables(3).
"""

from __future__ import annotations

from minict.kernel import native
from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_LIBRARY = "libnftables.so.1"
_COMMAND = "nft"

NFT_CTX_OUTPUT_HANDLE, NFT_CTX_OUTPUT_JSON = 1 << 3, 1 << 4  # nftables/libnftables.h

_loaded = None


def apply(commands: str) -> None:
    """Run *commands*, a text in the language of nft(8), as one transaction.

    Raises :class:`ContainerError` with the complaint of nftables; then nothing has changed.
    """
    done, _, complaint = _run(commands)
    if not done:
        raise ContainerError(
            f"nftables refused the rules of a container's network: {_first_lines(complaint)}; "
            "'nft list ruleset' shows the current rules"
        )


def listing(command: str) -> str:
    """The output of a ``list`` command, with handles; "" when the object does not exist."""
    done, output, _ = _run(command)
    return output if done else ""


def elements(name: str) -> list[tuple[list, str, list]]:
    """The elements of the map *name* of the table ``inet minict``, as (key, comment, value); none without the map.

    Key and value are lists of their concatenated parts: addresses and protocols as text, ports as numbers.
    Source: libnftables-json(5).
    """
    done, output, _ = _run(f"list map inet minict {name}", json=True)
    objects = jsonfile.loads(output)["nftables"] if done and output else []
    found: list[Any] = next((each["map"].get("elem", []) for each in objects if "map" in each), [])
    return [(key["elem"]["val"]["concat"], key["elem"]["comment"], value["concat"]) for key, value in found]


def _run(commands: str, json: bool = False) -> tuple[bool, str, str]:
    """(success, output, complaints); the output of ``list`` as text, or as *json*."""
    library = _library()
    if library is None:
        return _run_command(commands, json)
    context = library.nft_ctx_new(0)  # created each time: it belongs to the caller's present network namespace
    if not context:
        raise ContainerError(
            "libnftables cannot reach nf_tables in the kernel: load the module nf_tables, or use --network none"
        )
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON if json else NFT_CTX_OUTPUT_HANDLE)
        done = library.nft_run_cmd_from_buffer(context, commands.encode()) == 0
        return (
            done,
            library.nft_ctx_get_output_buffer(context).decode(errors="replace"),
            library.nft_ctx_get_error_buffer(context).decode(errors="replace"),
        )
    finally:
        library.nft_ctx_free(context)


def _library():
    """libnftables with the types of the functions used here, or None where it is not installed."""
    global _loaded
    if _loaded is None:
        try:
            # a call keeps Python's lock, as with native.PyDLL: the library's parser is not made for two threads
            library = native.CLibrary(_LIBRARY, use_errno=True)
        except OSError:
            return None
        library.nft_ctx_new.restype = native.c_void_p
        library.nft_ctx_new.argtypes = (native.c_uint32,)
        library.nft_run_cmd_from_buffer.argtypes = (native.c_void_p, native.c_char_p)
        library.nft_ctx_output_set_flags.argtypes = (native.c_void_p, native.c_uint32)
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
            getattr(library, name).argtypes = (native.c_void_p,)
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = (native.c_void_p,)
            getattr(library, name).restype = native.c_char_p
        _loaded = library
    return _loaded


def _run_command(commands: str, json: bool) -> tuple[bool, str, str]:
    """Do the same through the command: slower, but some systems have it without the library."""
    import subprocess

    try:
        result = subprocess.run(
            [_COMMAND, "--json" if json else "--handle", "--file", "-"], input=commands, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise ContainerError(
            "neither libnftables nor the command nft is installed, and a container's network needs one: "
            "install the package nftables, or use --network none"
        ) from None
    return result.returncode == 0, result.stdout, result.stderr


def _first_lines(complaint: str) -> str:
    """The error and the rule that it concerns on one line, without the markers below."""
    return ": ".join(line.strip() for line in complaint.splitlines()[:2] if line.strip()) or "it does not say why"
