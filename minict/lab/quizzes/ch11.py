"""Chapter 11: user namespaces, what their root may do, maps of ids, groups, a covered /proc, and containers without
root."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "users",
    Question(
        "A process of an ordinary user calls `unshare` for a new user namespace, and no map is written. Which "
        "capabilities does it have then, and after an exec?",
        right(
            "All of them, and after the exec none",
            "Yes. The creator of a user namespace gets all capabilities in it. At the exec the kernel asks for the "
            "user, and without a map that is not 0.",
        ),
        wrong(
            "None, and after the exec all of them",
            "It is the other way round: `unshare` gives, and `exec` takes, because nothing says that she is 0 there.",
        ),
        wrong(
            "All of them, before and after",
            "That is so when the map says that the user is 0 inside. Here there is none.",
        ),
    ),
    Question(
        "Root in a user namespace of Ada's has all capabilities, and calls `sethostname`. Nothing else is new. "
        "Why does it fail?",
        wrong(
            "`sethostname` is the one call that no capability allows",
            "`CAP_SYS_ADMIN` allows it. The question is over what she holds it.",
        ),
        wrong(
            "These capabilities are only shown, and the kernel does not count them",
            "They count, but only for what belongs to that user namespace.",
        ),
        right(
            "The host name belongs to a namespace that the host's user namespace owns",
            "Yes. With a new host name namespace, made in there, it works.",
        ),
    ),
    Question(
        "A map has the line `1 300000 65536`. A process inside, as user 10, makes a file. Whose is it on the host?",
        wrong("10's", "The number inside is 10, and the map translates it: the disk gets the one outside."),
        right("300009's", "Yes: 10 is nine above the first id inside, 1, so it is nine above 300000."),
        wrong("300010's", "The line begins with 1 inside, so 300000 is user 1."),
        wrong("65534's", "This is shown for owners without a place in the map. 10 has one."),
    ),
    Question(
        "In a container that Ada has started, `stat` says that `/etc/passwd` of the host belongs to 65534. What has "
        "changed on the disk?",
        right(
            "Nothing: it belongs to 0, and 0 of the host has no place in the map",
            "Yes. A map changes how owners are shown, and never a file.",
        ),
        wrong(
            "The file was given to nobody, user 65534, so that the container can't change it",
            "No file of the host is touched. The kernel shows 65534 for every owner that it can't translate.",
        ),
        wrong(
            "The container has a copy with another owner",
            "It is the same inode. Compare what `stat` says on both sides.",
        ),
    ),
    Question(
        "Why must an ordinary user give up `setgroups` before writing a map of groups?",
        wrong(
            "Because the process could join any group, such as that of the disks",
            "Only groups in the map can be joined, and the map has her own group alone. It is about leaving.",
        ),
        right(
            "Because she could leave a group, and a file may allow less to a group than to all others",
            "Yes: mode 0604 shuts out the members of its group. A former member can read the file.",
        ),
        wrong(
            "Because the kernel can't translate a list of groups",
            "It can, and does: when root or `newgidmap` writes the map, `setgroups` stays allowed.",
        ),
    ),
    Question(
        "A process has new user, pid and mount namespaces, and mounts a new `/proc`. The kernel says `EPERM`. What is "
        "a likely cause?",
        wrong(
            "Only the host's root may mount a `/proc`",
            "Root of a user namespace may, for a pid namespace that it owns. Something else is in the way.",
        ),
        wrong(
            "`/proc` can be mounted once only",
            "Each pid namespace has its own, and it can be mounted many times.",
        ),
        right(
            "Something covers a part of the `/proc` that it has now, as a container runtime does",
            "Yes. A fresh one would show what somebody has hidden. So containers in containers often fail here.",
        ),
    ),
    Question(
        "Ada starts a container without root. Which program of root's runs while it starts, on a machine with the "
        "package `uidmap`?",
        wrong(
            "The daemon of minict",
            "minict has none. With Docker there would be one, and it would be root's.",
        ),
        wrong(
            "None at all",
            "Almost: she may map her own number without help, but not 65,536 others.",
        ),
        right(
            "`newuidmap` and `newgidmap`, for a moment, to write the maps",
            "Yes. They are set-uid programs that compare with `/etc/subuid` and `/etc/subgid`, write, and end.",
        ),
    ),
)
