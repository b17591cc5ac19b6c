"""Chapter 07: names, manifests, digests, and archives from strangers."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "images",
    Question(
        "You type `docker run alice/site`. Which path does Docker ask for, and on which host?",
        wrong(
            "`/v2/site/manifests/latest` on the host `alice`",
            "A first word is a host only if it has a dot or a port, or is `localhost`.",
        ),
        wrong(
            "`/v2/library/alice/site/manifests/latest` on Docker Hub",
            "`library/` is added to a single word. Here an owner is given.",
        ),
        right(
            "`/v2/alice/site/manifests/latest` on Docker Hub",
            "Yes: only the host and the tag were left out.",
        ),
    ),
    Question(
        "A registry answers the first request of a pull with 401. What does a client do?",
        right(
            "It finds in the answer where to ask for a token",
            "Yes: `WWW-Authenticate` has the address and the scope. Docker Hub answers like this to everybody.",
        ),
        wrong(
            "It asks the user for a name and a password at once",
            "Public images need none. A token is given to everybody who asks.",
        ),
        wrong("It gives up, because the image is private", "It can only know that when the token server refuses, too."),
    ),
    Question(
        "The tag `debian:12` points to one digest today and to another one next month. Why is that allowed?",
        wrong(
            "A registry computes digests with a new key each month", "A digest needs no key: everybody gets the same."
        ),
        wrong("It is not: the registry is broken", "Owners do this on purpose, for instance with security updates."),
        right(
            "A tag is a name that its owner may move",
            "Yes. To get exactly these bytes again, write `debian@sha256:…`.",
        ),
    ),
    Question(
        "The same files are compressed harder and pushed again. Which of these digests stays the same?",
        wrong(
            "That of the layer in the manifest",
            "It is the digest of the compressed bytes, and these have changed.",
        ),
        right(
            "That of the config",
            "Yes: the config has the digests of the uncompressed archives. So the image ID stays, too.",
        ),
        wrong("That of the manifest", "It holds the digests of the compressed layers, so its own bytes change."),
    ),
    Question(
        "The digest of a layer is right. What do you know?",
        right(
            "You have the bytes that the manifest names",
            "Yes. Whether they are safe is another question.",
        ),
        wrong("Its archive can be unpacked safely", "The publisher of a hostile archive publishes its digest, too."),
        wrong(
            "Nobody but its author could have made it",
            "A digest is not a signature: anybody can compute one.",
        ),
    ),
    Question(
        "An archive has a symbolic link `out` to `/`, and after it the file `out/etc/cron.d/job`. Why does it not help "
        "to check the names?",
        wrong("Names in archives are encrypted", "They are plain text in the headers. Anybody can read them."),
        right(
            "Each name alone looks harmless",
            "Yes: only on the disk does the first make the second lead outside. So the kernel must be the judge.",
        ),
        wrong("`..` can be hidden in a link's name", "There is not a single `..` in this archive."),
    ),
    Question(
        "Why does minict unpack in a `chroot`, instead of refusing absolute links?",
        wrong("Refusing takes too much time for large images", "Looking at a name costs next to nothing."),
        wrong(
            "The OCI specification forbids refusing links",
            "Tools may refuse what they like, but such a tool would be useless.",
        ),
        right(
            "Honest images have absolute links, and need them",
            "Yes: in each Debian `/usr/bin/awk` is one. In a chroot they are harmless.",
        ),
    ),
    Question(
        "You pull a second image that shares its base layer of 80 MB with one that you have. What is downloaded?",
        right(
            "All but that layer",
            "Yes: a layer is known by its digest. The name of the image does not matter.",
        ),
        wrong(
            "Everything, because the images have different names",
            "Layers do not belong to names. They are found by digest.",
        ),
        wrong("Nothing: the layer is enough", "The other layers, the config and the manifest are still missing."),
    ),
)
