"""What is told of a picture that was read: the cells of its row, its fields for --json, and its row for --csv."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnist_ops.errors import legible

if TYPE_CHECKING:
    from mnist_ops.classifier import Reading
    from mnist_ops.pictures.find import PictureFile
    from mnist_ops.pictures.several import Character, Several


def described(reading: "Reading | Several") -> tuple[str, dict[str, Any]]:
    """The class or the text, and all about it for --json."""
    from mnist_ops.classifier import Reading

    if isinstance(reading, Reading):
        return reading.label, _about(reading)
    return reading.text, {"text": reading.text, "characters": [
        {**_about(one), "box": list(one.box)} for one in reading.characters]}


def _about(one: "Reading | Character") -> dict[str, Any]:
    return {"class": one.label, "probability": one.probability, "probabilities": one.probabilities,
            "verdict": one.verdict}


def cells(picture: "PictureFile", reading: "Reading | Several") -> list[str]:
    """File, class, probability, the verdict if there is one, the next most probable class with its probability, and
    right or wrong if known; of several characters the text, and each with its probability and any doubt."""
    from mnist_ops.classifier import Reading

    texts, answer = [legible(picture.path)], described(reading)[0]
    if isinstance(reading, Reading):
        texts += [legible(answer), f"{100 * reading.probability:.1f} %", *filter(None, [reading.verdict])]
        others = {name: value for name, value in reading.probabilities.items() if name != answer}
        if others:
            following = max(others, key=lambda name: others[name])
            texts.append(f"then {legible(following)}, {100 * others[following]:.1f} %")
    else:
        doubts = [f" ({one.verdict})" if one.verdict not in (None, "read") else "" for one in reading.characters]
        texts += [legible(answer.replace("\n", " / ")), ", ".join(
            f"{legible(one.label)} {100 * one.probability:.1f} %{doubt}"
            for one, doubt in zip(reading.characters, doubts, strict=True))]
    if picture.label is not None:
        texts.append("right" if picture.label == answer else f"wrong: is {legible(picture.label)}")
    return texts


def as_csv(pictures: Sequence[Mapping[str, Any]], several: bool) -> str:
    """A header and a row for each of the pictures of --json, after RFC 4180; without columns that are empty in all.

    Of several characters the text, and the probability and verdict of the one with the lowest probability."""
    from mnist_ops.score.mistakes import csv_text, safe_cell, safe_path

    answer = "text" if several else "class"
    rows = [{"file": safe_path(one["file"]), **_of_the_least_sure(one),
             **{name: safe_cell(one[name]) for name in (answer, "label", "error") if name in one},
             **{name: "yes" if one[name] else "no" for name in ("correct",) if name in one}} for one in pictures]
    names = [name for name in ("file", answer, "probability", "verdict", "label", "correct", "error")
             if any(row.get(name) is not None for row in rows)]
    return csv_text(names, [["" if row.get(name) is None else row[name] for name in names] for row in rows])


def _of_the_least_sure(picture: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in picture:
        return {}
    least = min(picture.get("characters", [picture]), key=lambda one: one["probability"])
    return {"probability": f"{least['probability']:.6f}", "verdict": least["verdict"]}
