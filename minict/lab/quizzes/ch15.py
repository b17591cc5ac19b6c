"""Chapter 15: bind mounts, volumes, read-only, and what outlives a container."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "volumes",
    Question(
        "A container has the volume `data` at `/data`, and writes a file there. When does the file arrive in the "
        "volume?",
        wrong(
            "When the container stops: then its files are copied back",
            "Nothing is ever copied back. The container writes into the volume's directory itself.",
        ),
        right(
            "At once",
            "Yes: `/data` in the container and the volume's directory on the host are the same directory.",
        ),
        wrong(
            "When somebody calls `commit`",
            "`commit` packs the upper layer, and a volume is not a part of it.",
        ),
    ),
    Question(
        "`-v ./app.conf:/etc/app.conf`. You change `app.conf` on the host with an editor, and the container still "
        "reads the old text. Why?",
        wrong(
            "The container has a copy of the file in its upper layer",
            "There is no copy: without an editor's trick, both sides see each change.",
        ),
        wrong(
            "Mounts are private, so changes of the host do not arrive",
            "Propagation is about new mounts. What is written into files has nothing to do with it.",
        ),
        right(
            "The editor has put a new file in the place of the old one, and the mount holds the old one",
            "Yes: a mount holds an inode. Mount the directory, and each look goes by the name again.",
        ),
    ),
    Question(
        "`k.mount(a, b, None, k.MS_BIND | k.MS_RDONLY)` returns without an error. What can be done at `b`?",
        right(
            "Read and write",
            "Yes: a call that makes a bind mount ignores MS_RDONLY. It takes a second call, or `mount_setattr`.",
        ),
        wrong("Read, and nothing else", "That is what the call looks like. The kernel ignores the flag here."),
        wrong(
            "Nothing, until it is mounted a second time",
            "The mount is there and usable. Only the flag was ignored.",
        ),
    ),
    Question(
        "An image has files at `/srv`. Which of these shows them in a container?",
        wrong(
            "`-v ./empty:/srv`, with an empty directory of the host",
            "A directory of the host is mounted as it is, and covers what the image has there.",
        ),
        right(
            "`-v fresh:/srv`, with a new volume",
            "Yes: a new volume, and it alone, is filled from the image first.",
        ),
        wrong("`--tmpfs /srv`", "A tmpfs begins empty, and covers the image's files."),
    ),
    Question(
        "The volume `data` already holds one file. You start a newer image with `-v data:/srv`; the image has ten "
        "files there. What does the container see at `/srv`?",
        right(
            "The one file",
            "Yes: only an empty volume is filled. Many an upgrade seemed to have no effect because of this.",
        ),
        wrong("The ten files of the image", "They are covered by the volume, which is not empty and so not filled."),
        wrong("All eleven", "A mount does not merge anything. That is what overlayfs does."),
    ),
    Question(
        "A container's process runs as user 1000 and makes a file in a bind mount. Who owns it on the host? (There is "
        "no user namespace.)",
        wrong("root, who has started the container", "The owner is the user of the process that makes the file."),
        right(
            "User 1000, whatever the host calls that user",
            "Yes: an inode stores a number. Each side looks it up in an `/etc/passwd` of its own.",
        ),
        wrong(
            "The user on the host with the same name as in the container",
            "Names are only in `/etc/passwd`. The kernel, and the disk, know numbers.",
        ),
    ),
    Question(
        "You `commit` a container that has its database on a volume, and start the new image on another machine. What "
        "is in the database?",
        wrong("Everything", "A volume is a mount, and `commit` packs the upper layer alone."),
        wrong("What was written before the volume was mounted last", "Nothing of the volume is ever in the image."),
        right(
            "Nothing",
            "Yes: the rows are in the volume, on the first machine. To move them, copy the volume.",
        ),
    ),
    Question(
        "A container is started with `-v /srv:/srv:ro`, and inside `/srv` there is another mount. Can the container "
        "write into that one?",
        wrong(
            "Yes: flags of a mount never reach what is mounted inside",
            "By themselves they do not. The runtime can ask the kernel for it, with AT_RECURSIVE.",
        ),
        right(
            "Not with Docker of today, or `minict`: they make the inner mounts read-only too",
            "Yes, since Docker 25 on kernels from 5.12. Before, only the outer one was.",
        ),
        wrong(
            "No: an inner mount has the flags of the outer one",
            "Each mount has flags of its own. Somebody has to set them.",
        ),
    ),
)
