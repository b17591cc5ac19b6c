"""Chapter 06: overlayfs, copy-up, whiteouts and opaque directories."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "layers",
    Question(
        "Fifty containers of one image are running. How many times are the image's files on the disk?",
        wrong(
            "Fifty times: each container gets a copy of its own",
            "That would take a long time and a lot of space. A container starts with an empty upper layer.",
        ),
        right(
            "Once",
            "Yes: all of them read the same layers, and each has an upper layer for its own changes. Even the memory "
            "that caches the files is shared.",
        ),
        wrong(
            "Once, but only until one of the containers changes a file: then all files are copied",
            "Only the file that is changed is copied, and only into the upper layer of that container.",
        ),
    ),
    Question(
        "A container appends one line to a file of 1 GB that comes from the image. What lands in its upper layer?",
        wrong(
            "The new line",
            "overlayfs knows nothing of lines. It does not store differences, as git does.",
        ),
        wrong(
            "The last block of the file, with the new line",
            "Some storage systems work by blocks, such as Btrfs and ZFS. overlayfs works by whole files.",
        ),
        right(
            "The whole file, 1 GB and one line",
            "Yes: that is a copy-up. It happened when the file was opened for writing, before the line was written.",
        ),
    ),
    Question(
        "An image is built in two steps: the first downloads 500 MB, the second deletes them. How large is the image?",
        right(
            "A little more than 500 MB",
            "Yes: the second layer holds whiteouts, which hide the files. Everybody who downloads the image downloads "
            "the 500 MB too.",
        ),
        wrong(
            "As large as it was before both steps",
            "That is what a container sees. But the first layer was finished when its step ended, and still holds "
            "all the files.",
        ),
        wrong(
            "500 MB for now: a later clean-up of the store removes what no container can see",
            "Nothing does. A layer is kept as it is, because other images may be built on it.",
        ),
    ),
    Question(
        "A step of an image copies a key into it, a later one deletes the key. Who can read the key?",
        wrong(
            "Nobody: it is covered by a whiteout",
            "The whiteout is in another layer. With an image you get all its layers, one by one.",
        ),
        wrong(
            "Root in a container of the image",
            "Inside, the kernel shows the merged directory, to root as well. The layers themselves are outside.",
        ),
        right(
            "Everybody who can download the image",
            "Yes: its layers come as separate archives, and the lower one still holds the key. Replace that key.",
        ),
    ),
    Question(
        "The upper layer holds a character device with the number 0, 0, called `cake`. What do you see at `cake`?",
        wrong(
            "A device",
            "The kernel never shows this one: it is a mark of overlayfs.",
        ),
        right(
            "Nothing, whatever the layers below have there",
            "Yes: it is a whiteout, the mark of a deletion.",
        ),
        wrong(
            "The file of the next layer below",
            "You would see that if upper held nothing by this name.",
        ),
        wrong(
            "An empty file",
            "An empty file in upper would be seen as an empty file. This is a device, and hides the name.",
        ),
    ),
    Question(
        "A directory of the image is removed and made again. Why don't its old files come back?",
        right(
            "The new directory is marked as opaque: nothing of the layers below is seen in it",
            "Yes, by the attribute `trusted.overlay.opaque`. Without the mark the two directories would be merged.",
        ),
        wrong(
            "The new directory holds one whiteout for each old file",
            "That would work, and some tools do it. The kernel needs only one mark, and not thousands of whiteouts.",
        ),
        wrong(
            "The files were deleted from the image",
            "The layers of an image are read-only. Another container of this image still has all of them.",
        ),
    ),
    Question(
        "In a container, `os.rename()` of a directory that comes from the image fails with EXDEV, and `mv` works. Why?",
        wrong(
            "`mv` runs as root, and Python does not",
            "Both run as the same user. EXDEV has nothing to do with permissions; that would be EACCES or EPERM.",
        ),
        wrong(
            "`mv` renames the directory in the image's layer",
            "Nothing writes to a lower layer, or the other containers would see it.",
        ),
        right(
            "The kernel does not copy a whole tree for a rename; `mv` copies it, and then removes the old one",
            "Yes: this is what `mv` always does about EXDEV, between two disks as well.",
        ),
    ),
    Question(
        "`lowerdir=a:b:c`: a file is in all three. Which one is seen, if upper does not have it?",
        wrong(
            "That of `c`: it was added last",
            "The list begins at the top, so `c` is the lowest. The manifest of an image lists its layers the other way "
            "round: mind the order there.",
        ),
        right("That of `a`", "Yes: the first directory is the top one, and the topmost file is seen."),
        wrong(
            "The newest one, by its time of change",
            "Times do not matter. Only the order of the layers does.",
        ),
    ),
)
