"""Find the contenders that can take part, and print the results: tables of times, and how they compare with the goals."""

from __future__ import annotations

from .contenders import Failed
from .measure import Samples


def prepare(contenders: list) -> tuple[list, dict[str, str]]:
    """Run each contender twice, to warm the caches; return those that can take part, and for the others the reason, by
    name."""
    ready, missing = [], {}
    for contender in contenders:
        try:
            contender.open()
        except Failed as error:
            missing[contender.name] = str(error)
            continue
        errors = contender.run()[1] + contender.run()[1]
        if errors:
            missing[contender.name] = errors[0]
            contender.close()
        else:
            ready.append(contender)
    return ready, missing


def print_table(title: str, table: dict[str, Samples], rounds: int, does: dict[str, str]) -> None:
    print(f"{title + f', {rounds} rounds':<34}{'median':>8} {'p25':>8} {'min':>8}   ms")
    for name, samples in table.items():
        times = " ".join(f"{seconds * 1000:8.1f}" for seconds in (samples.median, samples.quartile, samples.least))
        failed = f"   {len(samples.errors)} FAILED: {samples.errors[0]}" if samples.errors else ""
        print(f"  {name:<32}{times}   {does.get(name, '')}{failed}")
    print()


def print_goals(title: str, goals: list, table: dict[str, Samples]) -> None:
    print(f"\n{title:<52}{'median':>8} {'p25':>8} {'min':>8}   at most")
    for name, other, limit in goals:
        if name not in table or other not in table:
            print(f"  {name} / {other}: not measured")
            continue
        ours, theirs = table[name], table[other]
        ratio = ours.median / theirs.median
        ratios = (ratio, ours.quartile / theirs.quartile, ours.least / theirs.least)
        verdict = "" if limit is None else "not reached" if ratio > limit or ours.errors else "reached"
        print(f"  {f'{name} / {other}':<50}{' '.join(f'{each:8.2f}' for each in ratios)}   {limit or '-':<5} {verdict}")
