"""nftables: the kernel's rules for packets, written as text, changed in transactions.

A text given to :func:`apply` takes effect as a whole or not at all, and no packet ever meets a
half of it.  The library behind the command ``nft`` does the work inside this process: 0.5 ms a
transaction, where starting the command takes 6 to 20.  It is loaded through ctypes, because its
own Python binding is a system package (python3-nftables), which a virtual environment can't see.

Sources: nft(8), libnftables(3).
"""

from __future__ import annotations

import ctypes

from minict.runtime.errors import ContainerError

_LIBRARY = "libnftables.so.1"
_COMMAND = "nft"

NFT_CTX_OUTPUT_HANDLE = 1 << 3  # nftables/libnftables.h

_loaded = None


def apply(commands: str) -> None:
    """Carry out *commands*, a text in the language of nft(8), as one transaction.

    Raises :class:`ContainerError` with what nftables itself says is wrong; then nothing is changed.
    """
    done, _, complaint = _run(commands)
    if not done:
        raise ContainerError(
            f"nftables refused the rules of a container's network: {_first_lines(complaint)}; "
            "'nft list ruleset' shows the rules that are there"
        )


def listing(command: str) -> str:
    """What a ``list`` command shows, each object with its handle; "" when the object is not there."""
    done, output, _ = _run(command)
    return output if done else ""


def _run(commands: str) -> tuple[bool, str, str]:
    """(whether it worked, its output, its complaints)."""
    library = _library()
    if library is None:
        return _run_command(commands)
    context = library.nft_ctx_new(0)  # made anew each time: it belongs to the caller's present network namespace
    if not context:
        raise ContainerError(
            "libnftables can't reach the kernel's nf_tables: load the module nf_tables, or use --network none"
        )
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_HANDLE)
        done = library.nft_run_cmd_from_buffer(context, commands.encode()) == 0
        return (
            done,
            library.nft_ctx_get_output_buffer(context).decode(errors="replace"),
            library.nft_ctx_get_error_buffer(context).decode(errors="replace"),
        )
    finally:
        library.nft_ctx_free(context)


def _library():
    """libnftables with the types of what is used of it, or None where it is not installed."""
    global _loaded
    if _loaded is None:
        try:
            # PyDLL keeps Python's lock during a call: the library's parser is not made for two threads
            library = ctypes.PyDLL(_LIBRARY)
        except OSError:
            return None
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
        library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        library.nft_ctx_output_set_flags.argtypes = (ctypes.c_void_p, ctypes.c_uint)
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
            getattr(library, name).argtypes = (ctypes.c_void_p,)
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = (ctypes.c_void_p,)
            getattr(library, name).restype = ctypes.c_char_p
        _loaded = library
    return _loaded


def _run_command(commands: str) -> tuple[bool, str, str]:
    """The same by the command: slower, but it comes without the library's package on some systems."""
    import subprocess

    try:
        result = subprocess.run([_COMMAND, "--handle", "--file", "-"], input=commands, capture_output=True, text=True)
    except FileNotFoundError:
        raise ContainerError(
            "Neither libnftables nor the command nft is installed, which a container's network needs: "
            "install the package nftables, or use --network none"
        ) from None
    return result.returncode == 0, result.stdout, result.stderr


def _first_lines(complaint: str) -> str:
    """The error and the rule that it is about, without the markers below it, on one line."""
    return ": ".join(line.strip() for line in complaint.splitlines()[:2] if line.strip()) or "it does not say why"
