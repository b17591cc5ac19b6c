"""Chapter 17: the steps of a build, its cache, what makes images large, and secrets in layers."""

from __future__ import annotations

from ..quiz import Question, Quiz, right, wrong

Quiz(
    "building",
    Question(
        "`RUN cd /srv`, and below it `RUN touch here`. Where is the file?",
        wrong("In `/srv`", "The first shell stood in `/srv`, and has ended. Only files survive a step."),
        right(
            "In `/`, or wherever the last `WORKDIR` says",
            "Yes: each RUN is a container of its own, and its directory comes from the image's config.",
        ),
        wrong("Nowhere: the second step fails", "It runs, in a new container that begins in `/`."),
    ),
    Question(
        "You `touch` a source file, and build again. What happens to its `COPY` step?",
        wrong(
            "It is executed: the file is newer",
            "The time is not in the key. `make` looks at times; this cache does not.",
        ),
        right("It comes from the cache", "Yes: name, mode, owner and content are the same, and so is the key."),
        wrong("It is executed, and its result is thrown away", "The keys are equal, so nothing has to be executed."),
    ),
    Question(
        "The first `COPY` of ten steps has changed. Nothing else has. How many steps are executed?",
        wrong("One", "The key of each further step contains the key of the step before."),
        wrong(
            "Those that use the file", "The builder does not know which files a RUN reads. It has to expect the worst."
        ),
        right("All that make a layer", "Yes: the keys are a chain. So what changes often belongs at the end."),
    ),
    Question(
        "`RUN apt-get update` stands alone in its line. A year later you add a package to the next line, "
        "`RUN apt-get install …`. Which package lists are used?",
        right(
            "Those of a year ago",
            "Yes: the line is unchanged, so it is a hit. Both commands belong in one RUN.",
        ),
        wrong("Those of today", "Nothing looks at the network. The text and the step before are the same: a hit."),
        wrong("None: lists do not outlive a step", "They are files, and files are exactly what survives."),
    ),
    Question(
        "`COPY data /data` (1 GB), then `RUN chmod -R g+w /data`. How large are the two layers together?",
        wrong("1 GB", "chmod copies each file up into the second layer: chapter 06."),
        right(
            "2 GB",
            "Yes: both layers hold the whole files. `COPY --chmod=…` does it in one layer.",
        ),
        wrong("1 GB and some bytes for the modes", "A layer holds whole files, not single changes of them."),
    ),
    Question(
        "A .dockerignore says `photos`, and in the next line `!photos/menu`. Which files are left out?",
        wrong("All in `photos`", "The last line that matches decides, and `!` brings `photos/menu` back."),
        right(
            "All in `photos` but `photos/menu` and what is inside it",
            "Yes: a line holds for a directory and everything below it, and later lines win.",
        ),
        wrong("None: the lines cancel each other out", "The second one is about `photos/menu` alone."),
    ),
    Question(
        "A token came as `--build-arg TOKEN=…` and was used in one RUN. Where can anyone with the image read it?",
        wrong(
            "Nowhere: an ARG exists only while the image is built",
            "No program sees it later, but it was written down.",
        ),
        right(
            "In the history of the image",
            "Yes: the history keeps the values of ARGs. `RUN --mount=type=secret` leaves nothing.",
        ),
        wrong(
            "In `/proc/1/environ` of its containers", "Containers do not get the ARGs of a build. They do get its ENVs."
        ),
    ),
    Question(
        "The last stage is `FROM scratch` with one `COPY --from=build /app /app`. What of the stage `build` is in the "
        "image?",
        wrong(
            "All its layers, below the last one",
            "The layers of a stage belong to its own image, and this is another one.",
        ),
        wrong("Its history and its variables", "The config begins anew with each FROM."),
        right("The file `/app`", "Yes: nothing else. The compiler, the sources and the secrets stay behind."),
    ),
)
