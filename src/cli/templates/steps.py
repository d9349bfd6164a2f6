"""Steps in Python. flow keeps one process of this file alive and calls the functions in it."""

from flow_step import Fault, step


@step
def count_words(item: "item", least: int = 1) -> "json":
    """Counts the words of a file that have at least so many letters."""
    words = item.text().split()
    if not words:
        raise Fault(f"{item.name} has no words", "Send a file with text in it.")
    return {"file": item.name, "words": sum(len(word) >= least for word in words)}


@step
def add_counts(counts: "[json]") -> "files":
    """Adds up the counts of all files."""
    total = sum(count["words"] for count in counts)
    return {"words.json": {"total": total, "files": counts}}
