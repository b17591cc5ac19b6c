"""Traffic control: programs that look at every packet that an interface receives, before the firewall does.

They belong to the interface and end with it. ``nft flush ruleset``, with which Debian's nftables service begins each
restart, does not remove them.

Sources: tc(8), tc-bpf(8); linux/pkt_sched.h, linux/pkt_cls.h, linux/bpf.h.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from . import bpf
from .netlink import NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, Netlink, attribute

RTM_NEWQDISC, RTM_NEWTFILTER = 36, 44
_MESSAGE = struct.Struct("=BxxxiIII")  # struct tcmsg: family, interface, handle, parent, info
_CLSACT, _INGRESS = 0xFFFFFFF1, 0xFFFFFFF2  # TC_H_CLSACT; its half for what is received
_CLSACT_HANDLE = 0xFFFF0000
_PRIORITY, _ETH_P_ALL = 1, 3
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
_TCA_BPF_FLAG_ACT_DIRECT = 1  # what the program returns is what becomes of the packet
BPF_PROG_TYPE_SCHED_CLS = 3
_TC_ACT_OK, _TC_ACT_SHOT = 0, 2  # let it pass, drop it

_INSTRUCTION = struct.Struct("=BBhi")  # struct bpf_insn: code, registers, offset, number
_PROTOCOL = 16  # of the packet, in struct __sk_buff
_NETWORK_HEADER = -0x100000  # SKF_NET_OFF: an offset that counts from the IP header
_DESTINATION = 16  # of the address in the header of IPv4
_ETH_P_IP, _ETH_P_8021Q, _ETH_P_8021AD = 0x0800, 0x8100, 0x88A8


def drop_loopback(index: int) -> None:
    """Drop what the interface *index* receives for 127.0.0.0/8, and packets with a VLAN tag, behind which that could
    hide. Idempotent. Raises :class:`OSError`, also when the kernel lacks this (cls_bpf). Source: tc-bpf(8)."""
    program = bpf.prog_load(BPF_PROG_TYPE_SCHED_CLS, _program(), b"GPL")
    try:
        with Netlink() as host:
            _request(
                host,
                RTM_NEWQDISC,
                _MESSAGE.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0) + attribute(TCA_KIND, "clsact"),
                "a filter for received packets",
            )
            options = (
                attribute(TCA_BPF_FD, program)
                + attribute(TCA_BPF_NAME, "minict-loopback")
                + attribute(TCA_BPF_FLAGS, _TCA_BPF_FLAG_ACT_DIRECT)
            )
            info = _PRIORITY << 16 | _network_order(_ETH_P_ALL)
            _request(
                host,
                RTM_NEWTFILTER,
                _MESSAGE.pack(0, index, 1, _INGRESS, info)
                + attribute(TCA_KIND, "bpf")
                + attribute(TCA_OPTIONS | NLA_F_NESTED, options),
                "the filter for packets to the loopback",
            )
    finally:
        os.close(program)


def _request(host: Netlink, kind: int, body: bytes, what: str) -> None:
    try:
        host.request(kind, body, NLM_F_CREATE | NLM_F_EXCL, what)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def _program() -> bytes:
    """The instructions. Source: bpf(2); the kernel's bpf/standardization/instruction-set.rst."""
    load_word, load_byte, jump_if_equal, move_register, move_number, leave = 0x61, 0x30, 0x15, 0xBF, 0xB7, 0x95
    packet = 6  # LD_ABS expects it in this register
    steps = [
        (move_register, packet | 1 << 4, 0, 0),
        (load_word, 2 | 1 << 4, _PROTOCOL, 0),
        (jump_if_equal, 2, 6, _network_order(_ETH_P_8021Q)),
        (jump_if_equal, 2, 5, _network_order(_ETH_P_8021AD)),
        (jump_if_equal, 2, 2, _network_order(_ETH_P_IP)),
        (move_number, 0, 0, _TC_ACT_OK),
        (leave, 0, 0, 0),
        (load_byte, 0, 0, _NETWORK_HEADER + _DESTINATION),
        (0x55, 0, -4, 127),  # jump if not equal
        (move_number, 0, 0, _TC_ACT_SHOT),
        (leave, 0, 0, 0),
    ]
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)


def _network_order(number: int) -> int:
    return int.from_bytes(number.to_bytes(2, "big"), sys.byteorder)
