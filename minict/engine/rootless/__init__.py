"""minict for an ordinary user: one set of namespaces in which this user is root, and a small process that keeps it.

::

    the host                               the user's namespaces: user, mount, and a network behind them
    ────────                               ──────────────────────────────────────────────────────────────
    minict run …   ─── setns ───────────►  the same code as root's: overlayfs, bridge, nftables, cgroups
    the keeper     sockets of the host ──► published ports, registries
         └─ pasta or slirp4netns ════════  the containers' way out

What root does on the host, the user does there. The first command makes the namespaces (:mod:`.keeper`), each further
one enters them (:mod:`.enter`), and they last until the keeper and the last container have ended. Root in there is the
user outside, and no more: the kernel checks every access to a file of the host with the user's own rights.

=================  =====================================================================
:mod:`.home`       where this user's images, containers and state are
:mod:`.idmaps`     which ids of the host are which ids inside: /etc/subuid, newuidmap
:mod:`.keeper`     the process that makes and keeps the namespaces
:mod:`.enter`      how a command gets inside
:mod:`.outside`    what only the host's network has: sockets, and a way out
:mod:`.wayout`     pasta and slirp4netns
:mod:`.names`      the host's name server, where it is on loopback
:mod:`.delegated`  the control groups that systemd has given to this user
:mod:`.scope`      how a command gets among them
=================  =====================================================================

Sources: user_namespaces(7), newuidmap(1), subuid(5), pasta(1), slirp4netns(1); podman's pause process; rootlesskit.
"""
