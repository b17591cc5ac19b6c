"""Chapter 05: mount namespaces, propagation and pivot_root."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "pivot-root",
    Question(
        "A process calls `unshare(CLONE_NEWNS)` and then mounts a disk. On a machine with systemd the host sees that "
        "disk too. Why?",
        wrong(
            "A mount namespace holds only file systems that are mounted after it was made",
            "It begins as a full copy of the mount table. The copy is the problem here.",
        ),
        right(
            "The copies of the host's mounts are still shared with the originals",
            "Yes: systemd makes every mount shared, and shared mounts pass on what is mounted below them, until "
            "somebody makes them private or slave.",
        ),
        wrong(
            "`unshare` moves only the children of the process",
            "That is CLONE_NEWPID. A mount namespace takes the caller along.",
        ),
    ),
    Question(
        "What does `pivot_root` do that `chroot` does not?",
        wrong(
            "It copies the files of the new root into memory",
            "Nothing is copied. Both calls only change where paths begin.",
        ),
        wrong(
            "It forbids `..` in paths that begin in the new root",
            "`..` still works inside. It only has nowhere to lead.",
        ),
        right(
            "It moves the root mount of the whole namespace",
            "Yes, and so the old one can be unmounted. Then there is no host left to escape to. chroot only sets where "
            "one process's paths begin.",
        ),
    ),
    Question(
        "Why is `MNT_DETACH` needed when the old root is unmounted?",
        right(
            "The process that unmounts it is still using it",
            "Yes: its program and its libraries are there. The mount is out of sight at once, and gone when nobody "
            "uses it any more.",
        ),
        wrong("Without it the files of the host would be deleted", "An umount deletes nothing, with or without it."),
        wrong(
            "It makes the new root read-only while the old one is unmounted",
            "Read-only is a flag of the mount itself, MS_RDONLY. It has nothing to do with the old root.",
        ),
    ),
    Question(
        "The new root must be a mount point. The image is a plain directory. What helps?",
        wrong("`chmod` it to 0755", "Permissions do not make a directory a mount point."),
        wrong(
            "`mkdir` a second directory in it, for the old root",
            "The older recipe needs one, for put_old. It does not make the root a mount point either.",
        ),
        right(
            "Bind-mount the directory onto itself", "Yes: then the same files are a mount, and a mount can be moved."
        ),
    ),
    Question(
        "Two processes have the same number in `/proc/PID/ns/mnt`. What does that mean?",
        wrong(
            "They have the same root directory",
            "Not always: one of the two may have called chroot. The number says nothing about roots.",
        ),
        right(
            "What one of them mounts, the other sees",
            "Yes: they are in the same mount namespace, so there is one mount table for both.",
        ),
        wrong(
            "One of them is the other's parent, or they have the same one",
            "Any two processes can share a namespace, and a child can leave its parent's.",
        ),
    ),
    Question(
        '`pivot_root(".", ".")` has been called in the new root, and nothing else yet. Where does `cd ..` lead?',
        wrong(
            "Nowhere: at the top of a tree `..` leads to itself",
            "It does when nothing lies on top. Here something does.",
        ),
        wrong(
            "To the directory on the disk that the room lies in",
            "The room is the root of the tree now. Where its files lie on the disk plays no part any more.",
        ),
        right(
            "To the host", "Yes: the old root is mounted on top of the new one, like a lid. One step up leads onto it."
        ),
    ),
    Question(
        "Root in a container reads `/proc/timer_list`, and it is empty. What has the runtime done?",
        right(
            "Mounted `/dev/null` on top of it",
            "Yes. The file is still there, beneath, for everybody in another mount namespace.",
        ),
        wrong(
            "Removed the file from the container's `/proc`",
            "The kernel makes up the files of `/proc`, and nobody can remove one.",
        ),
        wrong(
            "Taken away the permission to read it, for root in containers",
            "Root reads what it wants, whatever the permissions are. And the host would be changed too.",
        ),
    ),
    Question(
        "In an image, `/data` is a link to `/etc`. Somebody types `docker run -v /srv:/data …`. Where must the runtime "
        "mount `/srv`?",
        wrong(
            "On the host's `/etc`",
            "The link leads there if you follow it from the outside. A hostile image would like that.",
        ),
        right(
            "On the container's own `/etc`",
            "Yes: a path of an image means what it means inside, and `RESOLVE_IN_ROOT` follows it like that.",
        ),
        wrong(
            "Nowhere: this is an attack and must be an error",
            "Most images have absolute links, and nearly all of them are honest.",
        ),
    ),
)
